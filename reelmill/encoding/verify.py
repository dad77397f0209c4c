"""Opens a finished output and compares it with the plan: frames, times, duration, streams, offsets, joins, colour."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise, zip_longest
from math import lcm
from pathlib import Path
from typing import cast

from av.packet import Packet
from av.video.stream import VideoStream as AvVideoStream

from reelmill.encoding.joins import JoinDecoder
from reelmill.encoding.mux_commands import QUICKTIME_LANGUAGES, first_frame_s
from reelmill.errors import VerifyFailed
from reelmill.formats import FORMATS
from reelmill.manifest import Check, OutputReport, OutputStream
from reelmill.media.containers import open_container
from reelmill.media.demuxers import demuxer_of
from reelmill.media.packets import is_hidden
from reelmill.media.source import Colour, VideoStream
from reelmill.media.streams import describe_streams, first_frame
from reelmill.planning.plan import LeftOut, OutputPlan, Plan, TrackRendition, VideoRendition
from reelmill.records import PieceRecord, TrackRecord
from reelmill.settings import settings
from reelmill.storage.digests import file_digest

_TRACK_START_SLACK_S = 0.03
"""MP3's encoder delay, which no container takes off, and rounding to milliseconds."""
_TRACK_END_SLACK_S = 0.1
_MICROSECOND = Fraction(1, 1_000_000)


@dataclass
class Found:
    """What one pass over an output found: packet times by stream, in seconds, and the joins."""

    kinds: list[str] = field(default_factory=list[str])
    codecs: list[str] = field(default_factory=list[str])
    labels: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """Language and title of each stream, where it has them."""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    chapters: int = 0
    spans: dict[int, tuple[Fraction, Fraction]] = field(default_factory=dict[int, tuple[Fraction, Fraction]])
    video_times: array[int] = field(default_factory=lambda: array("q"))
    video_base: Fraction = Fraction(1)
    joins: JoinDecoder | None = None
    video: VideoStream | None = None


def verify_output(
    plan: Plan,
    output: OutputPlan,
    path: Path,
    *,
    expected: array[int] | None,
    pieces: Sequence[PieceRecord],
    tracks: Mapping[str, TrackRecord],
) -> OutputReport:
    """Return the report of the output at `path`; VerifyFailed, with every check that did not hold, when one does not.

    `expected` has the times that its frames must have, in the time base of its rendition, counted from any origin;
    None when it has no video. `pieces` are the records of its pieces, in any order; none where nothing was encoded.
    """
    video = plan.rendition(output.video) if output.video else None
    joins = list(accumulate(segment.frames for segment in video.segments[:-1])) if video else []
    found = read_output(path, joins, in_order=not FORMATS[output.format].reorders_frames)
    if video is not None and _starts_late(plan, output, video) and len(found.video_times) > 1:
        found.video_times[0] = found.video_times[1] - 1  # AVI has its first frame at once, the next at its time
    renditions: list[VideoRendition | TrackRendition] = [video] if video else []
    renditions += [plan.track(each) for each in output.tracks]
    checks = [check_streams(found, plan, renditions)]
    if checks[0].passed and video is not None and expected is not None:
        checks += check_video(found, plan, video, expected)
        checks += check_pieces(found, pieces)
    if checks[0].passed:
        checks += _check_tracks(found, plan, output, tracks, video)
        checks += _check_chapters(found, plan, output)
    failed = [f"{check.name}: {check.found}" for check in checks if not check.passed]
    if failed:
        raise VerifyFailed(f"{output.file_name} is not what was planned: " + "; ".join(failed))
    return _report(path, plan, output, found, renditions, checks)


def _starts_late(plan: Plan, output: OutputPlan, video: VideoRendition) -> bool:
    """Whether the places of an AVI before its first frame would be empty ones."""
    nearly_half = Fraction(49, 100)
    rate = output.avi_frame_rate
    return rate is not None and first_frame_s(plan.source, video) * rate > nearly_half


def read_output(path: Path, joins: Sequence[int], *, in_order: bool) -> Found:
    """Read every packet once. With `in_order` frames are stored as they are shown: the reader need not guess."""
    found = Found()
    demuxer = demuxer_of(path)
    with open_container(path, demuxer) as container, ThreadPoolExecutor(settings().workers) as pool:
        for stream in container.streams:
            found.kinds.append(stream.type)
            found.codecs.append(stream.codec_context.codec.canonical_name if stream.codec_context else "none")
            found.labels.append({key.lower(): value for key, value in stream.metadata.items()})
        found.tags = {key.lower(): value for key, value in container.metadata.items()}
        found.chapters = len(container.chapters())
        video = next(iter(container.streams.video), None)
        if video is not None:
            found.video_base = video.time_base or Fraction(1)
            found.joins = JoinDecoder(video, joins, pool)
        spans: dict[int, tuple[int, int]] = {}
        for packet in container.demux():
            time = packet.dts if in_order or packet.pts is None else packet.pts
            if not packet.size or packet.is_discard or time is None:
                continue
            end = time + (packet.duration or 0)
            low, high = spans.get(packet.stream_index, (time, end))
            spans[packet.stream_index] = (min(low, time), max(high, end))
            if video is None or packet.stream_index != video.index or found.joins is None:
                continue
            found.joins.take(cast("Packet[AvVideoStream]", packet))
            if found.codecs[video.index] in ("vp8", "vp9") and is_hidden(found.codecs[video.index], bytes(packet)):
                continue
            found.video_times.append(time)
        for index, (low, high) in spans.items():
            base = container.streams[index].time_base or Fraction(1)
            found.spans[index] = (low * base, high * base)
        if found.joins is not None:
            found.joins.finish()
            described = describe_streams(container, {}, first_frame(path, demuxer))["video"]
            found.video = VideoStream.model_validate(described)
    return found


def check_streams(found: Found, plan: Plan, renditions: Sequence[VideoRendition | TrackRendition]) -> Check:
    """Compare the kinds and codecs of the streams with the renditions'; none may be empty."""
    wanted = [
        (each.kind, each.codec) if isinstance(each, TrackRendition) else ("video", _codec(plan, each))
        for each in renditions
    ]
    present = list(zip(found.kinds, found.codecs, strict=True))
    # Muxers of MP4 add a text track for chapters.
    extra = [each for each in present[len(wanted) :] if each[0] != "data"]
    same = present[: len(wanted)] == wanted and not extra
    empty = [number for number in range(len(wanted)) if number not in found.spans]
    names = ", ".join(f"{kind} {codec}" for kind, codec in present)
    if empty:
        return Check(name="streams", passed=False, found=f"stream {empty[0]} has no packets")
    return Check(name="streams", passed=same, found=f"{names}; planned {', '.join(' '.join(each) for each in wanted)}")


def _codec(plan: Plan, video: VideoRendition) -> str:
    assert plan.source.video is not None
    return plan.source.video.codec if video.codec == "copy" else video.codec


def check_video(found: Found, plan: Plan, video: VideoRendition, expected: array[int]) -> list[Check]:
    """Compare the frames with the plan's: number, times, size, colour, and that every join decodes."""
    checks = [
        Check(
            name="frames", passed=len(found.video_times) == len(expected),
            found=f"{len(found.video_times)} of {len(expected)}",
        ),
        _check_times(found, video, expected),
        _check_shape(found, video),
        _check_colour(found, plan, video),
    ]  # fmt: skip
    if found.joins is not None and video.segments:
        wrong = list(found.joins.wrong)
        if found.joins.checked != len(video.segments) - 1:
            wrong.append(f"{found.joins.checked} of {len(video.segments) - 1} were found")
        detail = "; ".join(wrong[:3]) if wrong else f"{found.joins.checked} decoded without an error"
        checks.append(Check(name="joins", passed=not wrong, found=detail))
    return checks


def check_pieces(found: Found, pieces: Sequence[PieceRecord]) -> list[Check]:
    """Every piece must be there, whole, once and in its place: known by the digest it had when it was checked."""
    if not pieces or found.joins is None:
        return []
    wanted = [record.payload for record in sorted(pieces, key=lambda record: record.segment)]
    wrong = [number for number, pair in enumerate(zip_longest(found.joins.digests, wanted)) if pair[0] != pair[1]]
    evidence = f"piece {wrong[0]} is not the one that was encoded" if wrong else f"{len(wanted)} in their order"
    return [Check(name="pieces", passed=not wrong, found=evidence)]


def _check_times(found: Found, video: VideoRendition, expected: array[int]) -> Check:
    """Times must ascend and be those of the plan, to half a tick of the coarser clock, all moved by one amount."""
    base = found.video_base
    times = sorted(found.video_times)
    ascending = all(earlier < later for earlier, later in pairwise(times))
    if not ascending or len(times) != len(expected) or not times:
        return Check(name="times", passed=False, found="two frames have one time, or frames are missing")
    parts = lcm(base.denominator, video.time_base.denominator)  # of a second: integers are much faster than fractions
    tick, planned_tick = int(base * parts), int(video.time_base * parts)
    off = [time * tick - wanted * planned_tick for time, wanted in zip(times, expected, strict=True)]
    worst = Fraction(max(abs(each - off[0]) for each in off), parts)
    # Both the first time, which the shift is read from, and every other may be rounded by half a tick.
    slack = (base if (video.time_base / base).denominator != 1 else Fraction(0)) + 2 * _MICROSECOND
    return Check(
        name="times", passed=worst <= slack, found=f"monotonic; largest difference {float(worst) * 1e3:.3f} ms"
    )


def _check_shape(found: Found, video: VideoRendition) -> Check:
    assert found.video is not None
    wanted = video.size
    has = (found.video.width, found.video.height)
    ratio, wanted_ratio = found.video.sample_aspect_ratio, video.sample_aspect_ratio
    same_shape = abs(ratio / wanted_ratio - 1) < Fraction(1, 100)
    return Check(
        name="picture", passed=has == wanted and same_shape,
        found=f"{has[0]}x{has[1]}, sample aspect ratio {ratio}; planned {wanted[0]}x{wanted[1]}, {wanted_ratio}",
    )  # fmt: skip


def _check_colour(found: Found, plan: Plan, video: VideoRendition) -> Check:
    """What the source says of its colour, the output must say too; what the source leaves open may be filled in.

    SDR that was made of HDR is in BT.709.
    """
    assert found.video is not None
    assert plan.source.video is not None
    source, has = plan.source.video.colour, found.video.colour
    if video.tone_map:
        source = Colour(range=1, primaries=1, transfer=1, matrix=1)
    wrong: list[str] = []
    for name, unsaid in (("primaries", 2), ("transfer", 2), ("matrix", 2), ("range", 0)):
        said, kept = getattr(source, name), getattr(has, name)
        is_rgb = name == "matrix" and said == 0
        if said not in (unsaid, kept) and not is_rgb and not (name == "range" and kept == 0 and said == 1):
            wrong.append(f"{name} {kept}, planned {said}")
    wanted_hdr = set(plan.source.video.hdr) - {"dolby_vision"}
    if video.tone_map:
        wanted_hdr = set[str]()
    missing = wanted_hdr - set(found.video.hdr) if "10" in video.pixel_format or video.codec == "copy" else set[str]()
    wrong += [f"{each} is missing" for each in sorted(missing)]
    return Check(name="colour", passed=not wrong, found="; ".join(wrong) or "as in the source")


def _check_tracks(
    found: Found, plan: Plan, output: OutputPlan, tracks: Mapping[str, TrackRecord], video: VideoRendition | None
) -> list[Check]:
    """Compare each audio track's start and end, against the first frame, with what they were in the source.

    Without video, they are compared with the first track.
    """
    if video is not None:
        moved_s = float(min(found.video_times) * found.video_base - first_frame_s(plan.source, video))
    else:
        moved_s = float(found.spans[0][0]) - tracks[output.tracks[0]].start_s
    tick_s = float(1 / output.avi_frame_rate) if output.avi_frame_rate else float(video.time_base if video else 0)
    checks: list[Check] = []
    for number, name in enumerate(output.tracks, start=0 if video is None else 1):
        if plan.track(name).kind == "audio":
            checks.append(check_track(number, found.spans[number], tracks[name], moved_s, tick_s))
    return checks


def check_track(
    number: int, span_s: tuple[Fraction, Fraction], record: TrackRecord, moved_s: float, tick_s: float
) -> Check:
    """Compare an audio track's start and end with its record's, which count from `moved_s` of the output."""
    starts_s = _offset(float(span_s[0]) - moved_s, record)
    ends_s = float(span_s[1]) - moved_s - record.end_s
    close = abs(starts_s) <= _TRACK_START_SLACK_S + tick_s and abs(ends_s) <= _TRACK_END_SLACK_S + tick_s
    evidence = f"{starts_s * 1e3:+.1f} ms at the start, {ends_s * 1e3:+.1f} ms at the end"
    return Check(name=f"audio offset {number}", passed=close, found=evidence)


def _check_chapters(found: Found, plan: Plan, output: OutputPlan) -> list[Check]:
    wanted = len(plan.source.chapters) if FORMATS[output.format].chapters else 0
    return (
        [Check(name="chapters", passed=found.chapters == wanted, found=f"{found.chapters} of {wanted}")]
        if wanted
        else []
    )


def _labels_left_out(
    plan: Plan, output: OutputPlan, found: Found, renditions: Sequence[VideoRendition | TrackRendition]
) -> Iterator[LeftOut]:
    """Yield the tags, languages and titles of the source that are not found in the output."""
    tags = [key for key in plan.source.tags if key.lower() not in found.tags]
    if tags:
        yield LeftOut(what=f"tags {', '.join(sorted(tags))}", reason=f"{output.format} has no place for them")
    for number, rendition in enumerate(renditions):
        if isinstance(rendition, VideoRendition):
            continue
        for name, value in (("language", rendition.language), ("title", rendition.title)):
            # MP4 keeps a track's title under the name of its handler, QuickTime languages under another code.
            known_as = {value, QUICKTIME_LANGUAGES.get(value or "", value)}
            if value and not known_as & set(found.labels[number].values()):
                reason = f"{output.format} has no place for it"
                yield LeftOut(what=f"{name} {value!r} of {rendition.id}", reason=reason)


def _offset(start_s: float, record: TrackRecord) -> float:
    """Return how far a track's start is off. Where priming isn't marked, its packets are the first ones found."""
    return min(start_s - record.start_s, start_s - (record.start_s - record.priming_s), key=abs)


def _report(
    path: Path, plan: Plan, output: OutputPlan, found: Found,
    renditions: Sequence[VideoRendition | TrackRendition], checks: list[Check],
) -> OutputReport:  # fmt: skip
    starts, ends = zip(*found.spans.values(), strict=True)
    streams = tuple(
        OutputStream(
            kind=rendition.kind if isinstance(rendition, TrackRendition) else "video",
            codec=found.codecs[number],
            start_s=round(float(found.spans[number][0]), 6),
            end_s=round(float(found.spans[number][1]), 6),
            language=found.labels[number].get("language"),
            rendition=rendition.id,
        )
        for number, rendition in enumerate(renditions)
    )
    return OutputReport(
        format=output.format, file_name=output.file_name, size_bytes=path.stat().st_size, sha256=file_digest(path),
        duration_s=round(float(max(ends) - min(starts)), 6), frames=len(found.video_times) if found.video else None,
        width=found.video.width if found.video else None, height=found.video.height if found.video else None,
        streams=streams, checks=tuple(checks),
        left_out=(*output.left_out, *_labels_left_out(plan, output, found, renditions)),
    )  # fmt: skip

"""Opens every rendition of a package as a player gets it, and compares it with the plan."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from reelmill.encoding.verify import Found, check_pieces, check_streams, check_track, check_video, read_output
from reelmill.errors import VerifyFailed
from reelmill.manifest import Check, OutputFile, OutputReport, OutputStream
from reelmill.media.containers import open_container
from reelmill.packaging.making import Made, segment_starts_s, texts_of
from reelmill.packaging.package import SUBTITLES_FILE
from reelmill.packaging.packaged import Packaged, write_as_one
from reelmill.planning.plan import LeftOut, OutputPlan, Plan, TrackRendition, VideoRendition
from reelmill.records import PieceRecord, TrackRecord
from reelmill.storage.digests import file_digest
from reelmill.workspace import Workspace

_SOUND_S = Fraction(3, 20)
"""What a segment of sound may start later than one of video: it can only begin where a packet does."""


def verify_package(
    plan: Plan,
    output: OutputPlan,
    made: Made,
    folder: Path,
    *,
    expected: array[int] | None,
    pieces: Mapping[str, Sequence[PieceRecord]],
    tracks: Mapping[str, TrackRecord],
    workspace: Workspace,
) -> OutputReport:
    """Return the report of the package in `folder`; VerifyFailed, with every check that did not hold, when one doesn't.

    Each rendition is put together of its parts and read whole. `expected` has the times of the frames, as in
    `verify_output`; all renditions have the same.
    """
    by_rendition: list[tuple[str, list[Check]]] = []
    streams: list[OutputStream] = []
    videos = [plan.rendition(each.packaged.id) for each in made.package.videos]
    for number, packaged in enumerate(made.package.renditions):
        video = videos[number] if number < len(videos) else None
        rendition = video or plan.track(packaged.id)
        joins = list(accumulate(segment.frames for segment in video.segments[:-1])) if video else []
        with workspace.unfinished() as whole:
            write_as_one(packaged, folder, whole)
            found = read_output(whole, joins, in_order=False)
        checks = [check_streams(found, plan, [rendition])]
        if checks[0].passed and video is not None and expected is not None:
            checks += [*check_video(found, plan, video, expected), *check_pieces(found, pieces[video.id])]
        elif checks[0].passed:
            checks.append(check_track(1, found.spans[0], tracks[packaged.id], -float(made.start_s), 0.0))
        checks.append(_check_starts(plan, made, packaged, videos))
        by_rendition.append((packaged.id, checks))
        streams.append(_stream(rendition, found))
    for name in (each.id for each in made.package.subtitles):
        text = (folder / name / SUBTITLES_FILE).read_text(encoding="utf-8")
        by_rendition.append((name, [_check_cues(text, tracks[name], workspace)]))
        streams.append(_subtitles_stream(plan.track(name), tracks[name], made.start_s))
    wrong = [
        f"{name}: {check.name}: {check.found}" for name, all_ in by_rendition for check in all_ if not check.passed
    ]
    if wrong:
        raise VerifyFailed(f"{output.file_name} is not what was planned: " + "; ".join(wrong))
    left_out = (*output.left_out, *_tags_left_out(plan))
    return _report(output, made, folder, streams, tuple(_together(by_rendition)), expected, left_out)


def _tags_left_out(plan: Plan) -> Iterator[LeftOut]:
    if plan.source.tags:
        yield LeftOut(what=f"tags {', '.join(sorted(plan.source.tags))}", reason="playlists have no place for them")


def _check_starts(plan: Plan, made: Made, packaged: Packaged, videos: Sequence[VideoRendition]) -> Check:
    """Segments must start where they were planned, in all renditions alike: that is what lets a player switch."""
    planned = segment_starts_s(plan, videos, made.start_s)
    starts = [Fraction(each.start, packaged.media.timescale) for each in packaged.media.segments]
    if not videos:
        return Check(name="segments", passed=bool(starts), found=f"{len(starts)}")
    is_video = any(each.id == packaged.id for each in videos)
    late = Fraction(2, packaged.media.timescale) if is_video else _SOUND_S
    # Sound may start before or after the first frame, and end before the last keyframe or go on after it.
    wanted = [each for each in planned if is_video or (packaged.start_s < each < packaged.end_s - late)]
    wanted = wanted if is_video else [each for each in wanted if each != planned[0]]
    missing = [each for each in wanted if not any(each - late <= start <= each + late for start in starts)]
    passed = not missing and (not is_video or len(starts) == len(planned))
    where = f"; none at {float(missing[0]):.3f} s" if missing else ""
    return Check(name="segments", passed=passed, found=f"{len(starts)}, planned {len(planned)} of video{where}")


def _check_cues(text: str, record: TrackRecord, workspace: Workspace) -> Check:
    with workspace.folder() as folder, open_container(workspace.fetch(record, folder), "matroska") as container:
        wanted = sum(bool(packet.size) for packet in container.demux())
    cues = sum(" --> " in line for line in text.splitlines())
    return Check(name="cues", passed=cues == wanted, found=f"{cues} of {wanted}")


def _together(by_rendition: Sequence[tuple[str, list[Check]]]) -> Iterator[Check]:
    """Yield one check of each name, which all renditions have passed, with what was found in each."""
    names = dict.fromkeys(check.name for _, checks in by_rendition for check in checks)
    for name in names:
        found = [f"{each}: {check.found}" for each, checks in by_rendition for check in checks if check.name == name]
        yield Check(name=name, passed=True, found="; ".join(found))


def _stream(rendition: VideoRendition | TrackRendition, found: Found) -> OutputStream:
    start_s, end_s = found.spans[0]
    is_track = isinstance(rendition, TrackRendition)
    return OutputStream(
        kind=rendition.kind if is_track else "video", codec=found.codecs[0],
        start_s=round(float(start_s), 6), end_s=round(float(end_s), 6),
        language=rendition.language if is_track else None, rendition=rendition.id,
    )  # fmt: skip


def _subtitles_stream(track: TrackRendition, record: TrackRecord, start_s: Fraction) -> OutputStream:
    return OutputStream(
        kind="subtitle", codec=track.codec, start_s=round(record.start_s - float(start_s), 6),
        end_s=round(record.end_s - float(start_s), 6), language=track.language, rendition=track.id,
    )  # fmt: skip


def _report(
    output: OutputPlan, made: Made, folder: Path, streams: list[OutputStream], checks: tuple[Check, ...],
    expected: array[int] | None, left_out: tuple[LeftOut, ...],
) -> OutputReport:  # fmt: skip
    assert output.package is not None
    files = tuple(
        OutputFile(
            file_name=name, size_bytes=(folder / name).stat().st_size, sha256=file_digest(folder / name)
        )
        for name in _file_names(made, output)
    )  # fmt: skip
    listing = "".join(f"{each.sha256}  {each.file_name}\n" for each in files)
    largest = made.package.videos[0] if made.package.videos else None
    begins_s = min(each.start_s for each in made.package.renditions)
    return OutputReport(
        format=output.label, file_name=output.file_name,
        size_bytes=sum(each.size_bytes for each in files), sha256=hashlib.sha256(listing.encode()).hexdigest(),
        duration_s=round(float(made.package.duration_s - begins_s), 6),
        frames=len(expected) if expected is not None else None,
        width=largest.width if largest else None, height=largest.height if largest else None,
        streams=tuple(streams), checks=checks, left_out=left_out, files=files,
    )  # fmt: skip


def _file_names(made: Made, output: OutputPlan) -> Iterator[str]:
    """Yield every file of the package: what players are given first comes last."""
    for each in made.package.renditions:
        yield from dict.fromkeys(f"{each.id}/{part.file_name}" for part in (each.init, *each.parts))
    for subtitles in made.package.subtitles:
        yield f"{subtitles.id}/{SUBTITLES_FILE}"
    for name, _ in texts_of(made.package, output):
        yield name

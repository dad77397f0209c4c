"""Plans several sources as one video: each is encoded by itself, into pieces that fit together. Pure.

All renditions of all sources have one size, one colour and one time base, so that their pieces can be joined by stream
copy. Sources follow one another without a gap, each from its first frame to the end of its last; their sound is filled
up with silence, or cut, to the length of the picture.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd

from reelmill.errors import InvalidParameter, NoAudioStream
from reelmill.media.frame_index import FrameIndex
from reelmill.media.source import AudioStream, Chapter, ClipSpan, Colour, Source, VideoStream
from reelmill.planning.picture import even, kept_size
from reelmill.planning.plan import JoinedPicture, Part, Plan, Segment, Sound, TrackRendition, VideoRendition
from reelmill.planning.video import is_hdr, is_interlaced, nominal_rate
from reelmill.profiles.profile import Profile
from reelmill.profiles.video import VideoSettings

_FINEST_BASE = 1 << 30
"""Ticks a second that the time scale of an MP4 file has room for."""
_SDR = Colour(range=1, primaries=1, transfer=1, matrix=1)

CutVideo = Callable[[Sequence[VideoRendition], FrameIndex], Sequence[VideoRendition]]
"""Gives renditions the segments that are made of the frames of an index."""


@dataclass(frozen=True)
class Probed:
    """A source, or the clip of it that is used, and when its frames are shown; no index without video."""

    source: Source
    index: FrameIndex | None


def in_one_clock(probed: Sequence[Probed]) -> tuple[Probed, ...]:
    """Return the sources with the times of all frames in one time base, and as clips that end with their last frame.

    Subtitles are not joined. Raises InvalidParameter where the sources don't go together.
    """
    silent = [each.source for each in probed if not each.source.audio]
    if not any(each.index for each in probed):
        if silent:
            raise NoAudioStream(f"{silent[0].name} has neither sound nor picture to be joined")
        return tuple(probed)
    indexes = [_index_of(each) for each in probed]
    bases = [each.time_base for each in indexes]
    denominator = _lowest_common([each.denominator for each in bases])
    base = Fraction(gcd(*(int(each * denominator) for each in bases)), denominator)
    if base.denominator > _FINEST_BASE:
        raise InvalidParameter("append: the sources count time too differently; allowed: those without odd time bases")
    return tuple(
        _bounded(each.source, index.in_time_base(base), is_first=not number)
        for number, (each, index) in enumerate(zip(probed, indexes, strict=True))
    )


def _index_of(each: Probed) -> FrameIndex:
    if each.index is None:
        raise InvalidParameter(f"append: {each.source.name} has no video, and others have")
    if each.index.fault:
        raise InvalidParameter(f"append: {each.source.name} can't be joined: {each.index.fault}")
    return each.index


def _lowest_common(values: Sequence[int]) -> int:
    found = 1
    for each in values:
        found = found * each // gcd(found, each)
    return found


def _bounded(source: Source, index: FrameIndex, *, is_first: bool) -> Probed:
    assert source.video is not None
    index = replace(index, stop=index.end if index.stop is None else index.stop)
    start_s = source.clip.start_s if source.clip else Fraction(0)
    if not is_first:
        start_s = index.first * index.time_base - source.start_s
    span = ClipSpan(start_s=start_s, end_s=index.end * index.time_base - source.start_s)
    ticks = source.video.time_base / index.time_base
    video = source.video.model_copy(
        update={
            "time_base": index.time_base,
            "start_pts": None if source.video.start_pts is None else int(source.video.start_pts * ticks),
            "end_pts": None if source.video.end_pts is None else int(source.video.end_pts * ticks),
        }
    )
    return Probed(source.model_copy(update={"video": video, "clip": span}), index)


def first_of(probed: Sequence[Probed], profile: Profile, *, constant_rate: bool) -> tuple[Probed, Profile]:
    """Return the first source as it is planned, with the sound of the first that has any, and the profile for all.

    With `constant_rate` a format can't hold frames at their own times: then all are resampled, so that sound and
    picture of each source are equally long.
    """
    first = probed[0]
    heard = next((each.source.audio for each in probed if each.source.audio), ())
    source = first.source.model_copy(update={"audio": heard, "subtitles": ()})
    changes: dict[str, object] = {}
    if profile.video.deinterlace == "keep":
        changes["deinterlace"] = "auto"
    if constant_rate and first.index is not None and source.video is not None and profile.video.frame_rate is None:
        changes["frame_rate"] = str(nominal_rate(source.video, first.index))
    video = profile.video.model_copy(update=changes)
    return Probed(source, first.index), profile.model_copy(update={"video": video})


def join_plan(plan: Plan, probed: Sequence[Probed], wanted: VideoSettings, cut_video: CutVideo) -> Plan:
    """Return the plan for all sources, of the one for the first. `wanted` says how the picture is to be."""
    parts = tuple(_parts(plan, probed, wanted, cut_video))
    video = tuple(_together(each, [_named(part, each.id) for part in parts], probed) for each in plan.video)
    lengths_s = _lengths_s(plan, probed, parts)
    rates = {each.index: (each.sample_rate_hz, each.layout) for each in plan.source.audio}
    tracks = tuple(
        _with_sounds(each, plan.source, probed, lengths_s, *rates[each.stream_index]) for each in plan.tracks
    )
    chapters = tuple(_chapters(probed, lengths_s))
    names = ", ".join(each.source.name for each in probed[1:])
    left = [each.source.name for each in probed if each.source.subtitles]
    return plan.model_copy(
        update={
            "parts": parts,
            "video": video,
            "tracks": tracks,
            "source": plan.source.model_copy(update={"chapters": chapters}),
            "source_frames": None if plan.source_frames is None else sum(len(each.index or ()) for each in probed),
            "reasons": (*plan.reasons, f"followed by {names}"),
            "warnings": (
                *plan.warnings,
                *(warning for each in probed[1:] for warning in each.source.warnings),
                *(f"{name}: subtitles are left out where sources are joined" for name in left),
            ),
        }
    )


def whole_index(plan: Plan, probed: Sequence[Probed]) -> FrameIndex | None:
    """Return the times of all frames of a job, as its renditions have them."""
    index = probed[0].index
    if index is None or not plan.parts:
        return index
    rate = plan.video[0].frame_rate if plan.video else None
    if rate is not None:
        return FrameIndex(1 / rate, array("q", range(plan.video[0].frames)), (), 1, index.origin)
    times, last, end = array("q"), 1, index.first
    for each in probed:
        assert each.index is not None
        times.extend(time - each.index.first + end for time in each.index.times)
        last, end = each.index.last_duration, end + each.index.end - each.index.first
    return FrameIndex(index.time_base, times, (), last, index.origin)


def _parts(plan: Plan, probed: Sequence[Probed], wanted: VideoSettings, cut_video: CutVideo) -> Iterator[Part]:
    if not plan.video:
        yield from (Part(source=each.source, video=()) for each in probed)
        return
    streams = [each.source.video for each in probed if each.source.video is not None]
    _refuse_mixed_range(plan.video, streams, [each.source.name for each in probed])
    rate = max(nominal_rate(*each) for each in _pictures(probed))
    same = all(each.colour == streams[0].colour for each in streams) and not plan.video[0].tone_map
    colour = None if same else _SDR if plan.video[0].tone_map else streams[0].colour
    offset_s, numbers = Fraction(0), 0
    for number, each in enumerate(probed):
        assert each.index is not None
        joined = JoinedPicture(encoder_rate=rate, colour=colour, offset_s=offset_s)
        if number:
            changed = [_like(rendition, each.source, each.index, wanted) for rendition in plan.video]
            video = cut_video(changed, each.index)
        else:
            video = plan.video
        video = tuple(_numbered(rendition, joined, numbers) for rendition in video)
        yield Part(source=each.source, video=video)
        offset_s += _length_s(each.source, each.index, video)
        numbers += len(video[0].segments)


def _pictures(probed: Sequence[Probed]) -> Iterator[tuple[VideoStream, FrameIndex]]:
    for each in probed:
        if each.source.video is not None and each.index is not None:
            yield each.source.video, each.index


def _refuse_mixed_range(video: Sequence[VideoRendition], streams: Sequence[VideoStream], names: Sequence[str]) -> None:
    if any(each.codec == "copy" for each in video):
        raise InvalidParameter("append: packets of several sources can't be copied; allowed: a profile that encodes")
    high = [is_hdr(each) for each in streams]
    mapped = video[0].tone_map or not high[0]
    if any(high) and not all(high) and not mapped:
        raise InvalidParameter(
            f"append: {names[high.index(True)]} is HDR and {names[high.index(False)]} is not; "
            "allowed: `tone_map: auto` in the profile"
        )


def _like(rendition: VideoRendition, source: Source, index: FrameIndex, wanted: VideoSettings) -> VideoRendition:
    """Return the rendition of another source whose picture has the same size."""
    video = source.video
    assert video is not None
    crop, size, bars = _placed(video, wanted, rendition)
    tone_map = is_hdr(video) and wanted.tone_map == "auto"
    changes = {
        "stream_index": video.index, "crop": crop, "width": size[0], "height": size[1], "bars": bars, "pad": (0, 0),
        "deinterlace": wanted.deinterlace == "always" or is_interlaced(video), "tone_map": tone_map,
        "first_pts": index.first, "segments": (),
    }  # fmt: skip
    return rendition.model_copy(update=changes)


Rectangle = tuple[int, int, int, int]


def _placed(
    video: VideoStream, wanted: VideoSettings, into: VideoRendition
) -> tuple[Rectangle | None, tuple[int, int], Rectangle]:
    """Return what is kept of a picture, its size inside that of a rendition, and the bars around it."""
    width, height = kept_size(video, wanted)
    crop = (wanted.crop.left, wanted.crop.top, width, height) if wanted.crop else None
    shape = Fraction(width, height) * video.shown_sample_aspect_ratio / into.sample_aspect_ratio
    box = into.size
    exact = min(Fraction(box[0]), box[1] * shape)
    size = _nearly(exact, box[0]), _nearly(exact / shape, box[1])
    left, top = (box[0] - size[0]) // 4 * 2, (box[1] - size[1]) // 4 * 2
    return crop, size, (left, top, box[0] - size[0] - left, box[1] - size[1] - top)


def _nearly(value: Fraction, most: int) -> int:
    """Return the even number nearest to a size, or all there is where that is less than two pixels away."""
    return most if abs(most - value) < 2 else min(most, even(value))


def _numbered(rendition: VideoRendition, joined: JoinedPicture, first: int) -> VideoRendition:
    segments = tuple(each.model_copy(update={"number": each.number + first}) for each in rendition.segments)
    return rendition.model_copy(update={"joined": joined, "segments": segments})


def _together(rendition: VideoRendition, parts: Sequence[VideoRendition], probed: Sequence[Probed]) -> VideoRendition:
    """Return the rendition with the pieces of all parts, at the times of the result."""
    at = rendition.segments[0].start
    segments: list[Segment] = []
    for part, each in zip(parts, probed, strict=True):
        assert each.index is not None
        later = at - part.segments[0].start
        for segment in part.segments:
            assert segment.end is not None
            moved = {
                "start": segment.start + later, "end": segment.end + later,
                "keyframes": tuple(time + later for time in segment.keyframes),
            }  # fmt: skip
            segments.append(segment.model_copy(update=moved))
        at += part.frames if part.frame_rate else each.index.end - each.index.first
    return parts[0].model_copy(update={"segments": tuple(segments)})


def _named(part: Part, name: str) -> VideoRendition:
    return next(each for each in part.video if each.id == name)


def _length_s(source: Source, index: FrameIndex, video: Sequence[VideoRendition]) -> Fraction:
    """Return for how long a source is there, from its zero to the end of its last frame."""
    first_s = index.first * index.time_base - source.zero_s
    rate = video[0].frame_rate
    return first_s + (video[0].frames / rate if rate else (index.end - index.first) * index.time_base)


def _lengths_s(plan: Plan, probed: Sequence[Probed], parts: Sequence[Part]) -> list[Fraction | None]:
    if any(each.index is None for each in probed):
        return [None if each.source.clip is None else each.source.clip.length_s for each in probed]
    if not plan.video:
        return [each.source.used_s for each in probed]
    return [
        _length_s(each.source, each.index, part.video)
        for each, part in zip(probed, parts, strict=True)
        if each.index is not None
    ]


def _with_sounds(
    track: TrackRendition, heard: Source, probed: Sequence[Probed], lengths_s: Sequence[Fraction | None],
    rate_hz: int, layout: str,
) -> TrackRendition:  # fmt: skip
    numbers = [each.index for each in heard.audio]
    place = numbers.index(track.stream_index)
    sounds = tuple(
        Sound(stream_index=_counterpart(each.source.audio, place, track.language), length_s=length_s)
        for each, length_s in zip(probed, lengths_s, strict=True)
    )
    changes = {"sounds": sounds, "joined_rate_hz": track.sample_rate_hz or rate_hz, "joined_layout": layout}
    return track.model_copy(update=changes)


def _counterpart(audio: Sequence[AudioStream], place: int, language: str | None) -> int | None:
    """Return the stream that a source gives to a track: of its language, else the one in its place."""
    same = [each.index for each in audio if language and each.language == language]
    return same[0] if same else audio[place].index if place < len(audio) else None


def _chapters(probed: Sequence[Probed], lengths_s: Sequence[Fraction | None]) -> Iterator[Chapter]:
    """Yield the chapters of all sources, at the times of the result as the first source counts."""
    at_s = probed[0].source.zero_s
    for each, length_s in zip(probed, lengths_s, strict=True):
        for chapter in each.source.chapters:
            later = at_s - each.source.zero_s
            yield chapter.model_copy(update={"start_s": chapter.start_s + later, "end_s": chapter.end_s + later})
        if length_s is None:
            return
        at_s += length_s

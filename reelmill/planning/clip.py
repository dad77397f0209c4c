"""Takes a part of a source, to the frame. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from reelmill.errors import InvalidParameter
from reelmill.media.frame_index import FrameIndex
from reelmill.media.source import AudioStream, Chapter, ClipSpan, Source, Stream
from reelmill.profiles.profile import Profile


def clipped(
    source: Source, index: FrameIndex | None, start_s: Fraction, end_s: Fraction | None, shown: frozenset[int]
) -> tuple[Source, FrameIndex | None]:
    """Return the source and its index as if there were nothing before `start_s` and from `end_s` on.

    These count from the start of the container. `shown` are the numbers of the subtitle streams that have something
    there. Raises InvalidParameter where no frame, or without video no sound, begins there.
    """
    if index is not None and index.fault:
        raise InvalidParameter(f"clip: {source.name} can't be cut by time: {index.fault}")
    span = ClipSpan(start_s=start_s, end_s=end_s if end_s is not None and end_s < source.duration_s else None)
    if index is not None:
        index = clipped_index(index, source.model_copy(update={"clip": span}))
        if not index.times:
            raise InvalidParameter(_nothing("frame", source, start_s, end_s))
        span = _to_the_frame(span, source, index)
    ends_s = source.duration_s if span.end_s is None else span.end_s
    audio = tuple(each for each in source.audio if _is_heard(each, source, span))
    if index is None and not audio:
        raise InvalidParameter(_nothing("sound", source, start_s, end_s))
    gone = [each for each in source.audio if each not in audio]
    changes = {
        "clip": span, "audio": audio,
        "subtitles": tuple(each for each in source.subtitles if each.index in shown),
        "chapters": tuple(_chapters(source, source.start_s + span.start_s, source.start_s + ends_s)),
        "warnings": (*source.warnings, *(f"audio track {each.index} has nothing in the clip" for each in gone)),
    }  # fmt: skip
    return source.model_copy(update=changes), index


def clipped_index(index: FrameIndex, source: Source) -> FrameIndex:
    """Return the index of the frames that are in the source's clip, or all where it has none."""
    if source.clip is None:
        return index
    ends_s = source.clip.end_s
    return index.clipped(
        ceil(source.zero_s / index.time_base),
        None if ends_s is None else ceil((source.start_s + ends_s) / index.time_base),
    )


def refuse_copied_clip(source: Source, profile: Profile, kind: str) -> None:
    """Raise InvalidParameter when only a clip of the source is used: a copy begins and ends at packets."""
    if source.clip is not None:
        raise InvalidParameter(f"clip: profile {profile.name} copies the {kind}; allowed: one that encodes it")


def _to_the_frame(span: ClipSpan, source: Source, index: FrameIndex) -> ClipSpan:
    start_s, end_s = span.start_s, span.end_s
    if index.before:
        start_s = index.first * index.time_base - source.start_s
    if index.stop is not None:
        end_s = index.stop * index.time_base - source.start_s
    return ClipSpan(start_s=start_s, end_s=end_s)


def _is_heard(track: AudioStream, source: Source, span: ClipSpan) -> bool:
    starts, ends = _span_of(track, source)
    return ends > span.start_s and (span.end_s is None or starts < span.end_s)


def _span_of(track: Stream, source: Source) -> tuple[Fraction, Fraction]:
    starts_s = source.start_s if track.start_s is None else track.start_s
    ends_s = source.start_s + source.duration_s if track.end_s is None else track.end_s
    return starts_s - source.start_s, ends_s - source.start_s


def _chapters(source: Source, start_s: Fraction, end_s: Fraction) -> Iterator[Chapter]:
    for each in source.chapters:
        starts_s, ends_s = max(each.start_s, start_s), min(each.end_s, end_s)
        if starts_s < ends_s:
            yield each.model_copy(update={"start_s": starts_s, "end_s": ends_s})


def _nothing(what: str, source: Source, start_s: Fraction, end_s: Fraction | None) -> str:
    until = "its end" if end_s is None else f"{float(end_s):g} s"
    return (
        f"clip: no {what} of {source.name} begins between {float(start_s):g} s and {until}; "
        f"it lasts {float(source.duration_s):.3f} s"
    )

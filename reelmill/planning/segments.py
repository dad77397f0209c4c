"""Cuts a timeline into segments: half-open ranges of presentation time that hold every frame exactly once."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from reelmill.media.frame_index import FrameIndex, resample_times, times_digest
from reelmill.planning.plan import Segment

SHORTEST_USEFUL_S = 10
"""Below this a cut costs more in lost prediction than a second encoder gains."""
_SNAP_SHARE = Fraction(1, 20)
_MAX_LEAD_SHARE = Fraction(1, 2)
"""Most of the source that may be decoded twice for the sake of cutting. Decoding is some 6 % of an x264 encode."""
NEAR_START_S = Fraction(1, 2)
"""A seek this close to the start is not made: AVI and FLV fail at it silently and lose frames."""
FILTER_LEAD_FRAMES = 3
"""Frames that filters which look back (frame rate, deinterlacing) must see before a segment."""


@dataclass(frozen=True)
class Cut:
    """Times at which the source is cut, ascending, or none and the reason."""

    boundaries: tuple[int, ...]
    reason: str


def choose_cut(
    index: FrameIndex, *, target_s: float | None, default_s: float, workers: int, most_segments: int, lead: int = 0,
    allowed: Sequence[int] = (), uncut: Sequence[tuple[int, int]] = (),
) -> Cut:  # fmt: skip
    """Choose where to cut.

    With `target_s`, what the user asked for, segments are that long; otherwise `default_s` at most, shorter when there
    would be fewer segments than `workers`, but never under SHORTEST_USEFUL_S. A cut lies on a clean keyframe where one
    is near, on any frame otherwise; where some frames are `allowed`, on the nearest of those, and never inside a span
    of `uncut`. Unless the user asked for
    it, no cut is made where decoding up to it would cost more than it gains.
    """
    if index.fault:
        return Cut((), f"not cut: {index.fault}")
    duration = index.duration_s
    count = _segment_count(duration, target_s, default_s, workers)
    count = min(count, most_segments, len(index))
    if count < 2:
        return Cut((), f"not cut: {float(duration):.1f} s are encoded as fast in one piece")
    boundaries: tuple[int, ...] = ()
    while count > 1:
        boundaries = _boundaries(index, count, allowed, uncut)
        asked = target_s is not None
        if not boundaries or asked or _lead_frames(index, boundaries, lead) <= _MAX_LEAD_SHARE * len(index):
            break
        count = count // 2
    if not boundaries and uncut:
        return Cut((), "not cut: there are subtitles that make room for one another wherever it could be")
    if count < 2 or not boundaries:
        return Cut((), "not cut: most of the source would be decoded twice, its keyframes are too far apart")
    count = len(boundaries) + 1
    return Cut(boundaries, f"cut into {count} segments of about {float(duration / count):.1f} s")


def _segment_count(duration_s: Fraction, target_s: float | None, default_s: float, workers: int) -> int:
    if target_s is not None:
        return ceil(duration_s / Fraction(target_s))
    count = ceil(duration_s / Fraction(default_s))
    if count % workers:  # the last round keeps every worker busy
        count += workers - count % workers
    return min(count, int(duration_s / SHORTEST_USEFUL_S)) if count > 1 else 1


def _boundaries(
    index: FrameIndex, count: int, allowed: Sequence[int], uncut: Sequence[tuple[int, int]]
) -> tuple[int, ...]:
    """Return the start times of segments 1 to `count - 1`: distinct times of shown frames."""
    step = Fraction(index.end - index.first, count)
    clean = [entry.pts for entry in index.entries if entry.is_clean and not _span_around(entry.pts, uncut)]
    possible = [pts for pts in allowed if not _span_around(pts, uncut)]
    chosen: list[int] = []
    for number in range(1, count):
        ideal = index.first + number * step
        near = _nearest(possible if allowed else clean, ideal)
        is_near = near is not None and (bool(allowed) or abs(near - ideal) <= step * _SNAP_SHARE)
        frame = near if is_near else index.at_or_after(ceil(ideal))
        frame = None if frame is None else index.at_or_after(frame)
        while frame is not None and (span := _span_around(frame, uncut)):
            frame = None if allowed else index.at_or_after(span[1])
        if frame is not None and frame > (chosen[-1] if chosen else index.first):
            chosen.append(frame)
    return tuple(chosen)


def _span_around(pts: int, spans: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the span that the time is inside of; `spans` are ascending and apart."""
    position = bisect_left(spans, (pts,)) - 1
    return spans[position] if position >= 0 and spans[position][0] < pts < spans[position][1] else None


def _nearest(values: Sequence[int], wanted: Fraction) -> int | None:
    position = bisect_left(values, wanted)
    around = values[max(position - 1, 0) : position + 1]
    return min(around, key=lambda value: abs(value - wanted), default=None)


def _lead_frames(index: FrameIndex, boundaries: Sequence[int], lead: int) -> int:
    """Count the frames that are decoded only to get to the boundaries."""
    total = 0
    for boundary in boundaries:
        entry = index.entry_for(boundary, lead)
        total += len(index.within(entry.pts if entry else index.first, boundary))
    return total


def segments_of(index: FrameIndex, boundaries: Sequence[int], lead: int = 0) -> tuple[Segment, ...]:
    """Return the segments of a rendition that keeps every frame at its own time.

    `lead` frames before each segment are decoded too, for filters that look back.
    """
    starts = [index.first, *boundaries]
    ends: list[int | None] = [*boundaries, index.stop]
    only = len(starts) == 1
    return tuple(
        _segment(number, start, end, index, start, index.within(start, end), lead, only=only)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    )


def resampled_segments_of(index: FrameIndex, boundaries: Sequence[int], rate: Fraction) -> tuple[Segment, ...]:
    """Return the segments of a rendition at a constant `rate`; ranges count in `1/rate` seconds.

    The filter's grid hangs on the first frame, not on where decoding starts, so the pieces meet as they would in one
    run, and frames that are on a grid already stay what they are.
    Only the last frame's time depends on how long the source says it is shown, so the last digest is left open, but
    for a clip that ends earlier.
    """
    times = resample_times(index, rate)
    starts = [(times[0], index.first)]
    for boundary in boundaries:
        tick = round((boundary - index.first) * index.time_base * rate)
        if starts[-1][0] < tick <= times[-1]:
            starts.append((tick, boundary))
    stop = None if index.stop is None else times[-1] + 1
    ends: list[int | None] = [*(tick for tick, _ in starts[1:]), stop]
    segments = tuple(
        _segment(number, tick, end, index, pts, _between(times, tick, end), FILTER_LEAD_FRAMES, only=len(starts) == 1)
        for number, ((tick, pts), end) in enumerate(zip(starts, ends, strict=True))
    )
    return segments if stop else (*segments[:-1], segments[-1].model_copy(update={"times_digest": None}))


def _between(times: array[int], start: int, end: int | None) -> array[int]:
    return times[bisect_left(times, start) : len(times) if end is None else bisect_left(times, end)]


def _segment(
    number: int, start: int, end: int | None, index: FrameIndex, source_pts: int, times: array[int], lead: int, *,
    only: bool,
) -> Segment:  # fmt: skip
    entry = index.entry_for(source_pts, lead) if number or index.before else None
    if entry and (entry.pts - index.source_first) * index.time_base < NEAR_START_S:
        entry = None
    return Segment(
        number=number,
        start=start,
        end=end,
        entry_s=entry.pts * index.time_base if entry else None,
        frames=len(times),
        times_digest=times_digest(times, start),
        is_whole=only and end is None and not index.before,
        is_only=only,
    )

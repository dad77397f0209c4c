"""The times of a source's frames: what is shown, when, and where decoding may start."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal

Origin = Literal["packets", "decode"]


@dataclass(frozen=True)
class EntryPoint:
    """A keyframe. When `is_clean`, no frame shown at or after it needs anything before it."""

    pts: int
    is_clean: bool


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of every shown frame, ascending, in `time_base` seconds.

    `origin` says how they were learned: from the packets (no decoding), or by decoding the source once.
    `fault` says why the times can't be trusted as they are; None when they can. With `entries_are_claims` nobody has
    looked into the keyframes: the container says that they are clean.
    """

    time_base: Fraction
    times: array[int]
    entries: tuple[EntryPoint, ...]
    last_duration: int
    origin: Origin
    fault: str | None = None
    entries_are_claims: bool = False
    before: array[int] = field(default_factory=lambda: array("q"))
    """Times of the source's frames before the first of the index, where it is one of a clip."""
    stop: int | None = None
    """Time of the source's first frame after the last of the index, where it is one of a clip."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def first(self) -> int:
        return self.times[0]

    @property
    def source_first(self) -> int:
        """Time of the source's first frame, also where the index is one of a clip."""
        return self.before[0] if self.before else self.first

    @property
    def end(self) -> int:
        """Time at which the last frame is no longer shown."""
        return self.times[-1] + self.last_duration

    @property
    def duration_s(self) -> Fraction:
        return (self.end - self.first) * self.time_base

    def within(self, start: int, end: int | None) -> array[int]:
        """Times of the frames in the half-open range; an open end means to the last frame."""
        stop = len(self.times) if end is None else bisect_left(self.times, end)
        return self.times[bisect_left(self.times, start) : stop]

    def at_or_after(self, pts: int) -> int | None:
        """Return the time of the first frame at or after `pts`, or None past the last."""
        position = bisect_left(self.times, pts)
        return self.times[position] if position < len(self.times) else None

    def entry_for(self, pts: int, lead: int = 0) -> EntryPoint | None:
        """Return where to start decoding for a segment that begins at `pts`; None for the start of the file.

        `lead` frames before `pts` must be decoded too (filters that look back). A clean keyframe at or before that
        moment will do; of others, the last but one: the frames after an open one may need what came before it.
        """
        position = bisect_left(self.times, pts) - lead
        if position >= 0:
            wanted = self.times[position]
        else:
            wanted = self.before[max(position, -len(self.before))] if self.before else self.first
        before = bisect_right(self.entries, wanted, key=lambda entry: entry.pts)
        if before and self.entries[before - 1].is_clean:
            return self.entries[before - 1] if before > 1 else None
        return self.entries[before - 2] if before > 2 else None

    def clipped(self, start: int, stop: int | None) -> FrameIndex:
        """Return the index of the frames that begin from `start` to before `stop`, each shown for as long as it was."""
        first = bisect_left(self.times, start)
        last = len(self.times) if stop is None else bisect_left(self.times, stop)
        times = self.times[first:last]
        if last >= len(self.times) or not times:
            return replace(self, times=times, before=self.times[:first])
        following = self.times[last]
        return replace(
            self, times=times, last_duration=following - times[-1], before=self.times[:first], stop=following
        )

    def in_time_base(self, time_base: Fraction) -> FrameIndex:
        """Return the same times in another time base, of which its own is a multiple."""
        factor = self.time_base / time_base
        assert factor.denominator == 1, f"{time_base} does not divide {self.time_base}"
        ticks = factor.numerator

        def moved(times: array[int]) -> array[int]:
            return array("q", (each * ticks for each in times))

        return replace(
            self,
            time_base=time_base,
            times=moved(self.times),
            before=moved(self.before),
            entries=tuple(replace(each, pts=each.pts * ticks) for each in self.entries),
            last_duration=self.last_duration * ticks,
            stop=None if self.stop is None else self.stop * ticks,
        )

    def is_on_grid(self, rate: Fraction) -> bool:
        """Whether the frames lie on a grid of `rate` frames a second, each on a place of its own; places may be empty.

        A frame may be off by one tick of the time base, or by 1 ms.
        """
        slack = max(self.time_base, Fraction(1, 1000)) / self.time_base
        step = 1 / (rate * self.time_base)
        places = [round((pts - self.first) / step) for pts in self.times]
        distinct = all(earlier < later for earlier, later in pairwise(places))
        near = all(abs(pts - self.first - n * step) <= slack for pts, n in zip(self.times, places, strict=True))
        return distinct and near


def times_digest(times: Iterable[int], origin_pts: int) -> str:
    """Digest of frame times counted from `origin_pts`: what a piece must have, in one short string."""
    relative = array("q", (pts - origin_pts for pts in times))
    return hashlib.sha256(relative.tobytes()).hexdigest()[:32]


def index_fault(pts: Sequence[int | None]) -> str | None:
    """Say why packet times can't stand for frame times; None when they can."""
    if not pts:
        return "no frames in the index"
    missing = sum(each is None for each in pts)
    if missing:
        return f"{missing} of {len(pts)} packets have no presentation time"
    if len(set(pts)) != len(pts):
        return "two frames have one presentation time"
    return None


def resample_times(index: FrameIndex, rate: Fraction) -> array[int]:
    """Return the times, in units of `1/rate` s from the first frame, that ffmpeg's fps filter makes of the index."""
    return array("q", range(max(int(index.duration_s * rate + Fraction(1, 2)), 1)))


def pack_times(index: FrameIndex) -> bytes:
    """Return the times of the index as the content of a working file."""
    return f"{index.time_base} {index.last_duration}\n".encode() + index.times.tobytes()


def unpack_times(packed: bytes, frame_rate: Fraction | None) -> array[int]:
    """Return the times that `pack_times` packed, as a rendition has them: resampled when it has a `frame_rate`."""
    head, _, body = packed.partition(b"\n")
    time_base, last = head.decode().split()
    times = array("q")
    times.frombytes(body)
    if frame_rate is None:
        return times
    return resample_times(FrameIndex(Fraction(time_base), times, (), int(last), "packets"), frame_rate)

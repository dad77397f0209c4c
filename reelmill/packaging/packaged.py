"""A rendition as it lies in a package: a folder of its own, and where in its files each part is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import NamedTuple

from reelmill.packaging.fragments import Fragmented

_COPY_BYTES = 1 << 20


class Part(NamedTuple):
    """Bytes of a file. `file_name` is that inside the rendition's folder."""

    file_name: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Packaged:
    """A rendition of video or audio, in the folder `id`: a file for each part, or one for all."""

    id: str
    media: Fragmented
    file_per_segment: bool

    @property
    def start_s(self) -> Fraction:
        return Fraction(self.media.segments[0].start, self.media.timescale)

    @property
    def end_s(self) -> Fraction:
        last = self.media.segments[-1]
        return Fraction(last.start + last.duration, self.media.timescale)

    @property
    def init(self) -> Part:
        """Return the part that a player needs before any segment."""
        return Part("init.mp4" if self.file_per_segment else "media.mp4", 0, self.media.init_bytes)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the part of each segment."""
        return tuple(
            Part(f"{number:05d}.m4s", 0, each.size_bytes)
            if self.file_per_segment
            else Part("media.mp4", each.offset, each.size_bytes)
            for number, each in enumerate(self.media.segments, start=1)
        )

    @property
    def durations_s(self) -> tuple[Fraction, ...]:
        return tuple(Fraction(each.duration, self.media.timescale) for each in self.media.segments)

    @property
    def target_s(self) -> int:
        """Return the longest duration of a segment, rounded as HLS does."""
        return max(1, *(int(each + Fraction(1, 2)) for each in self.durations_s))

    @property
    def average_bps(self) -> int:
        """Return the bits of all segments over their duration."""
        return ceil(sum(each.size_bytes for each in self.media.segments) * 8 / sum(self.durations_s))

    @property
    def peak_bps(self) -> int:
        """Return the largest bit rate that a player must be able to take."""
        return peak_bps([each.size_bytes for each in self.media.segments], self.durations_s, self.target_s)

    @property
    def keyframes_peak_bps(self) -> int:
        """Return the same of the first frames of the segments alone."""
        return peak_bps([each.key_bytes for each in self.media.segments], self.durations_s, self.target_s)


def peak_bps(sizes_bytes: list[int], durations_s: tuple[Fraction, ...], target_s: int) -> int:
    """Return the largest bit rate of any run of segments that lasts from half to one and a half times `target_s`.

    That is the peak segment bit rate of RFC 8216, section 4.1. Where no run lasts so long, that of the whole.
    """
    sizes, ends = [0, *accumulate(sizes_bytes)], [Fraction(0), *accumulate(durations_s)]
    peak = Fraction(0)
    for first in range(len(sizes_bytes)):
        for after in range(first + 1, len(ends)):
            lasts = ends[after] - ends[first]
            if lasts > Fraction(3 * target_s, 2):
                break
            if lasts >= Fraction(target_s, 2):
                peak = max(peak, 8 * (sizes[after] - sizes[first]) / lasts)
    return ceil(peak or 8 * sizes[-1] / ends[-1])


def lay_out(media: Fragmented, folder: Path, *, file_per_segment: bool) -> Packaged:
    """Bring the parts of the rendition, whose one file is in `folder`, into the files they are to be in."""
    packaged = Packaged(folder.name, media, file_per_segment)
    if not file_per_segment:
        media.path.rename(folder / packaged.init.file_name)
        return packaged
    offsets = (0, *(each.offset for each in media.segments))
    with media.path.open("rb") as whole:
        for offset, part in zip(offsets, (packaged.init, *packaged.parts), strict=True):
            whole.seek(offset)
            (folder / part.file_name).write_bytes(whole.read(part.size_bytes))
    media.path.unlink()
    return packaged


def write_as_one(packaged: Packaged, folder: Path, out: Path) -> None:
    """Write what a player gets who fetches every part in its order."""
    with out.open("wb") as file:
        for part in (packaged.init, *packaged.parts):
            for content in _content(folder / packaged.id / part.file_name, part):
                file.write(content)


def _content(path: Path, part: Part) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.offset)
        left = part.size_bytes
        while left and (content := file.read(min(left, _COPY_BYTES))):
            left -= len(content)
            yield content

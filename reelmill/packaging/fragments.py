"""Cuts a rendition into media segments at the times of the plan, in one file that players can take ranges of."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path

from reelmill.packaging.boxes import Sample, box, file_type, read_header, read_samples, write_fragment
from reelmill.packaging.codec_names import codec_name

_SLACK_TICKS = 1
"""What a time may be early: joins are rounded to microseconds."""
_INDEX_HEAD_BYTES, _INDEX_ROW_BYTES = 40, 12


@dataclass(frozen=True)
class MediaSegment:
    """One media segment of a file. `start` and `duration` are of what is shown, in ticks of the file."""

    start: int
    duration: int
    offset: int
    size_bytes: int
    key_bytes: int
    """Size of the segment's first fragment, which has its first sample, a keyframe, and nothing else."""


@dataclass(frozen=True)
class Fragmented:
    """A rendition in one file: `init_bytes` of header, an index of segments, and the segments without a gap."""

    path: Path
    codecs: str
    timescale: int
    init_bytes: int
    index_bytes: int
    segments: tuple[MediaSegment, ...]

    @property
    def size_bytes(self) -> int:
        return self.segments[-1].offset + self.segments[-1].size_bytes


def cut_into_segments(
    written: Path, out: Path, *, starts_s: Sequence[Fraction], origin_s: Fraction, longest_s: Fraction
) -> Fragmented:
    """Write `out` with a segment for each of `starts_s`, from the fragmented MP4 that ffmpeg has written.

    `origin_s` is when its first frame or sample is shown, on the clock of `starts_s`. What comes after the last start
    is cut every `longest_s` again. A segment begins with a keyframe, so that it may begin later than asked for, or
    never. Its first sample is a fragment of its own, which can be fetched and decoded alone. Raises ValueError where
    `written` is not what ffmpeg writes.
    """
    header = read_header(written)
    scale = header.timescale
    origin = round(max(origin_s, Fraction(0)) * scale)
    starts = [ceil(each * scale) for each in starts_s[1:]]
    most = len(starts) + 2 + _more_segments(written, origin, starts, longest_s * scale)
    head = file_type() + header.moov
    room = _INDEX_HEAD_BYTES + _INDEX_ROW_BYTES * most
    segments: list[MediaSegment] = []
    with written.open("rb") as media, out.open("wb") as file:
        file.write(head + bytes(room))
        groups = _grouped(_decoded_from(read_samples(written), origin), header.skip, starts, longest_s * scale)
        for number, samples in enumerate(groups, start=1):
            offset = file.tell()
            key = write_fragment(file, media, 2 * number - 1, samples[:1])
            size = key + (write_fragment(file, media, 2 * number, samples[1:]) if samples[1:] else 0)
            shown = [each.time + each.shift - header.skip for each in samples]
            start = max(min(shown), origin) if number == 1 else min(shown)
            end = max(time + each.duration for time, each in zip(shown, samples, strict=True))
            segments.append(MediaSegment(start, end - start, offset, size, key))
        if not segments:
            raise ValueError("it has no samples")
        file.seek(len(head))
        file.write(_index(scale, segments, room))
    index_bytes = _INDEX_HEAD_BYTES + _INDEX_ROW_BYTES * len(segments)
    return Fragmented(out, codec_name(header.entry), scale, len(head), index_bytes, tuple(_touching(segments)))


def _more_segments(written: Path, origin: int, starts: Sequence[int], longest: Fraction) -> int:
    end = max((each.time + each.duration for each in read_samples(written)), default=0) + origin
    return ceil(max(end - (starts[-1] if starts else origin), 0) / longest)


def _decoded_from(samples: Iterator[Sample], origin: int) -> Iterator[Sample]:
    """Move the samples so that the first is decoded at `origin`, on the clock before the edit list."""
    first: Sample | None = None
    for each in samples:
        first = first or each
        yield each._replace(time=each.time - first.time + origin)


def _grouped(samples: Iterator[Sample], skip: int, starts: Sequence[int], longest: Fraction) -> Iterator[list[Sample]]:
    waiting = list(reversed(starts))
    following: Fraction | int | None = None
    group: list[Sample] = []
    for each in samples:
        shown = each.time + each.shift - skip
        if following is None:
            following = waiting.pop() if waiting else shown + longest
        if group and each.is_keyframe and shown + _SLACK_TICKS >= following:
            yield group
            group = []
            while following <= shown + _SLACK_TICKS:
                following = waiting.pop() if waiting else following + longest
        group.append(each)
    if group:
        yield group


def _touching(segments: Sequence[MediaSegment]) -> Iterator[MediaSegment]:
    """Yield the segments, each as long as it takes until the next one starts."""
    for each, after in pairwise(segments):
        yield MediaSegment(each.start, after.start - each.start, each.offset, each.size_bytes, each.key_bytes)
    yield segments[-1]


def _index(timescale: int, segments: Sequence[MediaSegment], room: int) -> bytes:
    """Return the sidx box of the segments (ISO/IEC 14496-12, 8.16.3), filled up to `room` bytes with a free box."""
    touching = list(_touching(segments))
    rows = b"".join(struct.pack(">III", each.size_bytes, each.duration, 0x90000000) for each in touching)
    free = room - (_INDEX_HEAD_BYTES + len(rows))
    head = struct.pack(">IIIQQHH", 0x1000000, 1, timescale, max(segments[0].start, 0), free, 0, len(segments))
    return box(b"sidx", head, rows) + box(b"free", bytes(free - 8))

"""Cuts an object into parts. Pure: nothing here asks a store."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from reelmill.errors import InvalidParameter

MIB = 1 << 20
SMALLEST_PART = 5 * MIB
LARGEST_PART = 5 << 30
MOST_PARTS = 10_000
LARGEST_OBJECT = 5 << 40
"""Limits of multipart uploads, from the S3 user guide. Only the last part may be smaller than the smallest."""

_USUAL_PART = 16 * MIB
_LARGE_PART = 64 * MIB
_AIMED_PARTS = 256
_AIMED_PART_S = 5.0
_SLOWEST_PART_S = 30.0
_LEAST_BY_RATE = 8 * MIB
_MOST_BY_RATE = 512 * MIB
_PARTS_PER_STREAM = 4
_BATCH_PARTS = 64
_BATCHES_PER_STREAM = 4
_USUAL_MIB = (5, 6, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024)
"""Part sizes of the tools that people upload with."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A half-open range of bytes of an object, by its number in the upload, from 1."""

    number: int
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start


def part_of(number: int, size_bytes: int, part_bytes: int) -> Part:
    """Return one part of an object that is cut every `part_bytes`."""
    start = (number - 1) * part_bytes
    return Part(number, start, min(start + part_bytes, size_bytes))


def plan_parts(size_bytes: int, part_bytes: int) -> tuple[Part, ...]:
    """Return the parts of an object: they cover it once, in order. An empty object has one empty part."""
    return tuple(part_of(n, size_bytes, part_bytes) for n in range(1, count_parts(size_bytes, part_bytes) + 1))


def count_parts(size_bytes: int, part_bytes: int) -> int:
    return max(-(-size_bytes // part_bytes), 1)


@dataclass(frozen=True)
class StreamRates:
    """Bytes a second of each stream, as measured in an earlier transfer, and as allowed at most; None where unknown."""

    streams: int
    measured: float | None = None
    allowed: float | None = None


def choose_part_bytes(
    size_bytes: int, rates: StreamRates, *, wanted: int | None = None, of_source: int | None = None
) -> int:
    """Return the size of parts, in bytes.

    The size that is `wanted`, where it is possible; else that of the parts the source was uploaded in, so that both get
    one ETag; else, in whole MiB, what a stream moves in 5 s by the measured rate, 8 to 512 MiB, and at least four parts
    for each stream; where nothing was measured 16 to 64 MiB by the size of the object. Less where a stream would take
    more than half a minute for it by the rate allowed. Never so small that there were more than 10,000.
    InvalidParameter when the object is too large for any store, or the wanted size is out of range.
    """
    if size_bytes > LARGEST_OBJECT:
        raise InvalidParameter(f"source: {size_bytes:,} bytes are more than an object may have ({LARGEST_OBJECT:,})")
    floor = max(SMALLEST_PART, -(-size_bytes // MOST_PARTS))
    if wanted is not None:
        if not (floor <= wanted <= LARGEST_PART):
            raise InvalidParameter(
                f"part_size (--part-size): {wanted:,} bytes are not allowed for {size_bytes:,} bytes; "
                f"allowed: {floor:,} to {LARGEST_PART:,}"
            )
        return wanted
    if of_source is not None and floor <= of_source <= max(_LARGE_PART, 2 * floor):
        return of_source
    aimed = min(max(size_bytes // _AIMED_PARTS, _USUAL_PART), _LARGE_PART)
    if rates.measured is not None:
        shared = max(size_bytes // (rates.streams * _PARTS_PER_STREAM), _LEAST_BY_RATE)
        aimed = min(max(int(rates.measured * _AIMED_PART_S), _LEAST_BY_RATE), _MOST_BY_RATE, shared)
    if rates.allowed is not None:
        aimed = min(aimed, int(rates.allowed * _SLOWEST_PART_S))
    return math.ceil(max(aimed, floor) / MIB) * MIB


def usual_part_bytes(size_bytes: int, parts: int) -> list[int]:
    """Return the usual part sizes that make so many parts of an object."""
    return [each * MIB for each in _USUAL_MIB if count_parts(size_bytes, each * MIB) == parts]


def batches(numbers: list[int], streams: int) -> Iterator[tuple[int, ...]]:
    """Yield the numbers in batches of at most 64, smaller and smaller: all streams have work until the end."""
    at = 0
    while at < len(numbers):
        size = min(max((len(numbers) - at) // (streams * _BATCHES_PER_STREAM), 1), _BATCH_PARTS)
        yield tuple(numbers[at : at + size])
        at += size


def parse_size(text: str, field: str) -> int:
    """Return the bytes that `64MiB`, `64M` (both 2^20), `50MB` (10^6) or a plain number mean. InvalidParameter."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or (size := _bytes_of(found, text)) < 1:
        raise InvalidParameter(f"{field}: {text[:40]!r} is not a size such as 64MiB, 50MB or 8388608")
    return size


def _bytes_of(found: re.Match[str], text: str) -> int:
    decimal = text.strip().lower().endswith("b") and not found[3]
    return int(float(found[1]) * (1000 if decimal else 1024) ** " kmgt".index(found[2].lower() or " "))

"""Divides a file into ranges of bytes that are worked on apart. A range has the records that begin in it.

Where the ranges meet is not looked up beforehand: each goes to the first record that begins in it, and reads to where
the first one begins that is not its own. `refuse_gaps` compares afterwards what the two sides of each cut have found.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field

import reelmill
from reelmill.errors import FormatNotAllowed, RecordsInvalid
from reelmill.forms import as_form
from reelmill.records import Portion, Record
from reelmill.settings import settings
from reelmill.storage.digests import content_key
from reelmill.storage.location import Location, parse_location, source_location
from reelmill.storage.pinning import opened, pin, release
from reelmill.storage.readable import Pinned

Begins = Callable[[Sequence[bytes]], bool]
OnBytes = Callable[[int], None]

_LONGEST_LINE_BYTES = 1 << 24
_BATCH_BYTES = 1 << 20
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03": "zip"}


class RangesJob(BaseModel):
    """A file to be worked on by ranges of bytes, and where the result goes."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=as_form)

    source: str = Field(description="Path of the file on the machine that does the work, or s3://bucket/key")
    output: str = Field(description="Folder for result.json, or s3://bucket/prefix")
    range_mib: int = Field(default=64, ge=1, title="Length of ranges", description="What one task reads, in MiB")

    @property
    def source_location(self) -> Location:
        return source_location(self.source, "source")

    @property
    def output_location(self) -> Location:
        return parse_location(self.output, "output", settings().output_root)


@dataclass(frozen=True)
class Range(Portion):
    """The bytes from `start` to before `end` of a source."""

    source: Pinned
    start: int
    end: int

    @contextmanager
    def records(self, lines: int, begins: Begins, on_bytes: OnBytes) -> Generator[Records]:
        """Give the records that begin in the range, each of so many `lines`. Raises SourceChanged, StoreFailed.

        `begins` says whether the first of so many lines is that of a record, and must be right of any line. `on_bytes`
        is told how many bytes of the range are done.
        """
        try:
            with opened(self.source) as readable, readable.open("rb") as file:
                yield Records(file, self, lines, begins, on_bytes)
        finally:
            release(self.source)  # the next range needs none of it


class RangeRecord(Record):
    """What came of a range: of the `count` records from the byte `begin` to before `end`."""

    begin: int
    end: int
    count: int


def divide_file(job: RangesJob, work: str) -> list[Range]:
    """Return the ranges of a job's source, whose keys also name the `work` and the version of this code.

    FormatNotAllowed when it is compressed, since nothing can be read from the middle of it. SourceNotFound and what
    else `pin` raises.
    """
    source = pin(job.source_location)
    with opened(source) as readable, readable.open("rb") as file:
        magic = file.read(max(map(len, _COMPRESSED)))
    for begins, name in _COMPRESSED.items():
        if magic.startswith(begins):
            raise FormatNotAllowed(f"{source.location.name} is compressed with {name}: decompress it first")
    return cut(source, job.range_mib << 20, work)


def cut(source: Pinned, range_bytes: int, work: str) -> list[Range]:
    """Return ranges of that length, the last one shorter, without looking into the source."""
    recipe = (work, reelmill.__version__, source.identity)
    ends = ((start, min(start + range_bytes, source.size_bytes)) for start in range(0, source.size_bytes, range_bytes))
    return [
        Range(content_key(*recipe, f"{start} {end}"), f"{work}-{number:05d}", end - start, source, start, end)
        for number, (start, end) in enumerate(ends)
    ]


class Records:
    """Those that begin in a range. So far `count` of them were read, from the byte `begin` to before `at`.

    `begin` is where the first of them begins, or the file ends. Where none begins in as many lines as one has, the file
    holds something else: then it is the first of these lines, and who reads on will see.
    """

    def __init__(self, file: BinaryIO, portion: Range, lines: int, begins: Begins, on_bytes: OnBytes):
        self._file, self._portion, self._lines, self._on_bytes = file, portion, lines, on_bytes
        self.begin = self.at = self._first(portion.start, begins) if portion.start else 0
        self.count = 0
        file.seek(self.begin)

    def batches(self, size_bytes: int = _BATCH_BYTES) -> Iterator[list[bytes]]:
        """Yield the records whole, in lists of about that size. The last one of a file may lack lines."""
        while batch := self._batch(self.at + size_bytes):
            self.count += len(batch)
            yield batch
            self._on_bytes(self.at - self.begin)

    def _batch(self, full_at: int) -> list[bytes]:
        batch = list[bytes]()
        while self.at < min(full_at, self._portion.end) and (record := b"".join(self._next(self._lines))):
            batch.append(record)
            self.at += len(record)
        return batch

    def _first(self, start: int, begins: Begins) -> int:
        self._file.seek(start - 1)
        at = start - 1 + len(self._file.readline(_LONGEST_LINE_BYTES))  # a line may begin at `start` itself
        found = self._next(2 * self._lines)
        padded = [*found, *[b""] * self._lines]
        for number in range(min(self._lines, len(found))):
            if begins(padded[number : number + self._lines]):
                return at + sum(map(len, found[:number]))
        return at if len(found) == 2 * self._lines else at + sum(map(len, found))

    def _next(self, count: int) -> list[bytes]:
        """Return the next lines; fewer at the end of the file."""
        lines = (self._file.readline(_LONGEST_LINE_BYTES) for _ in range(count))
        return list(itertools.takewhile(bool, lines))


def refuse_gaps(ranges: Sequence[Range], made: Sequence[RangeRecord]) -> None:
    """Raise RecordsInvalid unless what came of the ranges is of every byte of the file once."""
    found = [0, *(edge for each in made for edge in (each.begin, each.end)), ranges[-1].end if ranges else 0]
    for before, after in zip(found[::2], found[1::2], strict=True):
        if before != after:
            raise RecordsInvalid(f"between the bytes {before:,} and {after:,} no record begins or ends as it should")

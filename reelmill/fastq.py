"""How good the reads of a FASTQ file are, position by position, counted in ranges: the same however it was cut.

A record is four lines: `@` and a name, the bases, `+`, and as many qualities, each Phred + 33. Neither bases nor
qualities are folded (https://doi.org/10.1093/nar/gkp1137 allows it, sequencers don't do it).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest

from reelmill.errors import RecordsInvalid
from reelmill.ranges import OnBytes, Range, RangeRecord, refuse_gaps
from reelmill.records import Result

_RECORD = re.compile(rb"@.*\n([A-Za-z.*-]*)\r?\n\+.*\n([!-~]*)\r?\n?")


class Counts(RangeRecord):
    """What was counted in a range."""

    columns: tuple[tuple[int, ...], ...]
    """For each position: reads that have it, sum of their qualities, those with G or C, those with N."""


class FastqQuality(Result):
    """Number of reads, and for each position, from the first base on: of how many, and means over these."""

    reads: int
    reads_at: tuple[int, ...]
    mean_quality: tuple[float, ...]
    gc_share: tuple[float, ...]
    n_share: tuple[float, ...]


def begins_record(lines: Sequence[bytes]) -> bool:
    """Whether the first of four lines is a name. Qualities may begin with @, too: but no bases begin with +."""
    return lines[0].startswith(b"@") and lines[2].startswith(b"+")


def count_range(portion: Range, on_bytes: OnBytes) -> Counts:
    """Count the reads that begin in a range. Raises RecordsInvalid, SourceChanged, StoreFailed."""
    columns = tuple[tuple[int, ...], ...]()
    with portion.records(4, begins_record, on_bytes) as records:
        for batch in records.batches():
            alike = groupby(sorted(map(_read, batch), key=_magnitude), _magnitude)
            columns = _added(columns, *(_columns(list(group)) for _, group in alike))
    return Counts(key=portion.key, begin=records.begin, end=records.at, count=records.count, columns=columns)


def _read(record: bytes) -> tuple[bytes, bytes]:
    found = _RECORD.fullmatch(record)
    if found is None or len(found[1]) != len(found[2]):
        raise RecordsInvalid(f"{record[:200]!r} is not a whole FASTQ record: @name, bases, +, as many qualities")
    return found[1].upper(), found[2]


def _magnitude(read: tuple[bytes, bytes]) -> int:
    """Return the same for reads that can be padded to one length at no more than twice the bytes."""
    return len(read[0]).bit_length()


def _columns(reads: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[int, ...]]:
    width = max(len(bases) for bases, _ in reads)
    bases, quality = (b"".join(read[each].ljust(width, b"\0") for read in reads) for each in (0, 1))
    for position in range(width):
        here = bases[position::width]
        count = len(here) - here.count(0)
        yield count, sum(quality[position::width]) - 33 * count, here.count(b"G") + here.count(b"C"), here.count(b"N")


def _added(*columns: Iterable[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(sum, zip(*each, strict=True))) for each in zip_longest(*columns, fillvalue=(0, 0, 0, 0)))


def combine_counts(job_key: str, ranges: Sequence[Range], counts: Sequence[Counts]) -> FastqQuality:
    """Return the statistics of the whole file. RecordsInvalid when the ranges did not meet."""
    refuse_gaps(ranges, counts)
    reads, columns = sum(each.count for each in counts), _added(*(each.columns for each in counts))
    here, *sums = zip(*columns, strict=True) if columns else [()] * 4
    quality, gc, n = (tuple(each / of for each, of in zip(one, here, strict=True)) for one in sums)
    return FastqQuality(job_key=job_key, reads=reads, reads_at=here, mean_quality=quality, gc_share=gc, n_share=n)

"""Copies parts: bytes stream through one small buffer, digested on the way, and the store's word is compared."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from reelmill.errors import StoreFailed, StoreThrottled
from reelmill.media.tool_jobs import refuse_cancelled
from reelmill.settings import settings
from reelmill.storage.local_ranges import reading_file, writing_file
from reelmill.storage.location import S3Location
from reelmill.storage.s3_objects import copy_range
from reelmill.storage.s3_upload import Upload
from reelmill.storage.s3_wire import Wire, reading, writing
from reelmill.transfer.ends import SourceFile
from reelmill.transfer.ledger import Ledger, PartRecord
from reelmill.transfer.pacing import Pacer, pacer
from reelmill.transfer.parts import Part, part_of

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 10.0
ReadInto = Callable[[memoryview], int]
Told = Callable[[int, int], None]
"""Is called with a part's number and how many of its bytes have passed."""


@dataclass(frozen=True)
class Target:
    """Where the parts of one object go: an open upload, or a file that nobody sees yet."""

    place: Upload | Path

    @property
    def upload(self) -> Upload:
        assert isinstance(self.place, Upload)
        return self.place


@dataclass(frozen=True)
class Begun:
    """An object whose parts can be copied, by any process. Pickles."""

    name: str
    """Names it among the records."""
    source: SourceFile
    destination: S3Location | Path
    target: Target
    part_bytes: int
    by_store: bool
    """Whether the store copies by itself, so that no bytes come here."""
    twice: bool
    """Whether each range is read a second time, since nothing else would show a bit that was flipped on its way."""


@dataclass(frozen=True)
class Passed:
    """What a range of bytes was when it passed."""

    md5: str
    crc32: int


def copy_parts(
    begun: Begun, numbers: tuple[int, ...], *, ledger: Ledger, attempt: str, bytes_per_s: float | None, on_bytes: Told
) -> list[PartRecord]:
    """Copy parts one after another, and note each as soon as it has arrived.

    A part that fails in a way that may pass is tried again `s3_attempts` times, with longer and longer pauses. Raises
    SourceChanged, StoreFailed, StoreAccessDenied, NotEnoughSpace, JobCancelled.
    """
    done: list[PartRecord] = []
    with Wire() as wire:
        for number in numbers:
            part = part_of(number, begun.source.size_bytes, begun.part_bytes)
            record = _copy_often(wire, begun, part, attempt, pacer(attempt, bytes_per_s), on_bytes)
            ledger.note_part(begun.name, record)
            done.append(record)
    return done


def _copy_often(wire: Wire, begun: Begun, part: Part, attempt: str, pace: Pacer, on_bytes: Told) -> PartRecord:
    before, tries = wire.requests, settings().s3_attempts
    for number in range(tries):
        refuse_cancelled(attempt)
        try:
            record = (_copy_by_store if begun.by_store else _stream)(wire, begun, part, attempt, pace, on_bytes)
            return record.model_copy(update={"requests": record.requests + wire.requests - before})
        except StoreFailed as error:
            on_bytes(part.number, 0)
            if not error.retryable or number == tries - 1:
                raise
            pause_s = min(_FIRST_DELAY_S * 2**number, _LONGEST_DELAY_S)
            _sleep((4 if isinstance(error, StoreThrottled) else 1) * pause_s * random.uniform(0.5, 1.5), attempt)
    raise AssertionError


def _copy_by_store(wire: Wire, begun: Begun, part: Part, attempt: str, pace: Pacer, on_bytes: Told) -> PartRecord:
    assert isinstance(begun.source.location, S3Location)
    assert begun.source.facts is not None
    _wait(pace, part.size_bytes, attempt)
    upload = begun.target.upload
    etag, has_md5 = copy_range(upload, part.number, begun.source.location, begun.source.facts, part.start, part.end)
    on_bytes(part.number, part.size_bytes)
    return PartRecord(
        number=part.number, size_bytes=part.size_bytes, md5=etag if has_md5 else "", etag=etag, requests=1
    )  # fmt: skip


def _stream(wire: Wire, begun: Begun, part: Part, attempt: str, pace: Pacer, on_bytes: Told) -> PartRecord:
    what = f"{begun.destination}, part {part.number}"

    def tell(passed: int) -> None:
        refuse_cancelled(attempt)
        on_bytes(part.number, passed)

    with reading_range(wire, begun.source, part) as read:
        if isinstance(begun.target.place, Upload):
            with writing(wire, begun.target.place, part.number, part.size_bytes) as sink:
                passed = pass_on(wire, read, part.size_bytes, what, sink.write, pace=pace, tell=tell, attempt=attempt)
                etag, has_md5 = sink.stored_etag(passed.crc32)
            if has_md5 and etag != passed.md5:
                raise StoreFailed(f"{what}: what was stored is not what was sent (its MD5 differs)")
        else:
            with writing_file(begun.target.place, part.start) as write:
                passed = pass_on(wire, read, part.size_bytes, what, write, pace=pace, tell=tell, attempt=attempt)
            etag = ""
    if begun.twice and digest_range(wire, begun.source, part, attempt, pace) != passed:
        raise StoreFailed(f"{what}: the source's bytes came differently when read again")
    return PartRecord(
        number=part.number, size_bytes=part.size_bytes, md5=passed.md5, crc32=passed.crc32, etag=etag
    )  # fmt: skip


@contextmanager
def reading_range(wire: Wire, source: SourceFile, part: Part) -> Generator[ReadInto]:
    """Give what reads a part of the source, as it was when it was looked at. SourceChanged, StoreFailed."""
    if isinstance(source.location, S3Location):
        assert source.facts is not None
        facts = source.facts
        with reading(
            wire, source.location, facts.etag, facts.version, part.start, part.end, source.size_bytes
        ) as read:  # fmt: skip
            yield read
    else:
        with reading_file(source.location, source.version, part.start, part.end) as read:
            yield read


def digest_range(wire: Wire, source: SourceFile, part: Part, attempt: str, pace: Pacer) -> Passed:
    """Read a part of the source and return what it is. A file of this machine is on no line that others need."""
    held = pace if isinstance(source.location, S3Location) else None
    with reading_range(wire, source, part) as read:
        return pass_on(wire, read, part.size_bytes, str(source.location), attempt=attempt, pace=held)


def pass_on(
    wire: Wire,
    read: ReadInto,
    size_bytes: int,
    what: str,
    write: Callable[[memoryview], None] = lambda _: None,
    *,
    attempt: str,
    pace: Pacer | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> Passed:
    """Hand on exactly so many bytes, and return what they were. StoreFailed when fewer come."""
    md5, crc, passed = hashlib.md5(), 0, 0
    most = min(len(wire.buffer), (pace.block_bytes if pace else None) or len(wire.buffer))
    while passed < size_bytes:
        count = read(wire.buffer[: min(most, size_bytes - passed)])
        if not count:
            raise StoreFailed(f"{what}: {passed:,} of {size_bytes:,} bytes came")
        block = wire.buffer[:count]
        if pace is not None:
            _wait(pace, count, attempt)
        write(block)
        md5.update(block)
        crc = isal_zlib.crc32(block, crc)
        passed += count
        tell(passed)
    return Passed(md5.hexdigest(), crc)


def _wait(pace: Pacer, size_bytes: int, attempt: str) -> None:
    """Wait for leave to pass."""
    _sleep(pace.take(size_bytes), attempt)


def _sleep(seconds: float, attempt: str) -> None:
    """Sleep, in short pieces: a run that is cancelled must not wait for long."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        refuse_cancelled(attempt)
        time.sleep(min(left, 0.5))

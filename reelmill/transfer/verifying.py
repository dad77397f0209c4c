"""Reads a copy again and compares it, part by part, with what was sent or with the source."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from reelmill.errors import StoreFailed, VerifyFailed
from reelmill.storage.location import Location, S3Location
from reelmill.storage.s3_objects import remove_object
from reelmill.storage.s3_wire import Wire
from reelmill.transfer.copying import Passed, digest_range
from reelmill.transfer.ends import SourceFile, look_at_source
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.ledger import PartRecord
from reelmill.transfer.pacing import Pacer, pacer
from reelmill.transfer.parts import Part, part_of, plan_parts

_LOOKS = 3
_PART_BYTES = 64 << 20


def compare_with_source(
    source: SourceFile, destination: Location, accepted: AcceptedTransfer, attempt: str, *, is_ours: bool
) -> None:
    """Read source and copy, and compare them. Raises as `read_again`."""
    parts = plan_parts(source.size_bytes, _PART_BYTES)
    unknown = [PartRecord(number=each.number, size_bytes=each.size_bytes, md5="") for each in parts]
    read_again(source, destination, unknown, _PART_BYTES, accepted, attempt, is_ours=is_ours)


def read_again(
    source: SourceFile,
    destination: Location,
    parts: Sequence[PartRecord],
    part_bytes: int,
    accepted: AcceptedTransfer,
    attempt: str,
    *,
    is_ours: bool = True,
) -> list[PartRecord]:
    """Read the whole copy and return the records with all digests; those that had none are the source's.

    VerifyFailed when it differs: it is removed then, if it is ours.
    """
    copy, pace = look_at_source(destination), pacer(attempt, accepted.bytes_per_s)

    def look(record: PartRecord) -> PartRecord | None:
        part = part_of(record.number, source.size_bytes, part_bytes)
        with Wire() as wire:
            for _ in range(_LOOKS):  # a bit may be flipped on the way here
                found = _digest(wire, copy, part, attempt, pace)
                expected = record
                if record.crc32 is None:
                    truth = _digest(wire, source, part, attempt, pace)
                    expected = record.model_copy(update={"md5": truth.md5, "crc32": truth.crc32})
                if Passed(expected.md5, expected.crc32 or 0) == found:
                    return expected
        return None

    if copy.size_bytes != source.size_bytes:
        raise VerifyFailed(f"{destination}: it has {copy.size_bytes:,} of {source.size_bytes:,} bytes")
    with ThreadPoolExecutor(accepted.streams) as pool:
        looked = list(pool.map(look, parts if source.size_bytes else ()))
    if wrong := [record.number for record, found in zip(parts, looked, strict=False) if found is None]:
        if is_ours:
            _remove(copy)
        end = "it was removed" if is_ours else "it was left, since somebody else put it there"
        raise VerifyFailed(f"{destination}: read again, {len(wrong)} of {len(parts)} parts differ; {end}")
    return [each for each in looked if each is not None]


def _digest(wire: Wire, source: SourceFile, part: Part, attempt: str, pace: Pacer) -> Passed:
    failure: StoreFailed | None = None
    for _ in range(_LOOKS):
        try:
            return digest_range(wire, source, part, attempt, pace)
        except StoreFailed as error:
            failure = error
    assert failure is not None
    raise failure


def _remove(copy: SourceFile) -> None:
    if not isinstance(copy.location, S3Location):
        copy.location.unlink(missing_ok=True)
    elif copy.facts is not None:
        remove_object(copy.location, copy.facts.etag)

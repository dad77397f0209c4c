"""Copies small objects, each whole and at once: one request to read it, and one to write it."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from pathlib import Path

from isal import isal_zlib

from reelmill.errors import OutputCollision, SourceChanged, StoreConflict, StoreFailed
from reelmill.media.tool_jobs import refuse_cancelled
from reelmill.settings import settings
from reelmill.storage.digests import crc32_text
from reelmill.storage.file_notes import note_content
from reelmill.storage.local_ranges import make_hollow, new_draft, publish_file, writing_file
from reelmill.storage.location import Location, S3Location
from reelmill.storage.s3_objects import put_whole
from reelmill.storage.s3_wire import Wire
from reelmill.transfer.beginning import needs_copy
from reelmill.transfer.confirming import confirm_copy
from reelmill.transfer.copying import digest_range, pass_on, reading_range
from reelmill.transfer.ends import SourceFile, kept_of, look_at_source
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.ledger import PartRecord
from reelmill.transfer.pacing import pacer
from reelmill.transfer.parts import Part
from reelmill.transfer.plan import SMALL_BYTES, ObjectPlan
from reelmill.transfer.report import ObjectReport, Proof
from reelmill.transfer.verifying import read_again

_FIRST_DELAY_S = 0.1


def copy_small(
    planned: ObjectPlan, accepted: AcceptedTransfer, wire: Wire, attempt: str
) -> tuple[ObjectReport, str | None]:
    """Copy one object, unless its content is there, and return what came of it, and a warning.

    Raises as `copy_parts`, SourceChanged when it has grown since it was listed, and OutputCollision when another
    content is there, which is not to be replaced.
    """
    source, reads_again = look_at_source(planned.source), accepted.job.verify == "full"
    if not needs_copy(source, planned.destination, replaces=accepted.job.replace):
        warning = confirm_copy(source, planned.destination, accepted, attempt)
        return _report(planned, source, outcome="same already", read_again=reads_again), warning
    if source.size_bytes > SMALL_BYTES:  # whose whole content is never in memory
        raise SourceChanged(
            f"{planned.source} was small when it was listed and has {source.size_bytes:,} bytes now; the same command "
            "again copies it in parts"
        )
    content, proof = _read_often(wire, source, accepted, attempt)
    md5, crc32 = hashlib.md5(content).hexdigest(), crc32_text(isal_zlib.crc32(content))
    etag, warning = _write(planned.destination, source, content, accepted)
    if reads_again:
        whole = PartRecord(number=1, size_bytes=len(content), md5=md5, crc32=isal_zlib.crc32(content))
        read_again(source, planned.destination, [whole], max(len(content), 1), accepted, attempt)
    return _report(
        planned, source, outcome="copied", crc32=crc32, proof=proof, etag=etag, read_again=reads_again
    ), warning  # fmt: skip


def _write(
    destination: Location, source: SourceFile, content: bytes, accepted: AcceptedTransfer
) -> tuple[str, str | None]:
    """Write the copy, and return its ETag, which a file has not, and what there is to warn of."""
    if not isinstance(destination, S3Location):
        _write_file(destination, content, source.identity, accepted)
        return "", None
    headers, metadata, tags, warning = kept_of(source)
    try:
        return put_whole(destination, content, headers, metadata, tags, if_absent=not accepted.job.replace), warning
    except StoreConflict as error:
        if needs_copy(source, destination, replaces=False):  # else it was ours, and the answer was lost
            raise OutputCollision(f"destination: {destination} was made by somebody else meanwhile") from error
        return hashlib.md5(content).hexdigest(), warning


def _read_often(wire: Wire, source: SourceFile, accepted: AcceptedTransfer, attempt: str) -> tuple[bytes, Proof]:
    tries = settings().s3_attempts
    for number in range(tries):
        refuse_cancelled(attempt)
        try:
            return _read(wire, source, accepted, attempt)
        except StoreFailed as error:
            if not error.retryable or number == tries - 1:
                raise
            time.sleep(_FIRST_DELAY_S * 2**number * random.uniform(0.5, 1.5))
    raise AssertionError


def _read(wire: Wire, source: SourceFile, accepted: AcceptedTransfer, attempt: str) -> tuple[bytes, Proof]:
    """Return the content, and what it was compared with."""
    whole, content = Part(1, 0, source.size_bytes), bytearray()
    pace = pacer(attempt, accepted.bytes_per_s)
    if source.size_bytes:
        with reading_range(wire, source, whole) as read:
            passed = pass_on(
                wire, read, source.size_bytes, str(source.location), content.extend,
                attempt=attempt, pace=pace,
            )  # fmt: skip
        if source.facts is not None and source.facts.has_md5 and source.facts.parts is None:
            if passed.md5 != source.facts.etag.strip('"'):
                raise StoreFailed(f"{source.location}: what came is not what is stored (its MD5 differs)")
            return bytes(content), "content"
        if source.needs_second_look and digest_range(wire, source, whole, attempt, pace) != passed:
            raise StoreFailed(f"{source.location}: the bytes came differently when read again")
    if source.facts is None:
        if look_at_source(source.location).identity != source.identity:
            raise SourceChanged(f"{source.location} was changed while the job ran")
        return bytes(content), "file"
    return bytes(content), "read twice" if source.needs_second_look else "tls"


def _write_file(destination: Path, content: bytes, identity: str, accepted: AcceptedTransfer) -> None:
    draft = new_draft(destination, accepted.key)
    try:
        make_hollow(draft, 0)
        with writing_file(draft, 0) as write:
            write(memoryview(content))
        note_content(draft, identity)
        publish_file(draft, destination, replaces=accepted.job.replace)
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)


def _report(planned: ObjectPlan, source: SourceFile, **said: object) -> ObjectReport:
    return ObjectReport.model_validate(
        {
            "source": str(planned.source), "destination": str(planned.destination), "size_bytes": source.size_bytes,
            "parts": 1, "part_bytes": source.size_bytes, **said,
        }
    )  # fmt: skip

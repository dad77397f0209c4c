"""Ends an object's copy: every digest compared, then made visible, then, when wanted, read again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from reelmill.errors import SourceChanged, VerifyFailed
from reelmill.storage.digests import crc32_text
from reelmill.storage.file_notes import note_content
from reelmill.storage.local_ranges import publish_file
from reelmill.storage.location import S3Location
from reelmill.storage.s3_objects import keep_tags, look_at, stored_parts
from reelmill.storage.s3_upload import Upload, complete_upload
from reelmill.transfer.beginning import needs_copy
from reelmill.transfer.checksums import etag_of, fold_crc32
from reelmill.transfer.copying import Begun
from reelmill.transfer.ends import look_at_source, tags_kept
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.ledger import PartRecord
from reelmill.transfer.report import ObjectReport, Proof
from reelmill.transfer.verifying import read_again

Records = dict[int, PartRecord]


def proof_of(begun: Begun, records: Records) -> Proof | None:
    """Return what the copy was compared with on the source's side; None when it must be read twice to tell.

    VerifyFailed when what arrived is not what the source's store has the digest of.
    """
    source, parts = begun.source, [records[number] for number in sorted(records)]
    if source.facts is None:
        return "file"
    crcs = [(each.crc32, each.size_bytes) for each in parts if each.crc32 is not None]
    if source.facts.crc32 is not None and len(crcs) == len(parts):
        if crc32_text(fold_crc32(crcs)) == source.facts.crc32:
            return "crc32"
        return _doubt(begun, certain=True)
    is_comparable = source.facts.has_md5 and all(each.md5 for each in parts) and source.is_provable(begun.part_bytes)
    if is_comparable:
        made = etag_of([each.md5 for each in parts], of_parts=source.facts.parts is not None)
        if made == source.facts.etag.strip('"'):
            return "etag"
        return "store" if begun.by_store and source.is_guess else _doubt(begun, certain=not source.is_guess)
    if begun.by_store:
        return "store"
    return "read twice" if begun.twice else "tls"


def _doubt(begun: Begun, *, certain: bool) -> Proof | None:
    """Return what follows when digests differ: everything again, each range read twice; then there is no doubt left."""
    if not begun.twice and not begun.by_store:
        return None
    if certain:
        raise VerifyFailed(
            f"{begun.destination}: what arrived is not what the store of {begun.source.location} says it has"
        )
    return "read twice"


def finish_object(
    begun: Begun, records: Records, proof: Proof, accepted: AcceptedTransfer, attempt: str
) -> ObjectReport:
    """Make the copy visible and return what it is.

    Raises SourceChanged, OutputCollision when the destination was made meanwhile, VerifyFailed when the store has
    something else than was sent; a copy that is found wrong when it is read again is removed.
    """
    parts = [records[number] for number in sorted(records)]
    _refuse_changed(begun)
    if not accepted.job.replace:
        needs_copy(begun.source, begun.destination, replaces=False)
    etag = _publish(begun, parts, accepted)
    if isinstance(begun.destination, S3Location) and (tags := tags_kept(begun.source)[0]):
        keep_tags(begun.destination, tags)
    place = begun.target.place
    is_checked = (isinstance(place, Upload) and place.has_crc32) or all(
        each.md5 and (not each.etag or each.etag == each.md5) for each in parts
    )
    reads_again = accepted.job.verify == "full" or not is_checked
    if reads_again:
        parts = read_again(begun.source, begun.destination, parts, begun.part_bytes, accepted, attempt)
    crcs = [(each.crc32, each.size_bytes) for each in parts if each.crc32 is not None]
    return ObjectReport(
        source=str(begun.source.location), destination=str(begun.destination), size_bytes=begun.source.size_bytes,
        outcome="copied", parts=len(parts), part_bytes=begun.part_bytes, by_store=begun.by_store, etag=etag,
        crc32=crc32_text(fold_crc32(crcs)) if len(crcs) == len(parts) else None, proof=proof, read_again=reads_again,
    )  # fmt: skip


def _refuse_changed(begun: Begun) -> None:
    """Some stores copy without heeding what the source is pinned to, and a file can be written to at any time."""
    now = look_at_source(begun.source.location) if not begun.source.facts or not begun.source.facts.version else None
    if now is not None and (now.identity, now.version) != (begun.source.identity, begun.source.version):
        raise SourceChanged(f"{begun.source.location} was changed while the job ran")
    if now is not None and now.facts and begun.source.facts and now.facts.modified != begun.source.facts.modified:
        raise SourceChanged(f"{begun.source.location} was written again while the job ran")


def _publish(begun: Begun, parts: list[PartRecord], accepted: AcceptedTransfer) -> str:
    if not isinstance(begun.destination, S3Location):
        assert isinstance(begun.target.place, Path)
        note_content(begun.target.place, begun.source.identity)
        publish_file(begun.target.place, begun.destination, replaces=accepted.job.replace)
        shutil.rmtree(begun.target.place.parent, ignore_errors=True)
        return ""
    upload = begun.target.upload
    stored = stored_parts(upload)
    if stored is not None:  # else it may have been completed, by an attempt that the answer to was lost
        wrong = [each.number for each in parts if stored.get(each.number) != (each.size_bytes, each.etag)]
        if wrong or len(stored) != len(parts):
            raise VerifyFailed(
                f"{begun.destination}: the store has {len(stored)} of {len(parts)} parts, and "
                f"{len(wrong)} are not what was sent, first {wrong[:3]}"
            )
    complete_upload(
        replace(
            upload,
            etags=tuple(each.etag for each in parts),
            size_bytes=begun.source.size_bytes,
            crc32s=tuple(each.crc32 for each in parts if each.crc32 is not None) if upload.has_crc32 else (),
        ),
        if_absent=not accepted.job.replace,
    )
    found = look_at(begun.destination)
    if found is None or found.size_bytes != begun.source.size_bytes:
        raise VerifyFailed(f"{begun.destination}: it is not there, or was replaced by somebody else")
    return found.etag.strip('"')

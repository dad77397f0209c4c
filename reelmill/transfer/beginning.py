"""Begins an object's copy, or takes up the one that an earlier run began for the same content."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reelmill.errors import OutputCollision
from reelmill.settings import settings
from reelmill.storage.ledger import Note
from reelmill.storage.local import DRAFT_PREFIX
from reelmill.storage.local_ranges import explained_file, make_hollow, new_draft
from reelmill.storage.location import Location, S3Location
from reelmill.storage.s3 import S3Store, refuse_missing_bucket
from reelmill.storage.s3_objects import begin_copy, stored_parts
from reelmill.storage.s3_upload import Upload, abort_upload
from reelmill.storage.store import leaves_to_sweep
from reelmill.transfer.comparing import content_there
from reelmill.transfer.confirming import confirm_copy
from reelmill.transfer.copying import Begun, Target
from reelmill.transfer.ends import SourceFile, file_md5, kept_of, look_at_source
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.ledger import Beginning, Ledger, PartRecord, object_name
from reelmill.transfer.parts import StreamRates, count_parts, part_of
from reelmill.transfer.plan import ObjectPlan, TransferPlan, in_one_store, part_bytes_for

_CLOCKS_STEP_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """An object that is begun, the parts of it that have arrived, and what there is to say of it."""

    begun: Begun
    kept: dict[int, PartRecord]
    warnings: tuple[str, ...]


def begin_object(
    planned: ObjectPlan, accepted: AcceptedTransfer, rates: StreamRates, ledger: Ledger, attempt: str
) -> Start | SourceFile:
    """Return what is to be copied; the source alone when its content is at the destination already.

    A source that was changed since the plan, or of which only a listing was seen, is cut anew, by the plan's `rates`.
    Raises OutputCollision when another content is there, which is not to be replaced; SourceNotFound, StoreFailed.
    """
    source = look_at_source(planned.source)
    name = object_name(planned.destination)
    earlier = ledger.begun(name)
    if needs_copy(source, planned.destination, replaces=accepted.job.replace):
        part_bytes = part_bytes_for(accepted, source, rates)
        return _begin(source, planned.destination, part_bytes, accepted, ledger, earlier)
    was_killed = earlier is not None and earlier.identity == source.identity
    if warning := confirm_copy(source, planned.destination, accepted, attempt, was_killed=was_killed):
        _log.warning("%s", warning)
    if earlier is not None:
        discard(earlier, planned.destination, ledger)
    return source


def needs_copy(source: SourceFile, destination: Location, *, replaces: bool) -> bool:
    """Whether the destination lacks the source's content. OutputCollision when it has another, and that stays.

    What can't be compared counts as another.
    """
    local = next((each for each in (destination, source.location) if isinstance(each, Path)), Path())
    with explained_file(local):
        found = content_there(source, destination)
    if found == "another" and not replaces:
        raise OutputCollision(
            f"destination: {destination} is there already with another content; --replace replaces it"
        )
    if found == "unknown" and not replaces:
        raise OutputCollision(
            f"destination: {destination} is there already and can't be compared with {source.location}: nothing that "
            "is known of both tells; --replace copies it anew"
        )
    return found != "same"


def refuse_foreseen(accepted: AcceptedTransfer, plan: TransferPlan) -> None:
    """Raise what is certain to end the transfer at its destination, of what a request or two can tell.

    BucketNotFound, and OutputCollision where it is one object.
    """
    if isinstance(accepted.destination, S3Location):
        refuse_missing_bucket(accepted.destination)
    if not accepted.job.recursive:
        [planned] = plan.objects
        needs_copy(look_at_source(planned.source), planned.destination, replaces=accepted.job.replace)


def _begin(
    source: SourceFile,
    destination: Location,
    part_bytes: int,
    accepted: AcceptedTransfer,
    ledger: Ledger,
    earlier: Beginning | None,
) -> Start:
    name, warnings = object_name(destination), list[str]()
    by_store = in_one_store(source.location, destination)
    if earlier is not None:
        differs = _difference(earlier, source, accepted)
        kept = None if differs else _kept(earlier, source.size_bytes, ledger.parts(name))
        if kept is not None:
            _log.info("%s: %d parts have arrived already", destination, len(kept))
            return Start(_begun(source, destination, earlier, by_store), kept, ())
        if differs:
            warnings.append(f"{destination}: {differs}, so that what had arrived was dropped and it was begun anew")
        discard(earlier, destination, ledger)
    twice = source.needs_second_look and not source.is_provable(part_bytes)
    beginning = Beginning(
        source=str(source.location), identity=source.identity, part_bytes=part_bytes, twice=twice, token=""
    )  # fmt: skip
    if isinstance(destination, S3Location):
        headers, metadata, tags, warning = kept_of(source)
        warnings += [warning] if warning else []
        ledger.begin(name, beginning, None)  # before anything is open, so that a killed run's upload is found
        upload = begin_copy(destination, headers, metadata, tags, with_crc32=not by_store)
        token = upload.as_json()
        note = Note(str(destination.root), destination.key, token)
    else:
        draft = new_draft(destination, accepted.key)
        token, note = str(draft), Note(str(destination.parent), destination.name, str(draft.parent))
    beginning = beginning.model_copy(update={"token": token})
    begun = _begun(source, destination, beginning, by_store)
    try:
        ledger.begin(name, beginning, note)
        if isinstance(begun.target.place, Path):
            make_hollow(begun.target.place, source.size_bytes)
    except BaseException:  # nobody would know of it
        with leaves_to_sweep(f"an unfinished copy to {destination}"):
            end_copy(begun.target)
        raise
    return Start(begun, {}, tuple(warnings))


def _difference(earlier: Beginning, source: SourceFile, accepted: AcceptedTransfer) -> str | None:
    """Return why an earlier beginning is no use."""
    if earlier.source != str(source.location):
        return "an earlier run began it from another source"
    if earlier.identity != source.identity:
        return "the source was changed since an earlier run began it"
    if accepted.part_bytes not in (None, earlier.part_bytes):
        return "an earlier run began it in parts of another size"
    return None


def _begun(source: SourceFile, destination: Location, beginning: Beginning, by_store: bool) -> Begun:
    place = Upload.from_json(beginning.token) if isinstance(destination, S3Location) else Path(beginning.token)
    return Begun(
        object_name(destination), source, destination, Target(place), beginning.part_bytes, by_store, beginning.twice
    )


def _kept(earlier: Beginning, size_bytes: int, noted: dict[int, PartRecord]) -> dict[int, PartRecord] | None:
    """Return the parts that are noted and really there; None when nothing is open that more could be added to."""
    fitting = {
        number: record
        for number, record in noted.items()
        if number <= count_parts(size_bytes, earlier.part_bytes)
        and record.size_bytes == part_of(number, size_bytes, earlier.part_bytes).size_bytes
    }
    if not earlier.token.startswith("{"):
        return _in_draft(Path(earlier.token), size_bytes, earlier.part_bytes, fitting) if earlier.token else None
    stored = stored_parts(Upload.from_json(earlier.token))
    if stored is None:
        return None
    return {n: record for n, record in fitting.items() if stored.get(n) == (record.size_bytes, record.etag)}


def _in_draft(
    draft: Path, size_bytes: int, part_bytes: int, noted: dict[int, PartRecord]
) -> dict[int, PartRecord] | None:
    if not draft.is_file() or draft.stat().st_size != size_bytes:
        return None

    def is_intact(record: PartRecord) -> bool:
        return file_md5(draft, part_of(record.number, size_bytes, part_bytes)) == record.md5

    with ThreadPoolExecutor(settings().workers) as pool:
        intact = pool.map(is_intact, noted.values())
        return {number: record for (number, record), fits in zip(noted.items(), intact, strict=True) if fits}


def end_copy(target: Target) -> None:
    """Abort an upload, or remove a draft."""
    if isinstance(target.place, Upload):
        abort_upload(target.place)
    else:
        shutil.rmtree(target.place.parent, ignore_errors=True)


def discard(beginning: Beginning, destination: Location, ledger: Ledger) -> None:
    """Remove what an object's copy left open, and its records; what can't be removed now, `reelmill clean` sweeps."""
    name = object_name(destination)
    with leaves_to_sweep(f"an unfinished copy to {destination}"):
        if not isinstance(destination, S3Location):
            if (folder := Path(beginning.token).parent).name.startswith(DRAFT_PREFIX):
                shutil.rmtree(folder, ignore_errors=True)
        elif beginning.token:
            abort_upload(Upload.from_json(beginning.token))
        elif noted := ledger.store.stat(f"records/{name}.json"):  # killed while the store was asked to open one
            younger_s = noted.age_s + _CLOCKS_STEP_S
            S3Store(destination.root).abort_uploads(destination.key, younger_than_s=younger_s)
        ledger.forget(name, beginning.token)

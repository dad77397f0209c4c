"""What of a transfer is done, so that the same one, run again, moves only the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from reelmill.frozen import Frozen
from reelmill.storage.at_once import at_once
from reelmill.storage.ledger import Note, read_notes, remove_note, write_note
from reelmill.storage.location import Location, known_location
from reelmill.storage.opening import open_store
from reelmill.storage.store import Holds, Store, Unpublished, leaves_to_sweep
from reelmill.storage.working import hold_lock, remove_work, work_location

_FOLDER = "records"  # what `remove_work` removes, and so `reelmill clean`


class PartRecord(Frozen):
    """A part that has arrived. `crc32` is None where the store copied it itself."""

    number: int
    size_bytes: int
    md5: str
    """Empty where the store copied the part itself and does not say."""
    crc32: int | None = None
    etag: str = ""
    """What the store calls the part; empty in a file."""
    requests: int = 0


class Beginning(Frozen):
    """An object of which parts may have arrived: which content it was begun for, and where they are."""

    source: str
    identity: str
    part_bytes: int
    twice: bool
    token: str
    """The upload as JSON, or the path of the draft."""


@dataclass(frozen=True)
class Ledger:
    """Records in a store of the transfer's own, one object each, written as soon as it is true. Pickles."""

    store: Store

    def begin(self, name: str, beginning: Beginning, note: Note | None) -> None:
        """Note what is begun, and before that, for whoever sweeps up, what is open."""
        if note is not None:
            write_note(self.store, note)
        self.store.write(f"{_FOLDER}/{name}.json", beginning.model_dump_json().encode())

    def begun(self, name: str) -> Beginning | None:
        """Return what an earlier run began for an object; None when it did not, or another version wrote it."""
        content = self.store.read(f"{_FOLDER}/{name}.json")
        with suppress(ValidationError):
            return Beginning.model_validate_json(content) if content is not None else None
        return None

    def note_part(self, name: str, record: PartRecord) -> None:
        self.store.write(f"{_FOLDER}/{name}/{record.number:05d}.json", record.model_dump_json().encode())

    def parts(self, name: str) -> dict[int, PartRecord]:
        """Return the records of an object's parts by number. One that can't be read is none."""
        keys = [each.key for each in self.store.list(f"{_FOLDER}/{name}/")]
        found: dict[int, PartRecord] = {}
        for content in at_once(self.store.read, keys):
            with suppress(ValidationError):
                record = PartRecord.model_validate_json(content or b"")
                found[record.number] = record
        return found

    def forget_parts(self, name: str) -> None:
        """Remove the records of an object's parts: they are no use, and must not be taken for one."""
        self.store.remove_all(f"{_FOLDER}/{name}/")

    def forget(self, name: str, token: str) -> None:
        """Remove an object's records, and the note of what was open for it."""
        with leaves_to_sweep(f"records in {self.store.location}"):
            remove_note(self.store, note_token(token))
            self.store.remove_all(f"{_FOLDER}/{name}/")
            self.store.delete(f"{_FOLDER}/{name}.json")

    def end_open(self) -> None:
        """End whatever is noted as open, also what an earlier run began and this one never came to."""
        for _, note in read_notes(self.store):
            with leaves_to_sweep(f"an unfinished copy to {note.location}/{note.key}"):
                open_store(known_location(note.location)).discard(Unpublished(note.key, note.token, 0, None))

    def remove(self) -> None:
        """Remove everything; what can't be removed now is left to `reelmill clean`."""
        remove_work(self.store)


def note_token(token: str) -> str:
    """Return by what the store knows what is open: the upload itself, or the folder of the draft."""
    return token if token.startswith("{") else str(Path(token).parent)


def object_name(destination: Location) -> str:
    """Name an object among the records, the same in every run."""
    return hashlib.sha256(str(destination).encode()).hexdigest()[:24]


@contextmanager
def open_ledger(key: str, *, on_lost: Callable[[], None], wait_s: float = 0.0) -> Generator[tuple[Ledger, Holds]]:
    """Give a transfer its ledger for as long as the block runs, and what says whether it still holds it.

    JobRunning when another run has it for `wait_s` yet.
    `on_lost` is called, in another thread, when another run took it all the same.
    """
    place = work_location() / "jobs" / key
    store = open_store(place)
    try:
        with hold_lock(store, on_lost, wait_s) as holds:
            yield Ledger(store), holds
    finally:
        if isinstance(place, Path):
            with suppress(OSError):  # not empty: what is done is kept
                place.rmdir()

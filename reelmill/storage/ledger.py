"""Notes, in a job's own store, of what it has open in other stores: to be ended by whoever clears up after it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from reelmill.storage.at_once import at_once
from reelmill.storage.store import Store

_FOLDER = "uploads/"


@dataclass(frozen=True)
class Note:
    """An unpublished output: its store's location, the key it is to have there, and the store's token for it."""

    location: str
    key: str
    token: str


def write_note(ledger: Store, note: Note) -> None:
    """Note it under a name that follows from its token."""
    ledger.write(_key(note.token), json.dumps(asdict(note)).encode())


def remove_note(ledger: Store, token: str) -> None:
    """Forget what is no longer open."""
    ledger.delete(_key(token))


def _key(token: str) -> str:
    return f"{_FOLDER}{hashlib.sha256(token.encode()).hexdigest()[:16]}.json"


def read_notes(ledger: Store) -> Iterator[tuple[str, Note]]:
    """Yield the notes with the keys they have in the ledger."""
    keys = [each.key for each in ledger.list(_FOLDER)]
    for key, content in zip(keys, at_once(ledger.read, keys), strict=True):
        if content is not None:
            yield key, Note(**json.loads(content))

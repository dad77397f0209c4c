"""What a folder of this machine and a prefix of a bucket have in common: whole files under keys, put there at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reelmill.errors import JobRejected, StoreFailed
from reelmill.storage.location import Location

_log = logging.getLogger(__name__)

Holds = Callable[[], bool]
"""Says whether a lock is still its holder's. StoreFailed when that can't be told."""


@dataclass(frozen=True)
class ObjectStat:
    """What a store says of one object. `etag` changes with the content; `age_s` is by the store's own clock."""

    key: str
    size_bytes: int
    etag: str
    age_s: float


class Store(Protocol):
    """Objects under keys such as `pieces/a.mp4`, below one location.

    An object is there whole or not at all, and a reader sees the old content or the new. Errors are those of
    `reelmill.errors`: StoreFailed and below for what may pass, JobRejected for what won't.
    """

    @property
    def location(self) -> Location: ...

    def stat(self, key: str) -> ObjectStat | None:
        """Say what is known of an object; None when there is none."""
        ...

    def read(self, key: str, limit_bytes: int = 1 << 28) -> bytes | None:
        """Return the object's content, at most `limit_bytes` of it; None when there is none."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Put a small object."""
        ...

    def put_file(self, file: Path, key: str) -> None:
        """Put a whole file; the store may move it away, or leave it."""
        ...

    def fetch(self, key: str, folder: Path) -> Path:
        """Return a file of this machine with the object's content: the store's own, or a new one in `folder`.

        Raises StoreConflict when there is no such object.
        """
        ...

    def holds(self, key: str, size_bytes: int, sha256: str) -> bool:
        """Whether the object is there and is the one that was put with this digest."""
        ...

    def delete(self, *keys: str) -> None:
        """Remove objects; those that aren't there are no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield what is below a prefix, in no order. For sweeping up; no job trusts a listing."""
        ...

    def remove_empty(self, *folders: str) -> None:
        """Remove folders in which nothing is left; where there are only keys there is nothing to do."""
        ...

    def remove_all(self, prefix: str = "") -> None:
        """Remove what is below a prefix."""
        ...

    def lock(self, key: str, *, on_lost: Callable[[], None]) -> AbstractContextManager[Holds]:
        """Hold a lock for as long as the block runs; JobRunning when somebody has it.

        It ends with the process that holds it. `on_lost` is called, in another thread, when it was lost all the same;
        what the block is given says so at once.
        """
        ...

    def is_locked(self, key: str) -> bool:
        """Whether somebody who seems alive holds the lock."""
        ...

    def draft(self, job_key: str, attempt: str, ledger: Store, scratch: Path) -> AbstractContextManager[Draft]:
        """Give a place for an attempt's outputs, which nobody sees before they are published, and clear it in the end.

        So is what earlier attempts at the job left, when they died. `ledger` is a store of the job's own in which to
        note what must be cleared, `scratch` a folder of this machine.
        """
        ...

    def left_behind(self, key: str, job_key: str) -> bool:
        """Whether the object under a public key is what a killed attempt at this very job left."""
        ...

    def unpublished(self) -> Iterator[Unpublished]:
        """Yield what lies below this location waiting to be published, whoever put it there."""
        ...

    def discard(self, unpublished: Unpublished) -> None:
        """Remove what waits to be published; what is gone already is no error."""
        ...


@dataclass(frozen=True)
class Unpublished:
    """A draft folder, or an open upload: whatever a store keeps unseen. `token` is the store's name for it."""

    where: str
    token: str
    age_s: float
    size_bytes: int | None
    """None where the store doesn't say without being asked part by part."""


@dataclass(frozen=True)
class Staged:
    """A file that is in its store whole and checked, but not yet under its public key."""

    key: str
    size_bytes: int
    sha256: str
    upload: str = ""
    """What the store needs to publish it, as JSON."""


class Draft(Protocol):
    """The unpublished outputs of one attempt. Pickles, so that another process can stage into it."""

    @property
    def folder(self) -> Path:
        """Folder of this machine to write outputs into, before they are staged."""
        ...

    def elsewhere(self, folder: Path) -> Draft:
        """Return the draft for a machine that has not its folder, with `folder` instead. StoreFailed where it must."""
        ...

    def stage(self, key: str, sha256: str) -> Staged:
        """Put the file of that name into the store, still unseen."""
        ...

    def publish(self, staged: Staged) -> None:
        """Give a staged file its public key; StoreConflict when somebody has it."""
        ...

    def seal(self, key: str, content: bytes) -> None:
        """Put the last object, which vouches for the others; StoreConflict when there is another one."""
        ...


@contextmanager
def leaves_to_sweep(what: str) -> Generator[None]:
    """Let clearing up fail without failing the job: what is left is logged, and swept by `reelmill clean`."""
    try:
        yield
    except (StoreFailed, JobRejected) as error:
        _log.warning("left %s, for `reelmill clean`: %s", what, error)

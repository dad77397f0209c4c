"""Ranges of files of this machine: read while the file stays what it was, and written into one that nobody sees yet."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from reelmill.errors import InvalidKey, NotEnoughSpace, SourceChanged, StoreAccessDenied, StoreConflict, StoreFailed
from reelmill.storage.local import DRAFT_PREFIX, place_new, sync


@contextmanager
def reading_file(path: Path, version: str, start: int, end: int) -> Generator[Callable[[memoryview], int]]:
    """Give what reads a half-open range of a file, as `reelmill.storage.pinning` pinned it. SourceChanged, StoreFailed.

    The file is looked at again after its last byte.
    """
    with explained_file(path), path.open("rb", buffering=0) as file:
        file.seek(start)
        left = end - start

        def read(block: memoryview) -> int:
            nonlocal left
            count = file.readinto(block[: min(len(block), left)])
            left -= count
            return count

        yield read
        if str(os.fstat(file.fileno()).st_mtime_ns) != version:
            raise SourceChanged(f"{path.name} was changed while the job ran")


def new_draft(target: Path, job_key: str) -> Path:
    """Return where a file is to be made before it has its name: a hidden folder beside it that no other run has.

    Runs that share no lock may write to one place, and what another one writes into a draft would be published.
    """
    return target.parent / f"{DRAFT_PREFIX}{job_key[:16]}-{uuid.uuid4().hex[:8]}" / "draft.part"


def make_hollow(path: Path, size_bytes: int) -> None:
    """Make a sparse file of that size, with its folder. StoreFailed when somebody has it."""
    with explained_file(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.truncate(size_bytes)


@contextmanager
def writing_file(path: Path, start: int) -> Generator[Callable[[memoryview], None]]:
    """Give what writes blocks one after another from `start` on. NotEnoughSpace, StoreFailed."""
    with explained_file(path):
        descriptor = os.open(path, os.O_WRONLY)
    try:
        at = start

        def write(block: memoryview) -> None:
            nonlocal at
            while block:
                with explained_file(path):
                    written = os.pwrite(descriptor, block, at)
                at, block = at + written, block[written:]

        yield write
    finally:
        os.close(descriptor)


def publish_file(draft: Path, target: Path, *, replaces: bool) -> None:
    """Give a finished draft its name, for good. StoreConflict when somebody has it, unless it `replaces` that."""
    with explained_file(target):
        sync(draft)
        if replaces:
            draft.replace(target)
        else:
            try:
                place_new(draft, target)
            except FileExistsError as error:
                raise StoreConflict(f"{target} was made by somebody else meanwhile") from error
            draft.unlink(missing_ok=True)
        sync(target.parent)


@contextmanager
def explained_file(path: Path) -> Generator[None]:
    """Turn errors of this machine's files into ours: those that trying again won't mend say so."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceChanged(f"{path} is gone") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NotEnoughSpace(f"there is no room left for {path}") from error
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidKey(f"{path.parent}: no file can have the name {path.name[:100]!r}: it is too long") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreAccessDenied(f"{path}: {error.strerror}") from error
        if error.errno in (errno.ENOTDIR, errno.EISDIR):
            raise StoreConflict(f"{path}: {error.strerror}") from error
        raise StoreFailed(f"{path}: {error.strerror}") from error

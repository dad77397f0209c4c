"""A folder of this machine, or one that several machines share, as a store."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from reelmill.errors import JobRejected, JobRunning, NotEnoughSpace, StoreAccessDenied, StoreConflict, StoreFailed
from reelmill.storage.digests import file_digest
from reelmill.storage.store import Holds, ObjectStat, Staged, Store, Unpublished

DRAFT_PREFIX = ".reelmill-"


@dataclass(frozen=True)
class LocalStore:
    """Objects are files below `location`."""

    location: Path

    def stat(self, key: str) -> ObjectStat | None:
        try:
            found = (self.location / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise StoreAccessDenied(f"{self.location} can't be looked into: {error.strerror}") from error
        return ObjectStat(key, found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}", time.time() - found.st_mtime)

    def read(self, key: str, limit_bytes: int = 1 << 28) -> bytes | None:
        path = self.location / key
        if not path.is_file():  # a folder, or a pipe, which would be waited for
            return None
        try:
            with path.open("rb") as file:
                return file.read(limit_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, content: bytes) -> None:
        target = self.location / key
        draft = target.with_name(f"{uuid.uuid4().hex}.part")
        with _explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_bytes(content)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)

    def put_file(self, file: Path, key: str) -> None:
        target = self.location / key
        with _explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                file.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                draft = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
                try:
                    shutil.copyfile(file, draft)
                    draft.replace(target)
                finally:
                    draft.unlink(missing_ok=True)

    def fetch(self, key: str, folder: Path) -> Path:
        path = self.location / key
        if not path.is_file():
            raise StoreConflict(f"{path} is gone")
        return path

    def holds(self, key: str, size_bytes: int, sha256: str) -> bool:
        path = self.location / key
        return path.is_file() and path.stat().st_size == size_bytes and file_digest(path) == sha256

    def delete(self, *keys: str) -> None:
        for key in keys:
            (self.location / key).unlink(missing_ok=True)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        for path in sorted((self.location / prefix).rglob("*")):
            with suppress(FileNotFoundError):
                if path.is_file() and (found := self.stat(str(path.relative_to(self.location)))):
                    yield found

    def remove_empty(self, *folders: str) -> None:
        for folder in folders:
            below = [each for each in (self.location / folder).rglob("*") if each.is_dir()]
            for each in (*sorted(below, reverse=True), self.location / folder):
                with suppress(OSError):  # something is left in it, or it is gone
                    each.rmdir()

    def remove_all(self, prefix: str = "") -> None:
        shutil.rmtree(self.location / prefix, ignore_errors=True)

    @contextmanager
    def lock(self, key: str, *, on_lost: Callable[[], None]) -> Generator[Holds]:
        """Hold a lock of the kernel's, which ends with the process that holds it and is never lost."""
        path = self.location / key
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("w")
            except (FileExistsError, FileNotFoundError):  # its last holder removes the folder
                continue
            with file as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise JobRunning("another run of the same job is at work on this machine") from error
                # Its last holder may have removed it after we opened it: then another run may hold a new one.
                if _is_at(path, lock.fileno()):
                    try:
                        yield lambda: True
                    finally:
                        path.unlink(missing_ok=True)
                    return

    def is_locked(self, key: str) -> bool:
        try:
            with (self.location / key).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def draft(self, job_key: str, attempt: str, ledger: Store, scratch: Path) -> Generator[LocalDraft]:
        """Give a hidden folder inside this one, and remove it in the end.

        So are those of earlier attempts at the job, whose machines died. A folder that was made for this attempt, and
        stayed empty, goes again.
        """
        made = [each for each in (self.location, *self.location.parents) if not each.exists()]
        try:
            self.location.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JobRejected(f"output: the folder {self.location} can't be made: {error.strerror}") from error
        for stale in self.location.glob(f"{DRAFT_PREFIX}{job_key[:16]}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        folder = self.location / f"{DRAFT_PREFIX}{job_key[:16]}-{attempt[:8]}"
        folder.mkdir()
        try:
            yield LocalDraft(self.location, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            for each in made:
                if each.is_dir() and not any(each.iterdir()):
                    each.rmdir()

    def left_behind(self, key: str, job_key: str) -> bool:
        published = self.location / key
        drafts = (each / key for each in self.location.glob(f"{DRAFT_PREFIX}{job_key[:16]}-*"))
        return any(_is_ours(each, published) for each in drafts)

    def unpublished(self) -> Iterator[Unpublished]:
        for folder in self.location.rglob(f"{DRAFT_PREFIX}*-*"):
            if folder.is_dir():
                stats = [each.stat() for each in (folder, *folder.rglob("*"))]
                age_s = time.time() - max(each.st_mtime for each in stats)
                size_bytes = sum(each.st_size for each in stats if S_ISREG(each.st_mode))
                yield Unpublished(str(folder), str(folder), age_s, size_bytes)

    def discard(self, unpublished: Unpublished) -> None:
        shutil.rmtree(unpublished.token, ignore_errors=True)


@dataclass(frozen=True)
class LocalDraft:
    """Outputs in a hidden folder beside where they are to be."""

    output: Path
    folder: Path

    def elsewhere(self, folder: Path) -> LocalDraft:
        raise StoreFailed(
            f"{self.output} is not a folder of this machine: with workers on others, results need a bucket"
        )

    def stage(self, key: str, sha256: str) -> Staged:
        file = self.folder / key
        sync(file)
        return Staged(key, file.stat().st_size, sha256)

    def publish(self, staged: Staged) -> None:
        target = self.output / staged.key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            place_new(self.folder / staged.key, target)
        except FileExistsError as error:
            if not _is_ours(self.folder / staged.key, target):  # else this was tried before
                raise StoreConflict(f"{target} was made by somebody else meanwhile") from error
        except NotADirectoryError as error:
            raise StoreConflict(f"{target.parent} is not a folder") from error
        for folder in {target.parent, self.output}:
            sync(folder)

    def seal(self, key: str, content: bytes) -> None:
        (self.folder / key).write_bytes(content)
        sync(self.folder / key)
        self.publish(Staged(key, len(content), ""))


def _is_ours(file: Path, published: Path) -> bool:
    with suppress(OSError):
        if file.exists():
            return file.samefile(published)
        return file.with_name(f"{file.name}.moved").read_text() == _known_by(published)
    return False


def _known_by(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_dev} {stat.st_ino} {stat.st_mtime_ns}"


def place_new(file: Path, target: Path) -> None:
    """Give the file a second name, unless somebody has it: FileExistsError then."""
    try:
        os.link(file, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        file.with_name(f"{file.name}.moved").write_text(_known_by(file))
        file.rename(target)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(target: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NotEnoughSpace(f"there is no room left for {target}") from error
        raise StoreFailed(f"{target} can't be written: {error.strerror}") from error

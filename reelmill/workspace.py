"""Where one job's unfinished work is kept, so that a later run, or another machine, can take it up."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from pydantic import ValidationError

from reelmill.errors import (
    BudgetExceeded,
    MediaDamaged,
    NotEnoughSpace,
    SourceChanged,
    StoreAccessDenied,
    StoreConflict,
    StoreFailed,
)
from reelmill.media.subtitles import Subtitles
from reelmill.planning.plan import Plan
from reelmill.records import FileRecord, Record
from reelmill.settings import settings
from reelmill.storage.digests import file_digest
from reelmill.storage.location import Location, S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.store import Store
from reelmill.storage.working import hold_lock, remove_work, work_location

_SPARE_BYTES = 64 << 20
_FETCHES = 2
Kept = TypeVar("Kept", bound=Record)
KeptFile = TypeVar("KeptFile", bound=FileRecord)


@dataclass(frozen=True)
class Workspace:
    """Pieces, tracks and records of one job, in `store`. `cache` is a folder of the machine that runs the flow.

    Pickles: on another machine the same workspace is reached through the store.
    """

    store: Store
    cache: Path

    @contextmanager
    def folder(self) -> Generator[Path]:
        """Give a folder of this machine for files in the making: the run's own where that is, else one for now."""
        if self.cache.is_dir():
            yield self.cache
            return
        with scratch_folder() as folder:
            yield folder

    @contextmanager
    def unfinished(self) -> Generator[Path]:
        """Give a name for a file in the making; what bears it in the end is removed."""
        with self.folder() as folder:
            path = folder / f"{uuid.uuid4().hex}.part"
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def keep(self, file: Path, record: KeptFile) -> KeptFile:
        """Put a finished, checked file where every run of the job finds it; its record last."""
        self.store.put_file(file, f"pieces/{record.file_name}")
        if file.exists() and self.cache.is_dir():  # the store has a copy: the merge on this machine needs no other
            file.replace(self.cache / record.file_name)
        return self.note(record)

    def note(self, record: Kept) -> Kept:
        """Put a record where every run of the job finds it."""
        self.store.write(f"records/{record.key}.json", record.model_dump_json(exclude={"reused"}).encode())
        return record

    def kept(self, kind: type[Kept], key: str) -> Kept | None:
        """Return what an earlier run noted, if the file that it speaks of is still there; None otherwise."""
        content = self.store.read(f"records/{key}.json")
        if content is None:
            return None
        with suppress(ValidationError):
            record = kind.model_validate_json(content)
            if not isinstance(record, FileRecord) or self._holds(record):
                return record.model_copy(update={"reused": True})
        return None

    def _holds(self, record: FileRecord) -> bool:
        return self.store.holds(f"pieces/{record.file_name}", record.size_bytes, record.sha256)

    def fetch(self, record: FileRecord, folder: Path) -> Path:
        """Return a file of this machine with the piece in it, byte for byte as it was checked.

        Raises StoreFailed when what the store gives is another content; its record is removed then, so that trying
        again makes the piece anew.
        """
        cached = folder / record.file_name
        if cached.is_file() and file_digest(cached) == record.sha256:
            return cached
        for _ in range(_FETCHES):
            with suppress(StoreConflict):
                path = self.store.fetch(f"pieces/{record.file_name}", folder)
                if file_digest(path) == record.sha256:
                    return path
        self.store.delete(f"records/{record.key}.json")
        raise StoreFailed(f"the piece {record.file_name} is gone or was changed; run the job again")

    def load_plan(self) -> Plan | None:
        """Return the plan of an earlier run; None when there is none, or another version wrote it."""
        return _saved_plan(self.store)

    def save_plan(self, plan: Plan) -> None:
        """Note the plan that the pieces are made by: a later run, with more workers perhaps, keeps to it."""
        self.store.write("plan.json", plan.model_dump_json().encode())

    def save_frame_times(self, times: bytes) -> None:
        """Note the times of the source's frames, as `frame_index.pack_times` gives them."""
        self.store.write("frames.index", times)

    def load_frame_times(self) -> bytes:
        content = self.store.read("frames.index")
        if content is None:
            raise StoreFailed("the times of the source's frames are gone; run the job again")
        return content

    def save_subtitles(self, subtitles: Subtitles) -> None:
        """Note the subtitles that are drawn into the picture."""
        self.store.write("subtitles.json", subtitles.model_dump_json().encode())

    def load_subtitles(self, digest: str) -> Subtitles:
        """Return the subtitles of this digest. Raises StoreFailed where they are gone, or are others."""
        content = self.store.read("subtitles.json")
        if content is not None:
            with suppress(ValidationError):
                subtitles = Subtitles.model_validate_json(content)
                if subtitles.digest == digest:
                    return subtitles
        raise StoreFailed("the subtitles that are burned in are gone or were changed; run the job again")

    def remove(self) -> None:
        """Remove the job's unfinished work; what can't be removed now is left to `reelmill clean`."""
        remove_work(self.store)


@contextmanager
def scratch_folder() -> Generator[Path]:
    """Give an empty folder of this machine, and remove it with what is in it."""
    settings().scratch_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=settings().scratch_dir, prefix="work-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def earlier_work(job_key: str) -> tuple[Plan | None, frozenset[str]]:
    """Return the plan that a job goes on by, None when it was not begun, and the keys of what seems to be finished.

    For estimates: nobody has looked at more than the names of the records.
    """
    folder, store = "records/", open_store(work_location() / "jobs" / job_key)
    names = (each.key for each in store.list(folder))
    keys = frozenset(name.removeprefix(folder).removesuffix(".json") for name in names if name.endswith(".json"))
    return _saved_plan(store), keys


def _saved_plan(store: Store) -> Plan | None:
    content = store.read("plan.json")
    with suppress(ValidationError):
        return Plan.model_validate_json(content) if content is not None else None
    return None


@contextmanager
def open_workspace(
    job_key: str, *, on_lost: Callable[[], None] = lambda: None, wait_s: float = 0.0
) -> Generator[Workspace]:
    """Give the job its workspace for as long as the block runs. JobRunning when another run has it for `wait_s` yet.

    Unfinished work is removed when the block removes it or no later run could use it, and, unless the setting
    `keep_unfinished` says otherwise, when it is in a bucket. `on_lost` is called when another run took the workspace.
    """
    place = work_location() / "jobs" / job_key
    store = open_store(place)
    try:
        with hold_lock(store, on_lost, wait_s), _cache(place, job_key) as cache:
            workspace = Workspace(store, cache)
            try:
                yield workspace
            except BaseException as error:
                lost_anyway = isinstance(error, MediaDamaged | SourceChanged)
                kept_anyway = isinstance(error, BudgetExceeded)
                if lost_anyway or not (kept_anyway or keeps_unfinished()):
                    workspace.remove()
                raise
    finally:
        if isinstance(place, Path):
            with suppress(OSError):  # not empty: unfinished work is kept
                place.rmdir()


def keeps_unfinished() -> bool:
    """Whether the finished pieces of a job that failed are kept for its next run."""
    wanted = settings().keep_unfinished
    return wanted if wanted is not None else not isinstance(work_location(), S3Location)


@contextmanager
def _cache(place: Location, job_key: str) -> Generator[Path]:
    """Give the run's folder on this machine: the store's own where that is a folder, so that nothing is copied."""
    if isinstance(place, Path):
        cache = place / "pieces"
        cache.mkdir(parents=True, exist_ok=True)
        for unfinished in place.rglob("*.part"):  # a killed run's: only we are here
            unfinished.unlink(missing_ok=True)
        for outputs in cache.glob("outputs-*"):
            shutil.rmtree(outputs, ignore_errors=True)
        yield cache
        return
    cache = settings().scratch_dir / f"job-{job_key}"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    try:
        yield cache
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def refuse_full_disk(plan: Plan, output: Location) -> None:
    """Raise NotEnoughSpace when the pieces or the outputs are not expected to fit on this machine's disks.

    StoreAccessDenied when nothing can be written where the outputs go.
    What a given bit rate needs is known; of anything else the size of the source is taken. What goes to a bucket is
    written beside the pieces first.
    """
    if isinstance(output, Path):
        _refuse_unwritable(output)
    sources_bytes = sum(each.size_bytes for each in plan.sources)
    rendition_bytes = {
        each.id: int(each.bitrate_bps * plan.used_s / 8) if each.bitrate_bps else sources_bytes for each in plan.video
    }
    outputs_bytes = sum(rendition_bytes[name] for each in plan.outputs for name in each.videos)
    # While a rendition is packaged it is there once more.
    outputs_bytes += max(
        (rendition_bytes[name] for each in plan.outputs if each.package for name in each.videos), default=0
    )
    pieces_bytes = sum(rendition_bytes[each.id] for each in plan.video if each.segments)
    work = work_location()
    work_disk = work if isinstance(work, Path) else settings().scratch_dir
    needed = ((work_disk, pieces_bytes), (output if isinstance(output, Path) else work_disk, outputs_bytes))
    for folder, _ in needed:
        disk = _existing(folder).stat().st_dev
        on_this_disk = sum(size for each, size in needed if _existing(each).stat().st_dev == disk) + _SPARE_BYTES
        free = shutil.disk_usage(_existing(folder)).free
        if free < on_this_disk:
            raise NotEnoughSpace(f"{free >> 20} MiB are free for some {on_this_disk >> 20} MiB of {folder.name}")


def _refuse_unwritable(output: Path) -> None:
    above = _existing(output)
    holds_files = above.is_dir() and shutil.disk_usage(above).total > 0  # /proc says that all may write there
    if not (holds_files and os.access(above, os.W_OK | os.X_OK)):
        raise StoreAccessDenied(f"output: nothing can be written to {above}")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())

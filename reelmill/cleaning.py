"""Sweeps what a power cut left: working folders, drafts of outputs and open uploads that nobody works on any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reelmill.errors import JobRunning
from reelmill.manifest import FILE_NAME
from reelmill.settings import settings
from reelmill.storage.ledger import read_notes
from reelmill.storage.local import DRAFT_PREFIX
from reelmill.storage.location import Location, S3Location, known_location
from reelmill.storage.opening import open_store
from reelmill.storage.store import Unpublished
from reelmill.storage.working import work_location
from reelmill.workspace import Workspace

_OF_RUNS = ("job-*", "work-*")


@dataclass(frozen=True)
class Leftover:
    """Something that nobody has touched for `age_s` seconds; `size_bytes` is None where the store doesn't say."""

    kind: Literal["work", "draft", "upload", "scratch"]
    where: str
    age_s: float
    size_bytes: int | None
    unpublished: Unpublished | None = None
    """The draft or the upload, where it is one."""


def find_leftovers(older_than_s: float, outputs: Iterable[Location]) -> Iterator[Leftover]:
    """Yield what is older than that in the work location, in this machine's scratch folder and below `outputs`.

    Nothing of a job that is being worked on is among it.
    """
    work = work_location()
    jobs = _jobs(work)
    alive = [name for name in jobs if open_store(work / "jobs" / name).is_locked("lock")]
    for name, (age_s, size_bytes) in jobs.items():
        if name not in alive and age_s > older_than_s:
            yield Leftover("work", str(work / "jobs" / name), age_s, size_bytes)
    in_use = {note.token for name in alive for _, note in read_notes(open_store(work / "jobs" / name))}
    for place in outputs:
        for found in open_store(place).unpublished():
            if found.age_s > older_than_s and found.token not in in_use and not _is_of(found, alive):
                kind = "upload" if isinstance(place, S3Location) else "draft"
                yield Leftover(kind, found.where, found.age_s, found.size_bytes, found)
    yield from _scratch(older_than_s, alive)


def sweep(leftover: Leftover) -> bool:
    """Remove it; False when somebody has taken it up meanwhile."""
    where = known_location(leftover.where)
    if leftover.kind == "work":
        return _sweep_job(where)
    if leftover.unpublished is not None:
        folder = where.root if isinstance(where, S3Location) else where.parent
        open_store(folder).discard(leftover.unpublished)
    elif isinstance(where, Path):
        shutil.rmtree(where, ignore_errors=True)
    return True


def _jobs(work: Location) -> dict[str, tuple[float, int]]:
    """Return the age of the youngest object of every job, in seconds, and the bytes they have together."""
    found: dict[str, tuple[float, int]] = {}
    for each in open_store(work / "jobs").list():
        name, slash, _ = each.key.partition("/")
        age_s, size_bytes = found.get(name, (each.age_s, 0))
        if slash:
            found[name] = min(age_s, each.age_s), size_bytes + each.size_bytes
    return found


def _sweep_job(place: Location) -> bool:
    """Remove a job's unfinished work, with the uploads it left open and the outputs that have no manifest."""
    store = open_store(place)
    try:
        with store.lock("lock", on_lost=lambda: None):
            for _, note in read_notes(store):
                output = open_store(known_location(note.location))
                output.discard(Unpublished(note.key, note.token, 0, None))
                if output.stat(FILE_NAME) is None and output.left_behind(note.key, place.name):
                    output.delete(note.key)
            Workspace(store, settings().scratch_dir).remove()
    except JobRunning:
        return False
    if isinstance(place, Path):
        with suppress(OSError):
            place.rmdir()
    return True


def _is_of(found: Unpublished, alive: Iterable[str]) -> bool:
    """Whether it is the hidden folder of a job that is being worked on: its name begins with the job's."""
    name = Path(found.where).name.removeprefix(DRAFT_PREFIX)
    return any(name.startswith(each[:16]) for each in alive)


def _scratch(older_than_s: float, alive: Iterable[str]) -> Iterator[Leftover]:
    for pattern in _OF_RUNS:
        for folder in settings().scratch_dir.glob(pattern):
            with suppress(FileNotFoundError):  # somebody is at work there
                files = [each.stat() for each in (folder, *folder.rglob("*"))]
                age_s = time.time() - max(each.st_mtime for each in files)
                if age_s > older_than_s and folder.name.removeprefix("job-") not in alive:
                    yield Leftover("scratch", str(folder), age_s, sum(each.st_size for each in files[1:]))

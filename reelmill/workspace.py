"""The folder in which one job's unfinished work is kept, so that a later run can take it up again."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from reelmill.errors import JobRunning, MediaDamaged, NotEnoughSpace, SourceChanged
from reelmill.planning.plan import Plan
from reelmill.settings import settings

_SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class Workspace:
    """`pieces` holds the encoded segments and tracks, `records` what is known of them."""

    root: Path

    @property
    def pieces(self) -> Path:
        return self.root / "pieces"

    @property
    def records(self) -> Path:
        return self.root / "records"

    @property
    def plan_file(self) -> Path:
        """The plan that the pieces were made by: a later run, with more workers perhaps, keeps to it."""
        return self.root / "plan.json"

    def load_plan(self) -> Plan | None:
        """Return the plan of an earlier run; None when there is none, or another version wrote it."""
        try:
            return Plan.model_validate_json(self.plan_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def save_plan(self, plan: Plan) -> None:
        draft = self.plan_file.with_suffix(".part")
        draft.write_text(plan.model_dump_json(), encoding="utf-8")
        draft.replace(self.plan_file)

    @property
    def frame_times(self) -> Path:
        """The times of the source's frames, as `save_index` writes them."""
        return self.root / "frames.index"

    def remove(self) -> None:
        """Remove the job's unfinished work."""
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def open_workspace(job_key: str) -> Generator[Workspace]:
    """Give the job its folder for as long as the block runs. JobRunning when another run on this machine has it.

    The lock is the kernel's: it ends with the process that holds it, however that ends.
    """
    jobs = settings().work_dir / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    with _locked(jobs / f"{job_key}.lock") as lock:
        workspace = Workspace(jobs / job_key)
        workspace.pieces.mkdir(parents=True, exist_ok=True)
        workspace.records.mkdir(parents=True, exist_ok=True)
        for unfinished in workspace.pieces.glob("*.part"):  # a killed run's: only we are here
            unfinished.unlink()
        try:
            yield workspace
        except (MediaDamaged, SourceChanged):  # no later run can take this up again
            workspace.remove()
            raise
        finally:
            if not workspace.root.exists():
                lock.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Generator[Path]:
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise JobRunning("another run of the same job is at work on this machine") from error
            # Its last holder may have removed the file after we opened it: then another run may hold a new one.
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                yield path
                return


def refuse_full_disk(plan: Plan, output: Path) -> None:
    """Raise NotEnoughSpace when the pieces or the outputs are not expected to fit.

    What a given bit rate needs is known; of anything else the size of the source is taken.
    """
    source = plan.source
    rendition_bytes = {
        each.id: int(each.bitrate_bps * source.duration_s / 8) if each.bitrate_bps else source.size_bytes
        for each in plan.video
    }
    outputs_bytes = sum(rendition_bytes.get(each.video or "", 0) for each in plan.outputs)
    pieces_bytes = sum(rendition_bytes[each.id] for each in plan.video if each.segments)
    work, result = _existing(settings().work_dir), _existing(output)
    if work.stat().st_dev == result.stat().st_dev:
        outputs_bytes, pieces_bytes = outputs_bytes + pieces_bytes, 0
    for existing, folder, needed in ((work, settings().work_dir, pieces_bytes), (result, output, outputs_bytes)):
        free = shutil.disk_usage(existing).free
        if free < needed + _SPARE_BYTES:
            raise NotEnoughSpace(
                f"{free >> 20} MiB are free for some {(needed + _SPARE_BYTES) >> 20} MiB of {folder.name}"
            )


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())

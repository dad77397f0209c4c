"""Pieces that are kept and found again, one run of a job at a time, and none that the disk can't hold."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from reelmill.errors import JobRejected, JobRunning, MediaDamaged, NotEnoughSpace, SourceChanged, StoreFailed
from reelmill.job import TranscodeJob
from reelmill.planning.plan import Plan
from reelmill.records import FileRecord, PieceRecord, Record
from reelmill.settings import settings
from reelmill.workspace import Workspace, open_workspace, refuse_full_disk
from tests.pipeline import prepare_job

ROOT = Path(__file__).parents[2]
KEY = "c" * 40
MIB = 1 << 20


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@contextmanager
def held_by_a_child(key: str = KEY) -> Iterator[subprocess.Popen[str]]:
    code = f"""
from reelmill.workspace import open_workspace
with open_workspace({key!r}) as workspace:
    (workspace.cache / "piece").touch()
    print("held", flush=True)
    input()
    workspace.remove()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


def plan_of(source: Path, output: Path, **choices: object) -> Plan:
    return prepare_job(TranscodeJob.model_validate({"source": str(source), "output": str(output), **choices})).plan


def test_second_holder_is_refused_while_another_process_has_the_workspace():
    with held_by_a_child(), pytest.raises(JobRunning), open_workspace(KEY):
        pass


def test_second_holder_is_refused_in_the_same_process():
    with open_workspace(KEY), pytest.raises(JobRunning), open_workspace(KEY):
        pass
    with open_workspace(KEY):
        pass


def test_other_jobs_have_workspaces_of_their_own():
    with open_workspace(KEY) as one, open_workspace("d" * 40) as other:
        assert one.store.location != other.store.location


def test_lock_dies_with_its_process_and_the_work_stays():
    with held_by_a_child() as child:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        with open_workspace(KEY) as workspace:
            assert [each.name for each in workspace.cache.iterdir()] == ["piece"]


def test_lock_is_let_go_when_the_run_fails():
    with pytest.raises(RuntimeError), open_workspace(KEY):
        raise RuntimeError
    with open_workspace(KEY):
        pass


def test_runs_that_come_while_another_ends_get_the_workspace_or_are_refused():
    ends = time.monotonic() + 2

    def come_and_go() -> int:
        """Return how often the workspace was ours; anything but JobRunning comes out."""
        had = 0
        while time.monotonic() < ends:
            with suppress(JobRunning), open_workspace(KEY) as workspace:
                workspace.remove()
                had += 1
        return had

    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(come_and_go) for _ in range(4)]
    assert sum(each.result() for each in runs) > 4


def test_nothing_is_left_of_a_workspace_that_was_removed():
    with open_workspace(KEY) as workspace:
        kept(workspace, b"a piece")
        workspace.save_frame_times(b"times")
        workspace.remove()
    assert list((Path(settings().work_dir) / "jobs").iterdir()) == []


def test_plan_is_read_back_as_it_was_saved(clip: Path, tmp_path: Path):
    plan = plan_of(clip, tmp_path / "out", formats=["mp4", "flv"], segment_s=0.3)
    with open_workspace(KEY) as workspace:
        assert workspace.load_plan() is None
        workspace.save_plan(plan)
        assert workspace.load_plan() == plan
        workspace.store.write("plan.json", plan.model_dump_json().encode()[:100])
        assert workspace.load_plan() is None


# Pieces


def record_of(content: bytes, key: str = "piece") -> FileRecord:
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{key}-{sha256[:16]}.mp4"
    return FileRecord(key=key, file_name=name, size_bytes=len(content), sha256=sha256, cpu_s=1, wall_s=2)


def kept(workspace: Workspace, content: bytes, key: str = "piece") -> FileRecord:
    """Make and keep a piece."""
    with workspace.unfinished() as out:
        out.write_bytes(content)
        return workspace.keep(out, record_of(content, key))


class Noted(Record):
    count: int


def test_record_without_a_file_is_found_by_the_next_run_and_not_when_it_was_cut_off():
    with open_workspace(KEY) as workspace:
        assert workspace.kept(Noted, "one") is None
        workspace.note(Noted(key="one", count=3))
    with open_workspace(KEY) as workspace:
        assert workspace.kept(Noted, "one") == Noted(key="one", count=3, reused=True)
        workspace.store.write("records/one.json", b'{"key": "one", "cou')
        assert workspace.kept(Noted, "one") is None


def piece_in(workspace: Workspace, record: FileRecord) -> Path:
    return Path(str(workspace.store.location)) / "pieces" / record.file_name


def test_piece_is_found_again_by_a_later_run_which_knows_that_it_did_not_make_it():
    with open_workspace(KEY) as workspace:
        assert workspace.kept(FileRecord, "piece") is None
        made = kept(workspace, b"a piece")
    with open_workspace(KEY) as workspace:
        again = workspace.kept(FileRecord, "piece")
        assert again == made.model_copy(update={"reused": True})
        assert not made.reused
        with workspace.folder() as folder:
            assert workspace.fetch(made, folder).read_bytes() == b"a piece"


def lose(piece: Path) -> None:
    piece.unlink()


def flip(piece: Path) -> None:
    piece.write_bytes(b"a pIece")


def cut_off(piece: Path) -> None:
    piece.write_bytes(b"a pie")


@pytest.mark.parametrize("harm", [lose, flip, cut_off])
def test_piece_that_was_harmed_between_two_runs_is_not_kept(harm: Callable[[Path], None]):
    with open_workspace(KEY) as workspace:
        record, other = kept(workspace, b"a piece"), kept(workspace, b"another", "other")
    harm(piece_in(workspace, record))
    with open_workspace(KEY) as workspace:
        assert workspace.kept(FileRecord, "piece") is None
        assert workspace.kept(FileRecord, "other") == other.model_copy(update={"reused": True})


@pytest.mark.parametrize("content", [b"", b'{"key": "piece", "file', b"[]", b"\xff"])
def test_record_that_cannot_be_read_counts_as_none(content: bytes):
    with open_workspace(KEY) as workspace:
        kept(workspace, b"a piece")
        workspace.store.write("records/piece.json", content)
        assert workspace.kept(FileRecord, "piece") is None


def test_record_of_another_kind_counts_as_none():
    with open_workspace(KEY) as workspace:
        kept(workspace, b"a piece")
        assert workspace.kept(PieceRecord, "piece") is None


def test_piece_that_is_made_again_differently_replaces_its_record_and_not_its_file():
    """A run that lost its workspace without knowing may still read the piece that it recorded."""
    with open_workspace(KEY) as workspace, workspace.folder() as folder:
        first, second = kept(workspace, b"a piece"), kept(workspace, b"a piece, again")
        assert workspace.kept(FileRecord, "piece") == second.model_copy(update={"reused": True})
        assert workspace.fetch(first, folder).read_bytes() == b"a piece"


@pytest.mark.parametrize("harm", [lose, flip, cut_off])
def test_piece_that_was_harmed_while_the_job_ran_is_refused_and_made_anew_by_the_next_run(
    harm: Callable[[Path], None],
):
    with open_workspace(KEY) as workspace, workspace.folder() as folder:
        record = kept(workspace, b"a piece")
        harm(piece_in(workspace, record))
        with pytest.raises(StoreFailed, match="run the job again"):
            workspace.fetch(record, folder)
        piece_in(workspace, record).write_bytes(b"a piece")
        assert workspace.kept(FileRecord, "piece") is None


def test_file_in_the_making_is_gone_however_it_ends():
    def fail_halfway(workspace: Workspace) -> None:
        with workspace.unfinished() as out:
            out.write_bytes(b"half a piece")
            raise RuntimeError

    with open_workspace(KEY) as workspace:
        with pytest.raises(RuntimeError):
            fail_halfway(workspace)
        assert list(workspace.cache.iterdir()) == []


def test_what_a_killed_run_was_making_is_removed_by_the_next_one():
    with open_workspace(KEY) as workspace:
        record = kept(workspace, b"a piece")
        (workspace.cache / "0123.part").write_bytes(b"half a piece")
    with open_workspace(KEY) as workspace:
        assert [each.name for each in workspace.cache.iterdir()] == [record.file_name]


def test_nothing_is_left_of_a_job_whose_earlier_run_was_killed_while_it_noted_something():
    code = f"""
import os, signal
from pathlib import Path
from reelmill.workspace import open_workspace
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with open_workspace({KEY!r}) as workspace:
    workspace.save_frame_times(b"times")
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == -signal.SIGKILL
    with open_workspace(KEY) as workspace:
        workspace.remove()
    assert list((Path(settings().work_dir) / "jobs").iterdir()) == []


def test_where_the_runs_folder_is_not_work_is_done_in_the_scratch_folder(tmp_path: Path):
    """A worker of another machine has the pickled workspace: it reaches the store, and nothing else of the run."""
    with open_workspace(KEY) as workspace:
        elsewhere = replace(pickle.loads(pickle.dumps(workspace)), cache=tmp_path / "on another machine")
        with elsewhere.folder() as folder:
            assert folder.is_relative_to(settings().scratch_dir)
        record = kept(elsewhere, b"a piece")
        assert workspace.kept(FileRecord, "piece") == record.model_copy(update={"reused": True})
        assert not elsewhere.cache.exists()
        assert list(settings().scratch_dir.iterdir()) == []


def fail_with_a_piece_made(error: type[Exception]) -> None:
    with open_workspace(KEY) as workspace:
        kept(workspace, b"a piece")
        raise error


@pytest.mark.parametrize("error", [MediaDamaged, SourceChanged])
def test_work_that_no_later_run_can_use_is_removed(error: type[JobRejected]):
    with pytest.raises(error):
        fail_with_a_piece_made(error)
    assert list((Path(settings().work_dir) / "jobs").iterdir()) == []


@pytest.mark.parametrize(("keep", "left"), [("", True), ("true", True), ("false", False)])
def test_work_of_a_failed_run_is_kept_unless_told_otherwise(keep: str, left: bool, monkeypatch: pytest.MonkeyPatch):
    if keep:
        monkeypatch.setenv("REELMILL_KEEP_UNFINISHED", keep)
        settings.cache_clear()
    with pytest.raises(RuntimeError):
        fail_with_a_piece_made(RuntimeError)
    with open_workspace(KEY) as workspace:
        assert (workspace.kept(FileRecord, "piece") is not None) == left


def test_frame_times_are_read_back_as_they_were_saved():
    with open_workspace(KEY) as workspace:
        with pytest.raises(StoreFailed, match="run the job again"):
            workspace.load_frame_times()
        workspace.save_frame_times(b"1/25 1\n" + bytes(16))
        assert workspace.load_frame_times() == b"1/25 1\n" + bytes(16)


# Room


@pytest.mark.parametrize("full", ["work", "out"])
def test_disk_that_is_too_small_is_refused(full: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REELMILL_WORK_DIR", str(tmp_path / "work"))
    settings.cache_clear()
    for folder in ("work", "out"):
        (tmp_path / folder).mkdir()
    plan = plan_of(clip, tmp_path / "out")
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: Usage(1 << 40, 0, 10 * MIB if Path(path).name == full else 1 << 40)
    )
    with pytest.raises(NotEnoughSpace, match="10 MiB are free") as caught:
        refuse_full_disk(plan, tmp_path / "out")
    assert full in str(caught.value)


def test_disk_with_room_is_not_refused_though_the_folders_are_not_there_yet(clip: Path, tmp_path: Path):
    refuse_full_disk(plan_of(clip, tmp_path / "a" / "b" / "out"), tmp_path / "a" / "b" / "out")


def test_room_counts_for_pieces_and_outputs_together_when_they_share_a_disk(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A rendition of 1 Gb/s takes 120 MiB as pieces and as much again as each output."""
    profile = tmp_path / "large.yaml"
    profile.write_text("version: 1\nname: large\nvideo: {codec: h264, bitrate_bps: 1_000_000_000}\n")
    plan = plan_of(clip, tmp_path / "out", profile=str(profile))
    needed = 1_000_000_000 // 8
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, needed + 80 * MIB))
    with pytest.raises(NotEnoughSpace):
        refuse_full_disk(plan, tmp_path / "out")

"""One run of a job at a time on a machine, and none that the disk can't hold."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from reelmill.errors import JobRunning, NotEnoughSpace
from reelmill.job import TranscodeJob
from reelmill.planning.plan import Plan
from reelmill.preparing import accept_job, plan_job, probe_job
from reelmill.settings import settings
from reelmill.workspace import open_workspace, refuse_full_disk
from tests.live_jobs import make_clip

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
    (workspace.pieces / "piece").touch()
    print("held", flush=True)
    input()
    workspace.remove()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


def plan_of(source: Path, output: Path, **choices: object) -> Plan:
    accepted = accept_job(TranscodeJob.model_validate({"source": str(source), "output": str(output), **choices}))
    return plan_job(accepted, *probe_job(accepted, "test"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=1, size="64x64")


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
        assert one.root != other.root


def test_lock_dies_with_its_process_and_the_work_stays():
    with held_by_a_child() as child:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        with open_workspace(KEY) as workspace:
            assert [each.name for each in workspace.pieces.iterdir()] == ["piece"]


def test_lock_is_let_go_when_the_run_fails():
    with pytest.raises(RuntimeError), open_workspace(KEY):
        raise RuntimeError
    with open_workspace(KEY):
        pass


def test_nothing_is_left_of_a_workspace_that_was_removed():
    with open_workspace(KEY) as workspace:
        (workspace.pieces / "piece").touch()
        workspace.remove()
    assert list((settings().work_dir / "jobs").iterdir()) == []


def test_plan_is_read_back_as_it_was_saved(clip: Path, tmp_path: Path):
    plan = plan_of(clip, tmp_path / "out", formats=["mp4", "flv"], segment_s=0.3)
    with open_workspace(KEY) as workspace:
        assert workspace.load_plan() is None
        workspace.save_plan(plan)
        assert workspace.load_plan() == plan
        workspace.plan_file.write_bytes(workspace.plan_file.read_bytes()[:100])
        assert workspace.load_plan() is None


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

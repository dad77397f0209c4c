"""After the job: hooks that fail and are run again, callbacks that are told until somebody takes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reelmill.errors import CallbackFailed, HookFailed, MediaUnreadable
from reelmill.job import TranscodeJob
from reelmill.manifest import FILE_NAME, Manifest
from reelmill.settings import settings
from tests.callback_receiver import allow, receiver
from tests.live_jobs import LoggedTool, make_clip, use_tool

pytestmark = pytest.mark.end_to_end

HOOK = """\
import os
import signal
from pathlib import Path

LOG = Path(__file__).with_name("log")


def note(manifest, output):
    with LOG.open("a") as log:
        print(manifest.job_key, output, (Path(output) / "manifest.json").exists(), file=log)


def fail_once(manifest, output):
    note(manifest, output)
    if len(LOG.read_text().splitlines()) == 1:
        raise RuntimeError("the database is down")


def die_once(manifest, output):
    note(manifest, output)
    if len(LOG.read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""
RUN = """\
import sys
from flows.transcode_video import transcode_video
from reelmill.job import TranscodeJob
transcode_video(TranscodeJob.model_validate_json(sys.argv[1]))
"""


def run_job(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    return transcode_video(job)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoggedTool:
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    return tool


@pytest.fixture
def hooks(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with hooks that only this test imports."""
    name = f"hooks_of_{abs(hash(request.node.name))}"
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / f"{name}.py").write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path / "hooks")
    return name


@pytest.fixture
def job(tmp_path: Path) -> TranscodeJob:
    clip = make_clip(tmp_path / "clip.mp4", seconds=2)
    return TranscodeJob(source=str(clip), formats=("mp4",), output=str(tmp_path / "out"))


def log_of(tmp_path: Path) -> list[str]:
    return (tmp_path / "hooks" / "log").read_text().splitlines()


def test_a_hook_that_fails_leaves_the_result_and_is_run_again_alone(
    prefect_server: str, job: TranscodeJob, tool: LoggedTool, hooks: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    allow(monkeypatch, retries="0", post_process=f"{hooks}:fail_once,{hooks}:note")
    with receiver() as received:
        told = job.model_copy(update={"callback_url": received.url})
        with pytest.raises(HookFailed, match="fail_once: RuntimeError: the database is down"):
            run_job(told)
        assert (tmp_path / "out" / FILE_NAME).exists()
        assert received.requests[-1]["body"]["error"]["code"] == "HookFailed"

        encodes = len(tool.encodes())
        manifest = run_job(told)
    assert len(tool.encodes()) == encodes
    assert log_of(tmp_path) == [f"{manifest.job_key} {tmp_path / 'out'} True"] * 3
    assert received.events() == ["failed", "completed"]
    run_job(job)
    assert len(log_of(tmp_path)) == 3, "what was run is not run again"


def test_a_callback_is_sent_again_until_it_is_taken(
    prefect_server: str, job: TranscodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    allow(monkeypatch, retries="1")
    with receiver() as received:
        received.answers = [503]
        manifest = run_job(job.model_copy(update={"callback_url": received.url}))
    assert [each["answered"] for each in received.requests] == [503, 204]
    assert all(each["verified"] for each in received.requests)
    first, second = (each["body"] for each in received.requests)
    assert first["id"] == second["id"]
    assert second["event"] == "completed"
    assert second["job_key"] == manifest.job_key
    assert second["manifest"] == str(tmp_path / "out" / FILE_NAME)
    assert second["source"] == job.source
    assert second["run"]


def test_a_callback_that_nobody_takes_leaves_the_result(
    prefect_server: str, job: TranscodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    allow(monkeypatch, retries="0")
    with receiver() as received:
        told = job.model_copy(update={"callback_url": received.url})
        received.answers = [500]
        with pytest.raises(CallbackFailed):
            run_job(told)
        assert (tmp_path / "out" / FILE_NAME).exists()
        run_job(told)
    assert received.events() == ["completed"]


def test_progress_and_failure_are_told(
    prefect_server: str, job: TranscodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    allow(monkeypatch, callback_every_s="0.01")
    with receiver() as received:
        run_job(job.model_copy(update={"callback_url": received.url}))
        told = [each["body"]["event"] for each in received.requests]
        assert told[0] == "progress"
        assert told[-1] == "completed"
        (tmp_path / "bad.mp4").write_text("this is no video" * 99)
        bad = TranscodeJob(source=str(tmp_path / "bad.mp4"), output=str(tmp_path / "bad"), callback_url=received.url)
        with pytest.raises(MediaUnreadable):
            run_job(bad)
    assert received.requests[-1]["body"]["error"]["code"] == "MediaUnreadable"
    assert received.requests[-1]["body"]["manifest"] is None


def test_a_killed_process_is_made_up_for_by_the_next(
    prefect_server: str, job: TranscodeJob, hooks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is killed after the result was published, before the hook is done and anybody is told."""
    allow(monkeypatch, post_process=f"{hooks}:die_once")
    with receiver() as received:
        told = job.model_copy(update={"callback_url": received.url})
        root = str(Path(__file__).parents[2])
        environment = os.environ | {"PYTHONPATH": f"{root}:{tmp_path / 'hooks'}", "PREFECT_API_URL": prefect_server}
        killed = subprocess.run(
            [sys.executable, "-c", RUN, told.model_dump_json()], cwd=root, env=environment, check=False,
            capture_output=True,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        assert (tmp_path / "out" / FILE_NAME).exists()
        assert received.events() == []
        settings.cache_clear()
        manifest = run_job(told)
    assert received.events() == ["completed"]
    assert log_of(tmp_path) == [f"{manifest.job_key} {tmp_path / 'out'} True"] * 2

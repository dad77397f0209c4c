"""Jobs on Dask: the result is that of threads, whatever becomes of the workers, and nothing runs on when a job ends."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from reelmill.catalog.reading import latest_jobs
from reelmill.errors import BudgetExceeded
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.settings import settings
from tests.bucket_jobs import Buckets
from tests.conftest import Set
from tests.job_runs import latest_run, log_of
from tests.live_jobs import LoggedTool, alive_with, make_clip, use_tool, wait_until
from tests.s3_servers import S3Server
from tests.stores import new_bucket, put, using

pytestmark = [
    pytest.mark.end_to_end,
    # Dask leaves sockets of workers that died to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

SEGMENTS = 12
HOOK = """\
import psutil

def wait(manifest, output):
    workers = [each for each in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(each.cmdline())]
    assert psutil.wait_procs(workers, 60)[1] == []
"""


def run_job(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    return transcode_video(job)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SEGMENTS, size="160x90")


@pytest.fixture
def job(clip: Path, tmp_path: Path, prefect_server: str) -> TranscodeJob:
    return TranscodeJob(source=str(clip), formats=("mp4",), output=str(tmp_path / "out"), segment_s=1)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoggedTool:
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    return tool


def elsewhere(job: TranscodeJob, name: str) -> TranscodeJob:
    return job.model_copy(update={"output": f"{job.output}-{name}", "name": name})


def encoders(tool: LoggedTool) -> list[psutil.Process]:
    """The runs of the tool that encode video just now."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            argv = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if str(tool.path) in argv and " -c:v lib" in argv:
            found.append(process)
    return found


@contextmanager
def meanwhile(act: Any) -> Iterator[None]:
    """Call `act` in a thread while the block runs; what it raises comes out of the block."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    assert failed == []


def test_worker_that_dies_costs_its_segment_only(job: TranscodeJob, tool: LoggedTool, set_to: Set):
    by_threads = run_job(elsewhere(job, "threads"))
    tool.forget()
    set_to(fan_out="dask", dask_minimum=3, dask_maximum=3)

    def kill_one() -> None:
        wait_until(lambda: len(encoders(tool)) >= 3, 120, "three workers that encode")
        worker = encoders(tool)[0].parent()
        assert worker is not None
        assert worker.pid != os.getpid()
        worker.kill()
        go()

    with tool.holding() as go, meanwhile(kill_one):
        on_dask = run_job(job)
    assert on_dask.outputs[0].frames == by_threads.outputs[0].frames
    assert on_dask.outputs[0].sha256 == by_threads.outputs[0].sha256
    assert len(tool.encodes()) == SEGMENTS + 1
    assert on_dask.cost.failed_runs == 1
    assert on_dask.cost.runs == by_threads.cost.runs + 1


def test_workers_come_for_the_work_and_go_after_it(job: TranscodeJob, set_to: Set, tmp_path: Path, monkeypatch: Any):
    """As the log of the run has it, which is in Prefect's pages. A hook gives them time to go."""
    (tmp_path / "hook_that_waits.py").write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path)
    set_to(
        fan_out="dask", dask_maximum=2, post_process="hook_that_waits:wait",
        dask_adapt_kwargs='{"interval": "200ms", "target_duration": "100ms", "wait_count": 15}',
    )  # fmt: skip
    run_job(job)
    run = latest_run()
    wait_until(lambda: any("closed" in each for each in log_of(run)), 30, "the log")
    counts = [int(found[1]) for each in log_of(run) if (found := re.search(r"Dask worker .*; workers: (\d)$", each))]
    assert counts[:2] == [1, 2]
    assert counts[-2:] == [1, 0]
    assert max(counts) == 2
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run]}}))
    assert sum(each.name.startswith("encode-") for each in tasks) == SEGMENTS
    assert {each.state_name for each in tasks} == {"Completed"}


def test_budget_stops_what_runs_on_workers(
    job: TranscodeJob, tool: LoggedTool, set_to: Set, tmp_path: Path, monkeypatch: Any
):
    from flows import transcode_video as flow

    set_to(fan_out="dask", dask_maximum=2, price_vcpu_s="0.01")
    monkeypatch.setattr(flow, "refuse_over_budget", lambda *_: None)
    long = make_clip(tmp_path / "long.mp4", seconds=40, size="640x360")
    with pytest.raises(BudgetExceeded, match=r"all of 0\.0100 USD is spent"):
        run_job(job.model_copy(update={"source": str(long), "segment_s": 40, "budget": Decimal("0.01")}))
    assert alive_with(tmp_path) == []
    [stopped] = latest_jobs(["failed"], 1)
    assert stopped.cost_nanos is not None
    assert stopped.cost_nanos > 10_000_000


HIDE = """\
from pathlib import Path
Path.is_dir = lambda path, is_dir=Path.is_dir: not str(path).startswith({folder!r}) and is_dir(path)
"""


def test_workers_need_nothing_but_the_bucket(
    ministack: S3Server, clip: Path, tmp_path: Path, set_to: Set, monkeypatch: Any, prefect_server: str
):
    """They have a scratch folder of their own, and don't see that of the run."""
    source = put(ministack, new_bucket(ministack) / "clip.mp4", clip.read_bytes())
    buckets = Buckets(ministack, source, new_bucket(ministack) / "work", new_bucket(ministack) / "out")
    own, hide = tmp_path / "scratch-of-workers", tmp_path / "hide.py"
    hide.write_text(HIDE.format(folder=str(settings().scratch_dir)))
    how = {"env": {"REELMILL_SCRATCH_DIR": str(own)}, "preload": [str(hide)]}
    with using(ministack, monkeypatch, REELMILL_WORK_DIR=str(buckets.work)):
        set_to(fan_out="dask", dask_maximum=2, dask_cluster_kwargs=json.dumps(how))
        run_job(buckets.job(segment_s=4))
        manifest = buckets.published()
        assert manifest is not None
        assert manifest.outputs[0].frames == 25 * SEGMENTS
        buckets.assert_nothing_is_left()
    assert own.is_dir()
    assert list(own.iterdir()) == []

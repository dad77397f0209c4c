"""A job whose machine is taken away: what a pod or a task is told then, and what the next one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.transcode_video import transcode_video
from tests.live_jobs import LoggedTool, alive_with, make_clip, wait_until
from tests.s3_servers import S3Server

ROOT = Path(__file__).parents[2]
BUCKET = "evicted"


@pytest.fixture
def environment(prefect_server: str, ministack: S3Server, tmp_path: Path) -> dict[str, str]:
    """That of a job: unfinished work in a bucket, and SIGTERM means that the run is to be started elsewhere."""
    client = ministack.client()
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return os.environ | ministack.env() | {
        "PREFECT_API_URL": prefect_server, "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": "reschedule",
        "PYTHONPATH": str(ROOT),
        "REELMILL_WORK_DIR": f"s3://{BUCKET}/work", "REELMILL_SCRATCH_DIR": str(tmp_path / "scratch"),
        "REELMILL_S3_ADDRESSING": "path", "REELMILL_KEEP_UNFINISHED": "true", "REELMILL_WORKERS": "1",
    }  # fmt: skip


@pytest.mark.end_to_end
def test_an_evicted_job_is_scheduled_again_and_goes_on_where_it_was(environment: dict[str, str], tmp_path: Path):
    tool = LoggedTool(tmp_path / "tool")
    environment["REELMILL_FFMPEG"] = str(tool.path)
    tool.wait_before(0.5)
    clip = make_clip(tmp_path / "clip.mp4", seconds=10)
    job = {"source": str(clip), "formats": ["mp4"], "segment_s": 1, "output": str(tmp_path / "made")}
    with SyncPrefectClient(environment["PREFECT_API_URL"]) as client:
        module = "flows.transcode_video.transcode_video"
        deployment = client.create_deployment(client.create_flow(transcode_video), "evicted", entrypoint=module)
        run = client.create_flow_run_from_deployment(deployment, parameters={"job": job}).id
        program = [sys.executable, "-m", "prefect", "flow-run", "execute", str(run)]  # what a pod or a task runs
        with subprocess.Popen(program, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL) as evicted:
            wait_until(lambda: len(tool.encodes()) > 4, within_s=60, what="the fifth segment")
            evicted.send_signal(signal.SIGTERM)
            assert evicted.wait(30) == 0
        state = client.read_flow_run(run).state
        assert state is not None
        assert (state.type.value, state.name) == ("SCHEDULED", "AwaitingRetry")
        assert alive_with(tmp_path) == []
        tool.forget()
        subprocess.run(program, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, timeout=90, check=True)
    video = json.loads((tmp_path / "made" / "manifest.json").read_text())["renditions"][0]
    assert video["reused_segments"] >= 4
    assert video["reused_segments"] + len(tool.encodes()) == video["segments"] == 10

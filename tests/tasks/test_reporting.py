"""Progress in Prefect's pages: there while a job runs, and no reason for it to wait or to fail."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from reelmill.progress import ProgressBoard
from tasks import reporting
from tasks.reporting import ProgressReporter

pytestmark = pytest.mark.slow


def board() -> ProgressBoard:
    board = ProgressBoard()
    board.begin(100, 1)
    return board


def shown_in(run: Any) -> float:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        [artifact] = client.read_artifacts(artifact_filter=of_run)
    assert isinstance(artifact.data, float | int)
    return artifact.data


def test_what_was_done_at_the_end_is_shown(prefect_server: str):
    @flow
    def shown() -> float:
        shared = board()
        reporter = ProgressReporter(shared, "video")
        shared.finish("a", 100)
        reporter.update(at_end=True)
        return shown_in(flow_run.id)

    assert shown() == 100.0


def test_server_that_is_away_holds_nothing_up_and_fails_nothing(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    back = threading.Event()

    def away(*_: Any, **__: Any) -> None:
        assert back.wait(60)
        raise httpx.ConnectError("Connection refused")

    @flow
    def away_for_a_while() -> float:
        shared = board()
        with monkeypatch.context() as patched:
            patched.setattr(reporting, "create_progress_artifact", away)
            patched.setattr(reporting, "_ARTIFACT_EVERY_S", 0.0)
            reporter = ProgressReporter(shared, "video")
            for _ in range(3):
                reporter.update()
                time.sleep(0.01)
            asking = [each for each in threading.enumerate() if each.name == "progress artifact"]
            assert len(asking) == 1, "one request at a time"
            back.set()
            asking[0].join()
        shared.finish("a", 100)
        reporter.update(at_end=True)
        return shown_in(flow_run.id)

    assert away_for_a_while() == 100.0
    assert "Prefect can't be told how far it is: Connection refused" in caplog.text

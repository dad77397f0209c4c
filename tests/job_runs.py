"""What Prefect has of the runs of jobs."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import TaskRun
from prefect.client.schemas.sorting import LogSort

from reelmill.catalog.reading import latest_jobs


def latest_run() -> UUID:
    """Return the flow run of the job that was begun last."""
    run = latest_jobs([], 1)[0].run
    assert run is not None
    return UUID(run)


def log_of(run: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        only = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
        return [each.message for each in client.read_logs(only, limit=200, sort=LogSort.TIMESTAMP_ASC)]


def task_runs_of(run: UUID) -> list[TaskRun]:
    with get_client(sync_client=True) as client:
        return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])), limit=200)

"""The runs of jobs on a Prefect server: found, followed, cancelled, and what came of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Scheduled

from reelmill.errors import JobCancelled, ReelmillError, RunNotFound, one_line
from tasks.starting import FLOW

_LOOKED_THROUGH = 200
_LOOKS_EVERY_S = 1.0
_FAILURE = re.compile(r"(?:exception: )?(\w+): (.*)", re.DOTALL)
_CODES = {each.__name__: each for each in ReelmillError.tree()}


@dataclass(frozen=True)
class Failure:
    """Why a run has no result: the code of an error, its sentence, and the exit code that goes with it."""

    code: str
    message: str
    exit_code: int


def list_runs(client: SyncPrefectClient, states: Sequence[str], limit: int) -> list[FlowRun]:
    """Return the runs of jobs in these states, or in any, the newest first."""
    wanted = FlowRunFilterStateType(any_=[StateType(each.upper()) for each in states]) if states else None
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=wanted)) if wanted else None,
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=limit,
    )


def known_runs(client: SyncPrefectClient, names: Sequence[str]) -> set[str]:
    """Return which of these are ids of runs that the server has."""
    ids: list[UUID] = []
    for name in names:
        with suppress(ValueError):
            ids.append(UUID(name))
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids))) if ids else []
    return {str(run.id) for run in found}


def find_run(client: SyncPrefectClient, run_id: str) -> FlowRun:
    """Return the run of this id, or the only one of the latest whose id begins so. RunNotFound."""
    with suppress(ValueError, ObjectNotFound):
        return client.read_flow_run(UUID(run_id))
    found = [run for run in list_runs(client, (), _LOOKED_THROUGH) if run_id and str(run.id).startswith(run_id)]
    if len(found) != 1:
        many = f"{len(found)} runs begin" if found else "no run begins"
        raise RunNotFound(f"{many} with {one_line(run_id)[:60]!r}; `reelmill jobs list` shows them")
    return found[0]


def follow(client: SyncPrefectClient, run: FlowRun, on_progress: Callable[[str, str], None]) -> FlowRun:
    """Wait until a run is over and return it as it is then. `on_progress` gets its state and where it stands."""
    while run.state is None or not run.state.is_final():
        on_progress(run.state_name or "Scheduled", progress_of(client, run))
        time.sleep(_LOOKS_EVERY_S)
        run = client.read_flow_run(run.id)
    return run


def progress_of(client: SyncPrefectClient, run: FlowRun) -> str:
    """Return the line that a running job last wrote of where it stands, or nothing."""
    artifacts = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]), key=ArtifactFilterKey(any_=["progress"])
        ),
        limit=1,
    )
    return (artifacts[0].description or "") if artifacts else ""


def failure_of(run: FlowRun) -> Failure | None:
    """Return why a run that is over has no result; None when it has one, or is not over."""
    state = run.state
    if state is None or not state.is_final() or state.is_completed():
        return None
    message = one_line(state.message or f"the run is {state.name}")
    found = _FAILURE.search(message)
    if found and (error := _CODES.get(found[1])):
        return Failure(found[1], found[2], error.exit_code)
    if state.is_cancelled():
        return Failure(JobCancelled.__name__, message, JobCancelled.exit_code)
    return Failure(state.type.value.capitalize(), message, 1)


def retry_run(client: SyncPrefectClient, run: FlowRun) -> None:
    """Put a run that ended back into its queue: what Prefect's own pages do when they are told to retry."""
    client.set_flow_run_state(run.id, Scheduled(name="AwaitingRetry", message="Somebody wants it tried again."))


def cancel_run(client: SyncPrefectClient, run: FlowRun, within_s: float) -> FlowRun:
    """Have a run cancelled and return it as it is when that is done, or after `within_s`."""
    client.set_flow_run_state(run.id, Cancelling())
    give_up = time.monotonic() + within_s
    while True:
        run = client.read_flow_run(run.id)
        if (run.state and run.state.is_final()) or time.monotonic() > give_up:
            return run
        time.sleep(_LOOKS_EVERY_S / 2)

"""Prefect's process worker, with runs that are forked from a process which has loaded what they need.

Prefect starts Python and imports itself twice for each run: to find the flow's code, and to run it. Here the code is
where the worker is, and a fork has it loaded. Each run is a process of its own all the same, with its own environment,
logs, heartbeats and exit code, and is cancelled and found dead as any other.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_flow_run
from prefect.runner._control_channel import ControlChannel
from prefect.runner._flow_run_executor import FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.states import AwaitingRetry
from prefect.utilities.processutils import sanitize_subprocess_env
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult
from pydantic import PrivateAttr

from cli.fork_server import FLOW_MODULES, RunRequest
from cli.forked_runs import ForkedRun, ForkServer
from cli.service_home import service_home

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

_GIVES_BACK_WITHIN_S = 10.0
_READ_BY_PYTHON_ITSELF = ("PYTHON", "LD_")


class WarmJobConfiguration(ProcessJobConfiguration):
    """What a run is started with; `entrypoint` is its flow when a fork can run it, and None when it is for Prefect."""

    _entrypoint: str | None = PrivateAttr(default=None)

    @property
    def entrypoint(self) -> str | None:
        return self._entrypoint

    def prepare_for_flow_run(
        self, flow_run: FlowRun, deployment: DeploymentResponse | None = None, *args: Any, **kwargs: Any
    ) -> None:
        own_variables = any(name.startswith(_READ_BY_PYTHON_ITSELF) for name in self.env)
        super().prepare_for_flow_run(flow_run, deployment, *args, **kwargs)
        if deployment is None or deployment.pull_steps or self._command_configured or own_variables:
            return
        if (deployment.entrypoint or "").rpartition(".")[0] in FLOW_MODULES:
            self._entrypoint = deployment.entrypoint


class WarmWorker(ProcessWorker, abc.ABC):  # ABC: else Prefect registers it in the place of its own worker
    """Runs Reelmill's flows in forks, and what else is in the pool as Prefect's process worker does."""

    job_configuration = WarmJobConfiguration

    async def __aenter__(self) -> WarmWorker:
        self._at_work: dict[UUID, ForkedRun] = {}
        self._ends = asyncio.Event()
        self._forks = ForkServer()
        await self._forks.__aenter__()
        await super().__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        try:
            if exc_info[0] is not None:  # else the runs may go on to their ends
                with anyio.move_on_after(_GIVES_BACK_WITHIN_S, shield=True):
                    await self._give_back_runs()
            await super().__aexit__(*exc_info)
        finally:
            await self._forks.__aexit__(*exc_info)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run it to its end. Raises OSError, ForkFailed or RuntimeError when it did not start.

        The status code that comes back is 0 however it ended. Prefect's executor has told the server of the end, and
        what crashed may be alive again, on another worker: for another code the worker would have it crash once more.
        """
        assert isinstance(configuration, WarmJobConfiguration)
        if configuration.working_dir is None:
            configuration.working_dir = _own_folder()
        try:
            if configuration.entrypoint is None or sys.platform != "linux":
                ended = await super().run(flow_run, configuration, task_status)
            else:
                ended = await self._run_fork(flow_run, configuration, task_status)
            return ProcessWorkerResult(status_code=0, identifier=ended.identifier)
        finally:
            assert self._runs_task_group is not None
            self._runs_task_group.start_soon(self._take_next)

    async def _run_fork(
        self,
        flow_run: FlowRun,
        configuration: WarmJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None,
    ) -> ProcessWorkerResult:
        assert configuration.working_dir is not None
        folder = configuration.working_dir.resolve(strict=True)
        try:
            async with LastingExecutorContext() as context:
                # Not by the executor: of what goes wrong there, the state of the run says only that something did.
                environment = _environment(configuration, flow_run.id, context.control_channel)
                fork = await self._forks.fork(RunRequest(environment, str(folder), not configuration.stream_output))
                executor = context.create_executor(
                    flow_run,
                    _Started(fork, task_status, self._ends),
                    resolve_flow=load_flow_from_flow_run,
                    propose_submitting=False,
                )
                self._at_work[flow_run.id] = fork
                try:
                    execution = await executor.submit()
                finally:
                    del self._at_work[flow_run.id]
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        if execution is None or execution.status_code is None:
            raise RuntimeError("the process of the flow run did not start")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))

    async def _give_back_runs(self) -> None:
        """End the runs that are at work, and put them back into their queues: for a worker that is told to end."""
        self._ends.set()
        for fork in self._at_work.values():
            if fork.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(fork.pid, signal.SIGKILL)  # told politely, a run says of itself that it crashed
        async with anyio.create_task_group() as each:
            for run in self._at_work:
                each.start_soon(self._give_back, run)

    async def _give_back(self, run: UUID) -> None:
        """Put it back unless it is over, or is to be. What is not put back is found dead after 75 s."""
        try:
            state = (await self.client.read_flow_run(run)).state
            if state is not None and (state.is_running() or state.is_pending()):
                again = AwaitingRetry(message="Its worker was ended; taken up where it stopped.")
                await self.client.set_flow_run_state(run, again)
        except (httpx.HTTPError, ObjectNotFound) as error:
            self._logger.warning("Flow run '%s' is not put back into its queue: %s", run, error)

    async def _take_next(self) -> None:
        """Look for a run now that there is room. What goes wrong with it is told by the next look, seconds later."""
        with contextlib.suppress(httpx.HTTPError):
            await self.get_and_submit_flow_runs()

    async def _worker_metadata(self) -> None:
        """Tell the server of no integrations: to know their versions Prefect would load them all, Dask too."""

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """Return as many of the runs that wait as there is room for, or some more.

        Prefect's own worker has the server read, and send, 200 of them every time. A run that crashed may wait again
        while its place here is not free yet: it is left for later, since to give it a second place ends the worker.
        """
        within = timedelta(seconds=self._prefetch_seconds)
        asked: dict[str, Any] = {"scheduled_before": (datetime.now(UTC) + within).isoformat()}
        if self._limiter is not None:
            asked["limit"] = 1 + int(self._limiter.total_tokens)
        path, where = "/work_pools/{name}/get_scheduled_flow_runs", {"name": self._work_pool_name}
        try:
            answer = await self.client.request("POST", path, path_params=where, json=asked)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            return []  # the pool is gone, of which the next heartbeat tells
        found = [WorkerFlowRunResponse.model_validate(each) for each in answer.json()]
        held = self._limiter.statistics().borrowers if self._limiter is not None else ()
        return [each for each in found if each.flow_run.id not in held]


class LastingExecutorContext(FlowRunExecutorContext):
    """Prefect's, but that goes on asking which runs are to be cancelled.

    Prefect's own stops when the server was away for half a minute, and its runs can't be cancelled any more.
    """

    def _handle_cancellation_observer_failure(self, flow_run_ids: set[UUID]) -> None:
        polling = self._observer._polling_task
        assert polling is not None
        self._observer._start_polling_task(polling)


class _Started:
    """What Prefect's executor has in the place of a starter: a run that is a process already."""

    def __init__(self, fork: ForkedRun, on_start: anyio.abc.TaskStatus[int] | None, worker_ends: asyncio.Event):
        self._fork, self._on_start, self._worker_ends = fork, on_start, worker_ends

    async def start(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Tell of the process, and return when it has ended; not when the worker ended it, which tells by itself."""
        task_status.started(ProcessHandle(cast(Any, self._fork), create_isolated_termination_scope(self._fork.pid)))
        if self._on_start is not None:
            self._on_start.started(self._fork.pid)
        await self._fork.wait()
        if self._worker_ends.is_set():
            await anyio.sleep_forever()  # until it is cancelled with all else


def _environment(configuration: WarmJobConfiguration, flow_run: UUID, control: ControlChannel) -> dict[str, str]:
    told: dict[str, str | None] = dict(configuration.env)
    told["PREFECT__FLOW_RUN_ID"] = str(flow_run)
    told["PREFECT__FLOW_ENTRYPOINT"] = configuration.entrypoint
    told["PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS"] = "false"  # they are the worker's
    with contextlib.suppress(RuntimeError):  # without a channel a run is cancelled by signal alone
        port, token = control.register(flow_run)
        told |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
    return sanitize_subprocess_env(told)


def _own_folder() -> Path:
    """Return the folder from which relative paths count where the pool names none: this machine's, whichever it is."""
    folder = service_home().results
    folder.mkdir(exist_ok=True)
    return folder

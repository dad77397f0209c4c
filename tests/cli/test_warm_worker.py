"""The worker between the server and its runs: what it takes, what it tells of an end, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.states import Cancelling, Running

import cli.warm_worker
from cli.fork_server import RunRequest
from cli.forked_runs import ForkFailed
from cli.service_home import service_home
from cli.warm_worker import LastingExecutorContext, WarmWorker
from flows.sweep_inbox import sweep_inbox

# Prefect leaves its connections to the test server for the garbage collector to close.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed transport <_SelectorSocketTransport:ResourceWarning")

WITHIN_S = 60


class Sleepers:
    """In the place of the fork server: each run is a `sleep`, in a session of its own."""

    def __init__(self) -> None:
        self.asked: list[RunRequest] = []
        self.runs: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Sleepers:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.end()

    async def end(self) -> None:
        for run in self.runs:
            with suppress(ProcessLookupError):
                run.kill()
            await run.wait()

    async def fork(self, request: RunRequest) -> asyncio.subprocess.Process:
        self.asked.append(request)
        self.runs.append(await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True))
        return self.runs[-1]


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sleepers]:
    forks = Sleepers()
    monkeypatch.setattr(cli.warm_worker, "ForkServer", lambda: forks)
    yield forks
    gc.collect()  # here, where what Prefect leaves is no error


@asynccontextmanager
async def worker_and_run(**variables: object) -> AsyncIterator[tuple[WarmWorker, PrefectClient, FlowRun]]:
    """Give a worker of a pool of its own, a client, and a run that waits in the pool, with job variables."""
    async with asyncio.timeout(WITHIN_S), get_client() as client:
        pool = await client.create_work_pool(WorkPoolCreate(name=f"warm-{uuid4()}", type="process"))
        deployment = await client.create_deployment(
            await client.create_flow(sweep_inbox), "warm", work_pool_name=pool.name, pull_steps=[],
            entrypoint="flows.sweep_inbox.sweep_inbox",
        )  # fmt: skip
        run = await client.create_flow_run_from_deployment(deployment, job_variables=variables)
        async with WarmWorker(work_pool_name=pool.name, limit=2) as worker:
            yield worker, client, run


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.05)


async def until_crashed(client: PrefectClient, run: FlowRun) -> None:
    while (await client.read_flow_run(run.id)).state_name != "Crashed":
        await asyncio.sleep(0.05)


def test_of_one_end_a_run_has_crashed_once(prefect_server: str, sleepers: Sleepers):
    async def check() -> None:
        async with worker_and_run() as (worker, client, run):
            running = asyncio.create_task(worker._submit_run_and_capture_errors(run))
            await until(lambda: sleepers.runs)
            await client.set_flow_run_state(run.id, Running())
            await sleepers.end()
            await until_crashed(client, run)
            await client.set_flow_run_state(run.id, Running(), force=True)  # another worker has taken it up
            await running
            assert (await client.read_flow_run(run.id)).state_name == "Running"

    asyncio.run(check())


def test_a_run_that_waits_again_before_its_place_is_free_is_left_for_later(prefect_server: str, sleepers: Sleepers):
    async def check() -> None:
        async with worker_and_run() as (worker, _, run):
            worker.limiter.acquire_on_behalf_of_nowait(run.id)
            assert await worker.get_and_submit_flow_runs() == []
            worker.limiter.release_on_behalf_of(run.id)
            assert [each.id for each in await worker.get_and_submit_flow_runs()] == [run.id]
            await until(lambda: sleepers.runs)
            await sleepers.end()

    asyncio.run(check())


def test_where_the_pool_names_no_folder_a_run_is_in_that_of_the_machine(prefect_server: str, sleepers: Sleepers):
    async def check() -> None:
        async with worker_and_run() as (worker, _, _):
            await worker.get_and_submit_flow_runs()
            await until(lambda: sleepers.runs)
            assert [each.folder for each in sleepers.asked] == [str(service_home().results)]
            await sleepers.end()

    asyncio.run(check())


def test_a_folder_that_is_not_here_is_named_by_the_state(prefect_server: str, sleepers: Sleepers, tmp_path: Path):
    async def check() -> None:
        missing = tmp_path / "of another machine"
        async with worker_and_run(working_dir=str(missing)) as (worker, client, run):
            await worker.get_and_submit_flow_runs()
            await until_crashed(client, run)
            assert sleepers.runs == []
            [crashed] = [each for each in await client.read_flow_run_states(run.id) if each.is_crashed()]
            assert f"No such file or directory: '{missing}'" in (crashed.message or "")

    asyncio.run(check())


def test_why_a_fork_failed_is_said_by_the_state(
    prefect_server: str, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
):
    async def fail(request: RunRequest) -> None:
        raise ForkFailed("this machine gives no process")

    async def check() -> None:
        async with worker_and_run() as (worker, client, run):
            await worker.get_and_submit_flow_runs()
            await until_crashed(client, run)
            [crashed] = [each for each in await client.read_flow_run_states(run.id) if each.is_crashed()]
            assert "ForkFailed: this machine gives no process" in (crashed.message or "")

    monkeypatch.setattr(sleepers, "fork", fail)
    asyncio.run(check())


def test_a_run_can_be_cancelled_after_the_server_was_away(prefect_server: str, sleepers: Sleepers):
    """Prefect gives up after three answers that didn't come."""
    asked = 0

    async def check() -> None:
        async with asyncio.timeout(WITHIN_S), get_client() as client, LastingExecutorContext() as context, sleepers:
            observer = context._observer
            assert observer._client is not None
            answers = observer._client.read_flow_runs

            async def read_flow_runs(**wanted: Any) -> list[FlowRun]:
                nonlocal asked
                asked += 1
                if asked <= 4:
                    raise httpx.ConnectError("away")
                return await answers(**wanted)

            observer.polling_interval, observer._client.read_flow_runs = 0.05, read_flow_runs
            run = await client.create_flow_run(sweep_inbox, state=Running())
            process = await sleepers.fork(RunRequest({}, "/"))
            await context.process_manager.add(run.id, handle_of(process))
            observer._start_polling_task(await lost_connection())
            await until(lambda: asked > 4)
            await client.set_flow_run_state(run.id, Cancelling())
            assert await process.wait() == -signal.SIGTERM

    asyncio.run(check())


def test_a_worker_that_is_ended_puts_its_runs_back(prefect_server: str, sleepers: Sleepers):
    async def work(running: asyncio.Event, runs: list[FlowRun]) -> None:
        async with worker_and_run() as (worker, client, run):
            runs.append(run)
            await worker.get_and_submit_flow_runs()
            await until(lambda: sleepers.runs)
            await client.set_flow_run_state(run.id, Running())
            running.set()
            await asyncio.sleep(WITHIN_S)

    async def check() -> None:
        running, runs = asyncio.Event(), list[FlowRun]()
        worker = asyncio.create_task(work(running, runs))
        await running.wait()
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        assert [await run.wait() for run in sleepers.runs] == [-signal.SIGKILL]
        async with get_client() as client:
            states = [each.name for each in await client.read_flow_run_states(runs[0].id)]
        assert states[-2:] == ["Running", "AwaitingRetry"]

    asyncio.run(check())


async def lost_connection() -> asyncio.Task[None]:
    async def lose() -> None:
        raise ConnectionError("lost")

    lost = asyncio.create_task(lose())
    await asyncio.wait([lost])
    return lost


def handle_of(process: asyncio.subprocess.Process) -> ProcessHandle:
    return ProcessHandle(cast(Any, process), create_isolated_termination_scope(process.pid))

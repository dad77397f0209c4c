"""Runs that are forked instead of started: each is what it would have been, and none outlives the worker."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from cli.fork_server import RunRequest, serve
from cli.forked_runs import ForkedRun, ForkFailed, ForkServer
from cli.warm_worker import WarmJobConfiguration
from tests.live_jobs import wait_until

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
FLOW = "flows.sweep_inbox.sweep_inbox"
LOADED_WITHIN_S = 60


class SilentApi:
    """A Prefect API that notes what it is asked, and answers when it is told to: there is no such run."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str | None]] = []
        self.answer = threading.Event()


@contextmanager
def silent_api() -> Iterator[SilentApi]:
    api = SilentApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked.append((self.path, self.headers["Authorization"]))
            api.answer.wait(LOADED_WITHIN_S)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}/api"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.answer.set()
        server.shutdown()
        server.server_close()
        thread.join()


def request(api: SilentApi, folder: Path, run: str) -> RunRequest:
    told = {"PREFECT_API_URL": api.url, "PREFECT_API_AUTH_STRING": "me:secret", "PREFECT_LOGGING_TO_API_ENABLED": "0"}
    told |= {"PREFECT__FLOW_RUN_ID": run, "PREFECT__FLOW_ENTRYPOINT": FLOW, "PREFECT_CLIENT_MAX_RETRIES": "0"}
    return RunRequest({"PATH": os.environ["PATH"], "HOME": str(folder)} | told, str(folder), is_silent=True)


@asynccontextmanager
async def forked(api: SilentApi, folder: Path, run: str) -> AsyncIterator[tuple[ForkServer, ForkedRun]]:
    """Give a fork server, and a run of it that waits for the API."""
    async with asyncio.timeout(LOADED_WITHIN_S), ForkServer() as forks:
        yield forks, await forks.fork(request(api, folder, run))


def test_a_fork_has_its_own_environment_folder_session_and_exit_code(tmp_path: Path):
    run = str(uuid4())

    async def check() -> None:
        async with forked(api, tmp_path, run) as (_, fork):
            process = psutil.Process(fork.pid)
            assert process.cwd() == str(tmp_path)
            assert os.getsid(fork.pid) == os.getpgid(fork.pid) == fork.pid
            while not api.asked:
                await asyncio.sleep(0.02)
            api.answer.set()
            assert await fork.wait() == fork.returncode == 1  # there is no such run

    with silent_api() as api:
        asyncio.run(check())
    [(path, password), *_] = api.asked
    assert path == f"/api/flow_runs/{run}"
    assert (password or "").startswith("Basic ")  # the settings of the run, not of the server


def test_two_runs_are_at_work_at_once_and_a_kill_ends_one(tmp_path: Path):
    async def check() -> None:
        async with forked(api, tmp_path, str(uuid4())) as (forks, first):
            second = await forks.fork(request(api, tmp_path, str(uuid4())))
            os.killpg(first.pid, signal.SIGKILL)
            assert await first.wait() == -signal.SIGKILL
            assert psutil.pid_exists(second.pid)
            api.answer.set()
            assert await second.wait() == 1

    with silent_api() as api:
        asyncio.run(check())


def test_runs_end_with_the_fork_server_and_the_next_has_another(tmp_path: Path):
    async def check() -> None:
        async with forked(api, tmp_path, str(uuid4())) as (forks, run):
            server = psutil.Process(run.pid).parent()
            assert server is not None
            assert threads_of(server) == 1
            server.kill()
            assert await run.wait() == -signal.SIGKILL
            wait_until(lambda: not psutil.pid_exists(run.pid), what="the end of the run")
            server.wait()
            again = await forks.fork(request(api, tmp_path, str(uuid4())))
            assert psutil.Process(again.pid).ppid() != server.pid
            api.answer.set()
            assert await again.wait() == 1

    with silent_api() as api:
        asyncio.run(check())


def test_nothing_is_left_when_the_worker_is_killed(tmp_path: Path):
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.cli.test_fork_server import SilentApi, forked\n"
        "async def main():\n"
        "    api = SilentApi()\n"
        "    api.url = sys.argv[1]\n"
        "    async with forked(api, Path(sys.argv[2]), sys.argv[3]) as (_, run):\n"
        "        print(run.pid, flush=True)\n"
        "        await run.wait()\n"
        "asyncio.run(main())\n"
    )
    with silent_api() as api:
        argv = [sys.executable, "-c", code, api.url, str(tmp_path), str(uuid4())]
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            run = psutil.Process(int(worker.stdout.readline()))
            server = run.parent()
            assert server is not None
            worker.kill()
            wait_until(lambda: not run.is_running() and not server.is_running(), what="the end of both")


def test_a_fork_that_fails_is_told_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch):
    forks: list[Any] = [BlockingIOError(errno.EAGAIN, "no room"), 3]

    def fork() -> int:
        if isinstance(outcome := forks.pop(0), OSError):
            raise outcome
        return os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {outcome}"], os.environ)

    def be_the_worker() -> list[bytes]:
        with ours:
            return [told_of_a_run(ours), told_of_a_run(ours)]

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr("os.fork", fork)
    with theirs, ThreadPoolExecutor(1) as pool:
        told = pool.submit(be_the_worker)
        assert serve(theirs) is None
    assert told.result() == [b"failed %d\n" % errno.EAGAIN, b"ended 3\n"]


def told_of_a_run(control: socket.socket) -> bytes:
    """Ask for a run, and return all that is told of it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with theirs:
        socket.send_fds(control, [b"."], [theirs.fileno()])
    with ours, ours.makefile("rb") as lines:
        return lines.read()


def test_a_run_that_can_not_begin_says_so(tmp_path: Path):
    async def check() -> None:
        async with asyncio.timeout(LOADED_WITHIN_S), ForkServer() as forks:
            with pytest.raises(ForkFailed, match="exit code 1 at the start"):
                await forks.fork(RunRequest({}, str(tmp_path / "missing"), is_silent=True))

    asyncio.run(check())


def test_what_is_loaded_starts_no_thread_and_reads_no_settings():
    code = (
        "import os, threading\n"
        "from cli.fork_server import load\n"
        "from reelmill.settings import settings\n"
        "load()\n"
        "print(threading.active_count(), len(os.listdir('/proc/self/task')), settings.cache_info().currsize)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 1 0\n", done.stderr


def entrypoint_of_fork(**asked_for: Any) -> str | None:
    deployment = {"flow_id": uuid4(), "name": "it", "entrypoint": FLOW, "pull_steps": []}
    deployment |= asked_for.pop("deployment", {})
    configuration = WarmJobConfiguration(**asked_for)
    configuration.prepare_for_flow_run(FlowRun(flow_id=uuid4()), DeploymentResponse(**deployment))
    return configuration.entrypoint


def test_every_deployment_of_ours_is_forked():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    wanted = [each["entrypoint"] for each in deployments]
    assert [entrypoint_of_fork(deployment={"entrypoint": each}) for each in wanted] == wanted


@pytest.mark.parametrize(
    "asked_for",
    [
        {"deployment": {"pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": "/x"}}]}},
        {"deployment": {"entrypoint": "flows/transcode_video.py:transcode_video"}},
        {"command": "python -m prefect.engine"},
        {"env": {"PYTHONPATH": "/elsewhere"}},
        {"env": {"LD_PRELOAD": "/lib/other.so"}},
    ],
)
def test_what_a_fork_can_not_be_is_left_to_prefect(asked_for: dict[str, Any]):
    assert entrypoint_of_fork(**asked_for) is None


def threads_of(process: psutil.Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))

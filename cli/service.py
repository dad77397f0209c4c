"""`reelmill up`, `down` and `status`: a Prefect server, a work pool, deployments and a worker on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from types import FrameType
from typing import Annotated

from cyclopts import Parameter

from cli.console import plain_console
from cli.intake import takes_anything_in
from cli.process_tree import adopt_orphans, end_descendants
from cli.service_environment import ServiceOptions, project_folder, service_options
from cli.service_home import Service, ServiceHome, is_healthy, service_home
from cli.service_status import service_status
from reelmill.errors import ServerUnreachable

_ENDS_WITHIN_S = 60.0
_DOWN = 3


def up(*, host: str = "127.0.0.1", port: int = 4200, jobs: int = 2) -> int:
    """Run a Prefect server with its pages, the deployments and a worker, until ^C or `reelmill down`.

    The server that PREFECT_API_URL names is used instead of one of our own.

    Parameters
    ----------
    host
        Address that the server listens on. One beyond this machine needs PREFECT_SERVER_API_AUTH_STRING.
    port
        Port of the server.
    jobs
        Jobs that the worker runs at once.
    """
    home = service_home()
    lock = _take(home)
    if lock is None:
        return _tell_of(_wait_until_ready(home))
    options = service_options(host, port, jobs)
    takes_anything_in()  # wrong settings are said now
    project_folder()
    return _run(home, options, lock)


def down() -> int:
    """End what `reelmill up` runs on this machine, and wait until it is gone. Runs at work are interrupted."""
    home = service_home()
    give_up = time.monotonic() + _ENDS_WITHIN_S
    told = None
    while home.is_held():
        service = home.read()
        if service is not None and service.keeper_pid != told:
            told = service.keeper_pid
            with suppress(ProcessLookupError):
                os.kill(service.keeper_pid, signal.SIGTERM)
        if time.monotonic() > give_up:
            raise ServerUnreachable(f"it did not end within {_ENDS_WITHIN_S:g} s; see the logs in {home.folder}")
        time.sleep(0.1)
    print("down" if told else "nothing was up")
    return 0


def status(*, json_output: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Say what is up on this machine: server, pages, worker, and runs by their state. Exit code 3 when it is not.

    Parameters
    ----------
    json_output
        Print it as JSON on standard output.
    """
    found = service_status()
    if json_output:
        print(json.dumps(asdict(found), indent=2))
    else:
        for line in found.lines():
            print(line)
    return 0 if found.up else _DOWN


def _take(home: ServiceHome) -> int | None:
    """Take the folder; not giving up at once, since who looks whether it is held holds it for a moment."""
    for _ in range(10):
        lock = home.take()
        if lock is not None or home.read() is not None:
            return lock
        time.sleep(0.1)
    return None


def _run(home: ServiceHome, options: ServiceOptions, lock: int) -> int:
    """Have a keeper do everything, pass on what it says, and end with it. Nothing that it started is left."""
    adopt_orphans()  # for when the keeper is killed
    console = plain_console(stderr=True)
    with home.log("keeper").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "cli.service_keeper", json.dumps(asdict(options))], pass_fds=[lock],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
    assert keeper.stdout is not None
    error = None
    with _stopping(keeper):
        for line in keeper.stdout:
            said = json.loads(line)
            error = said.get("error", error)
            if "step" in said:
                console.print(said["step"], soft_wrap=True)
            if "ready" in said:
                _tell_of(home.read())
                console.print("^C stops it", style="dim")
        code = keeper.wait()
        end_descendants(within_s=10)
    home.forget()
    if code != 0:
        raise ServerUnreachable(error or f"what keeps the server and the worker ended with {code}; see {log.name}")
    return 0


@contextmanager
def _stopping(keeper: subprocess.Popen[str]) -> Iterator[None]:
    """Have ^C and SIGTERM stop the keeper; the second one at once."""
    asked = 0

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        keeper.terminate() if asked == 1 else keeper.kill()

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _wait_until_ready(home: ServiceHome) -> Service | None:
    give_up = time.monotonic() + 2 * _ENDS_WITHIN_S
    while home.is_held() and time.monotonic() < give_up:
        service = home.read()
        if service is not None and service.ready and is_healthy(service.api):
            return service
        time.sleep(0.2)
    raise ServerUnreachable(f"another `reelmill up` has {home.folder}, and did not get ready; see the logs there")


def _tell_of(service: Service | None) -> int:
    if service is not None:
        print(f"up: {service.ui}", flush=True)
    return 0

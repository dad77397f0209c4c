"""Keeps the Prefect server and the worker of `reelmill up`: starts them, starts them again, and ends them.

A process of its own, run by `reelmill up` as a module. It ends all that it started when it is told to, and when the
command at the other end of its standard input is gone, however that went. As the parent of last resort of everything
below it, it also finds the runs of a worker that was killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from cli.intake import READY, takes_anything_in
from cli.process_tree import adopt_orphans, end_descendants, reap
from cli.service_environment import ServiceOptions, project_folder, service_environment
from cli.service_home import (
    Service,
    ServiceHome,
    give_back_runs,
    is_deployed,
    is_healthy,
    online_workers,
    service_home,
)
from cli.service_home import forget_worker as forget_worker_at
from reelmill.media.tool_starter import dies_with_starter

_STARTS_WITHIN_S = 120.0
_WORKER_ENDS_WITHIN_S = 4.0
_SERVER_ENDS_WITHIN_S = 2.0
_LIVES_S = 60.0
_LONGEST_PAUSE_S = 30.0


class Stopped(Exception):
    """Somebody wants all of it to end."""


class NotStarted(Exception):
    """A part did not start. The message says which, and where its log is."""


class Part:
    """The server, or the worker: one process that is started again when it ends."""

    def __init__(self, name: str, argv: list[str], home: ServiceHome, environment: dict[str, str]):
        self.name, self.log = name, home.log(name)
        self._argv, self._folder, self._environment = argv, home.folder, environment
        self._pause_s = 1.0
        self.start()

    def start(self) -> None:
        self._started = time.monotonic()
        with self.log.open("ab") as log:
            self._log_began = log.tell()
            self.process = subprocess.Popen(
                self._argv, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=dies_with_starter(),
            )  # fmt: skip

    def pause_s(self) -> float:
        """Return how long to wait before it is started again: longer each time it ends early."""
        lived = time.monotonic() - self._started
        self._pause_s = 1.0 if lived > _LIVES_S else min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return self._pause_s

    def has_said_ready(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._log_began)
            return READY.encode() in log.read()

    def end(self, within_s: float) -> None:
        """Ask it to end, and wait; whoever is left is killed later."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(within_s)


class Keeper:
    """All of `reelmill up` but the command itself."""

    def __init__(self, home: ServiceHome, options: ServiceOptions):
        self._home, self._options = home, options
        self._environment = service_environment(options, home)
        self._stop = False
        self._server: Part | None = None
        self._worker: Part | None = None
        self._intake: Part | None = None
        self._service = Service(
            api=options.api, ui=options.ui, worker=socket.gethostname(), keeper_pid=os.getpid(), own_server=options.own
        )
        signal.signal(signal.SIGTERM, self._on_signal)

    def run(self) -> None:
        """Start everything, and keep it until told to stop. Raises NotStarted."""
        self._home.write(self._service)
        try:
            self._start()
            self._service = replace(self._service, ready=True)
            self._home.write(self._service)
            tell("ready", "")
            while True:
                self._look(1.0)
                self._restart_ended()
        except Stopped:
            pass
        finally:
            self._end()

    def _start(self) -> None:
        api = self._options.api
        if self._options.own:
            tell("step", "starting the Prefect server")
            argv = [sys.executable, "-m", "cli.sqlite_server", "server", "start"]
            argv += ["--host", self._options.host, "--port", str(self._options.port)]
            self._server = Part("server", argv, self._home, self._environment)
        self._wait_for("the Prefect server", lambda: is_healthy(api), self._server)
        tell("step", "applying the work pool and prefect.yaml")
        self._apply()
        tell("step", "starting the worker")
        self._forget_worker()
        argv = [sys.executable, "-m", "cli.main", "worker"]
        argv += ["--name", self._service.worker, "--jobs", str(self._options.jobs)]
        self._worker = Part("worker", argv, self._home, self._environment)
        self._wait_for(
            "the worker", lambda: self._service.worker in online_workers(api) and is_deployed(api), self._worker
        )

        if takes_anything_in():
            tell("step", "starting the intake of uploads and messages")
            self._intake = Part("intake", [sys.executable, "-m", "cli.main", "intake"], self._home, self._environment)
            self._wait_for("the intake", self._intake.has_said_ready, self._intake)

    def _apply(self) -> None:
        self._home.results.mkdir(exist_ok=True)
        log = self._home.log("deploy")
        with log.open("wb") as out:
            applying = subprocess.Popen(
                [sys.executable, "-m", "deployments.apply"], cwd=project_folder(), env=self._environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=dies_with_starter(),
            )  # fmt: skip
        give_up = time.monotonic() + _STARTS_WITHIN_S
        while applying.poll() is None and time.monotonic() < give_up:
            self._look(0.1)
        if applying.poll() != 0:
            raise NotStarted(f"prefect.yaml could not be applied; see {log}")

    def _wait_for(self, what: str, ready: Callable[[], bool], part: Part | None) -> None:
        give_up = time.monotonic() + (_STARTS_WITHIN_S if part else 10.0)
        while not ready():
            self._look(0.2)
            if part is not None and part.process.poll() is not None:
                raise NotStarted(f"{what} ended with {part.process.returncode}; see {part.log}")
            if time.monotonic() > give_up:
                raise NotStarted(f"{what} does not answer" + (f"; see {part.log}" if part else ""))

    def _restart_ended(self) -> None:
        for part in self._parts():
            if part.process.poll() is None:
                continue
            pause_s = part.pause_s()
            print(f"the {part.name} ended with {part.process.returncode}: again in {pause_s:g} s", file=sys.stderr)
            alive = {each.process.pid for each in self._parts() if each is not part}
            end_descendants(spare=alive, within_s=5)  # what it left is nobody's
            give_up = time.monotonic() + pause_s
            while time.monotonic() < give_up:
                self._look(0.5)
            if part is self._worker:
                self._forget_worker()
            part.start()
        reap(spare={part.process.pid for part in self._parts()})

    def _forget_worker(self) -> None:
        """Have the server forget a worker that was killed, which counts as online for a while, and what it took."""
        forget_worker_at(self._options.api, self._service.worker)
        give_back_runs(self._options.api)

    def _parts(self) -> list[Part]:
        return [part for part in (self._server, self._worker, self._intake) if part is not None]

    def _look(self, for_s: float) -> None:
        """Wait, but no longer than until somebody wants the end."""
        give_up = time.monotonic() + for_s
        while not self._stop and (left_s := give_up - time.monotonic()) > 0:
            gone, _, _ = select.select([sys.stdin], [], [], min(left_s, 0.5))
            self._stop = self._stop or bool(gone)
        if self._stop:
            raise Stopped

    def _on_signal(self, signum: int, frame: object) -> None:
        self._stop = True

    def _end(self) -> None:
        tell("step", "stopping")
        if self._intake is not None:
            self._intake.end(_WORKER_ENDS_WITHIN_S)
        if self._worker is not None:
            self._worker.end(_WORKER_ENDS_WITHIN_S)
            forget_worker_at(self._options.api, self._service.worker)
        end_descendants(spare={self._server.process.pid} if self._server else set(), within_s=5)
        if self._server is not None:
            self._server.end(_SERVER_ENDS_WITHIN_S)
        end_descendants(within_s=10)
        self._home.forget()


def tell(kind: str, text: str) -> None:
    """Say something to the command, if it is still there."""
    with suppress(OSError, ValueError):
        print(json.dumps({kind: text}), flush=True)


def main(options: str) -> int:
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Keeper(service_home(), ServiceOptions(**json.loads(options))).run()
    except NotStarted as error:
        tell("error", str(error))
        return 3
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)

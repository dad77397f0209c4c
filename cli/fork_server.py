"""Starts runs without starting Python: has loaded what a run needs, and becomes the run in a fork of itself.

A process of its own, run by the worker as a module, with one end of a socket. Each message there is one end of another
socket, a run's own. In a fork it is read from that end what the run is to be, and the fork answers `started PID`; when
the fork has ended, the server answers `ended CODE`, negative for a signal, and `failed ERRNO` when there is no room for
one more process, which is no end of the others. On Linux nothing of it outlives the worker.

Only the thread that forks is there in a fork, and what another held is locked for ever. So what is loaded here may
start no thread, open no connection and ask for no settings; a fork reads Prefect's settings anew, from its environment.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from reelmill.media.tool_starter import dies_with_starter

if TYPE_CHECKING:
    from types import FrameType

FLOW_MODULES = ("flows.transcode_video", "flows.transfer_object", "flows.sweep_inbox", "flows.measure_fastq")
_LOADED_BY_RUNS = ("prefect.engine", "prefect.flow_engine", "prefect.utilities.visualization", "fastapi")
_ENGINE = "prefect.engine"


@dataclass(frozen=True)
class RunRequest:
    """What a fork becomes: its whole environment, its folder, and whether what it prints is thrown away."""

    environment: Mapping[str, str]
    folder: str
    is_silent: bool = False

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def load() -> None:
    """Import what every run imports, and spare the forks from looking through it for garbage."""
    for name in (*FLOW_MODULES, *_LOADED_BY_RUNS):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> socket.socket | None:
    """Fork for each run, until the worker is gone. Return None then, and in a fork the end that is its run's own."""
    before, woken = signal.getsignal(signal.SIGCHLD), socket.socketpair()
    for end in woken:
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, _note)
    signal.set_wakeup_fd(woken[1].fileno())
    runs: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken[0], selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken[0] in ready:
                woken[0].recv(4096)
                _tell_of_ended(runs)
            if control not in ready:
                continue
            run = _next_run(control)
            if run is None:
                break
            try:
                pid = _fork()
            except OSError as error:
                _tell(run, "failed", error.errno or errno.EAGAIN)
                continue
            if pid == 0:
                break
            runs[pid] = run
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, before)
    for each in (*woken, *runs.values(), control):
        each.close()
    return run


def become(run: socket.socket) -> None:
    """Be the run that is asked for: what `python -m prefect.engine` is, but for the start of Python."""
    with run, run.makefile("rb") as lines:
        request = RunRequest(**json.loads(lines.readline()))
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(request.environment)
        os.chdir(request.folder)
        if request.is_silent:
            _print_nothing()
        from prefect.context import refresh_global_settings_context
        from prefect.logging.configuration import setup_logging

        refresh_global_settings_context()
        setup_logging()
        run.sendall(b"started %d\n" % os.getpid())
    sys.argv = [_ENGINE]
    sys.modules.pop(_ENGINE)
    runpy.run_module(_ENGINE, run_name="__main__")


def _fork() -> int:
    die_with_server = dies_with_starter()
    pid = os.fork()
    if pid == 0 and die_with_server is not None:
        die_with_server()
    return pid


def _next_run(control: socket.socket) -> socket.socket | None:
    _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _tell_of_ended(runs: dict[int, socket.socket]) -> None:
    """Take the exit codes of the forks that have ended."""
    for pid in list(runs):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _tell(runs.pop(pid), "ended", os.waitstatus_to_exitcode(status))


def _tell(run: socket.socket, word: str, number: int) -> None:
    """Say the last that there is to say of a run. A worker that no longer listens has no use for it."""
    with run, suppress(OSError):
        run.sendall(f"{word} {number}\n".encode())


def _print_nothing() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _note(signum: int, frame: FrameType | None) -> None:
    """A signal that is handled wakes `select`; one that is ignored doesn't."""


def main(control: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: it is for the worker to end the runs
    load()
    with socket.socket(fileno=control) as server:
        run = serve(server)
    if run is not None:
        become(run)


if __name__ == "__main__":
    main(int(sys.argv[1]))

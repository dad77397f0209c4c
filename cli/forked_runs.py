"""The worker's end of the fork server: has runs forked, and follows each to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from types import TracebackType

from cli.fork_server import RunRequest

_ENDS_WITHIN_S = 5.0


class ForkFailed(Exception):
    """A run could not be forked, or ended before it was one. The message says what is known."""


class ForkedRun:
    """One run at work: a process that leads a session of its own, whose parent is the fork server."""

    def __init__(self, pid: int, lines: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.pid = pid
        self.returncode: int | None = None
        self._lines, self._writer = lines, writer

    async def wait(self) -> int:
        """Return its exit code, negative for a signal. With the fork server a run is killed."""
        try:
            ended = await _next(self._lines)
            self.returncode = -signal.SIGKILL if ended is None else ended[1]
        finally:
            self._writer.close()
        return self.returncode


class ForkServer:
    """The process that forks, kept while the context lasts. One that has ended is started again for the next run."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> ForkServer:
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    async def fork(self, request: RunRequest) -> ForkedRun:
        """Have a run forked, and return it once it leads its session. Raises ForkFailed."""
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._start()
        ours, theirs = socket.socketpair()
        with theirs:
            lines, writer = await asyncio.open_connection(sock=ours)
            try:
                writer.write(request.line())  # before the other end can answer, and close
                socket.send_fds(self._control, [b"."], [theirs.fileno()])
            except OSError as error:
                writer.close()
                raise ForkFailed(f"the fork server is gone: {error}") from error
        try:
            told = await _next(lines)
            if told is None or told[0] != "started":
                raise ForkFailed(_why(told))
        except BaseException:
            writer.close()
            raise
        return ForkedRun(told[1], lines, writer)

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.fork_server", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def _end(self) -> None:
        """Let it go, and whatever it still runs with it."""
        self._control.close()
        if self._process is not None:
            try:
                self._process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _why(told: tuple[str, int] | None) -> str:
    """Say why there is no run, by what was told instead of its start."""
    match told:
        case None:
            return "the fork server is gone"
        case ("failed", error):
            return f"this machine gives no process: {os.strerror(error)}"
        case (_, code):
            return f"exit code {code} at the start"


async def _next(lines: asyncio.StreamReader) -> tuple[str, int] | None:
    """Return what the fork server tells next: a word and a number. None when it, and the run with it, is gone."""
    try:
        word, _, number = (await lines.readline()).decode().partition(" ")
    except ConnectionError:
        return None
    return (word, int(number)) if number else None

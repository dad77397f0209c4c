"""Server programs for tests: started on a free port, waited for, killed with the block or the process they serve."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from reelmill.media.tool_starter import dies_with_starter

_START_S = 60
_LOG_TAIL_BYTES = 4000
# Below the ports that Linux hands out to outgoing connections, one of which could take it before the server does.
_PORTS = range(15_000, 32_768)


class ServerFailed(Exception):
    """A server, or what sets one up, did not do what it was started for. The message ends with the end of its log."""


class ServerProcess:
    """One server program that writes its output to `log`. Root can have it run as another `user`, by uid."""

    def __init__(self, argv: list[str], *, log: Path, env: Mapping[str, str], user: int | None = None):
        self.argv, self.log = argv, log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=log.parent,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                preexec_fn=dies_with_starter(),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], object]) -> None:
        """Return as soon as `ready()` is true. ServerFailed when the program ends or a minute passes before."""
        give_up = time.monotonic() + _START_S
        while not ready():
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.argv[0]} ended with {self._process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > give_up:
                raise ServerFailed(f"{self.argv[0]} was not ready after {_START_S} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self) -> str:
        return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def stop(self, by: int) -> None:
        """End it with a signal that it heeds, within ten seconds."""
        self._process.send_signal(by)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)

    def kill(self) -> None:
        """End it without its leave: whatever it holds is thrown away."""
        self._process.kill()
        self._process.wait()


@contextmanager
def server_process(
    argv: list[str], *, log: Path, env: Mapping[str, str], user: int | None = None
) -> Iterator[ServerProcess]:
    """Run a server while the block runs."""
    server = ServerProcess(argv, log=log, env=env, user=user)
    try:
        yield server
    finally:
        server.kill()


def run_tool(argv: list[str], *, env: Mapping[str, str], within_s: float = _START_S, user: int | None = None) -> str:
    """Return what a program prints. ServerFailed if it fails or takes longer than `within_s`."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, timeout=within_s,
            user=user, group=user, extra_groups=None if user is None else [],
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ServerFailed(f"no end of {argv} after {within_s} s") from error
    if done.returncode != 0:
        raise ServerFailed(f"exit code {done.returncode} from {argv}:\n{done.stderr[-_LOG_TAIL_BYTES:]}")
    return done.stdout


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now; that it stays so is likely, not certain."""
    random = Random()  # not the module's own: pytest-randomly seeds that alike in every worker
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def answers(port: int) -> bool:
    """Whether something on `port` of 127.0.0.1 takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

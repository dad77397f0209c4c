"""A Prefect of the benchmark's own: a home in a temporary folder, a server on a free port, commands that end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PROJECT = Path(__file__).parents[1]
_STARTS_WITHIN_S = 180.0
_ENDS_WITHIN_S = 20.0


def environment(home: Path, api: str | None = None) -> dict[str, str]:
    """Return the environment of a process that knows this home and this server and nothing of the user's Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    kept |= {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    kept |= {"PREFECT_LOGGING_LEVEL": "CRITICAL"}
    return kept | ({"PREFECT_API_URL": api} if api else {})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    command: Sequence[str | Path | float], env: Mapping[str, str], log: Path
) -> Generator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own; whatever is left of it when the block ends is ended too."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            env=dict(env), cwd=_PROJECT, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            _end(process)


def tail_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


@contextmanager
def own_server(home: Path) -> Generator[str]:
    """Run a Prefect server on SQLite for as long as the block runs, and give the URL of its API."""
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cli.sqlite_server", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with started(command, environment(home), home / "server.log") as server:
        _wait_for(f"http://127.0.0.1:{port}/api/health", server, home / "server.log")
        yield f"http://127.0.0.1:{port}/api"


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the Prefect server did not start: {tail_of(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started: the group is ours alone."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

"""Finds the Prefect server a run reports to, or starts one for the run. To be used before Prefect is imported."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cli.service_home import running_service
from reelmill.errors import ServerUnreachable
from reelmill.media.tool_starter import dies_with_starter
from reelmill.settings import settings

_LOCAL_API = "http://127.0.0.1:4200/api"
_ANSWERS_WITHIN_S = 2.0
_ANSWERS_WITHIN_S_WHEN_BUSY = 20.0
"""Where a server is known to be: on SQLite it may be at work for others for seconds. None at all is told at once."""
_STARTS_WITHIN_S = 120.0
TEMPORARY_SERVER = {
    "PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "0",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "0", "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
}  # fmt: skip
"""No pages, and no types of blocks, for which it would load every integration that is installed, Dask among them."""


DIRECT = "reelmill-direct"
"""Tag of runs that no worker has begun. When one is not heard of any more it has crashed, and nobody takes it up."""


@contextmanager
def prefect_server(*, verbose: bool) -> Generator[None]:
    """Have a server to report to: the configured one, else the one on this machine, else one for as long as we run."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "CRITICAL")
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    use_server()
    api = os.environ.get("PREFECT_API_URL") or _profiles_server()
    if api:
        if not _answers(api, _ANSWERS_WITHIN_S_WHEN_BUSY):
            raise ServerUnreachable(f"the Prefect server at {api} does not answer; unset PREFECT_API_URL to do without")
        from prefect import tags

        with tags(DIRECT):
            yield
        return
    print(
        "no Prefect server is up: starting one for this run takes some ten seconds (`reelmill up` leaves one running)",
        file=sys.stderr,
    )
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with _temporary_server() as api, temporary_settings({PREFECT_API_URL: api}):
        yield


def has_server() -> bool:
    """Have Prefect, which must not be imported yet, use a server that lasts; False when there is none."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    use_server()
    return bool(os.environ.get("PREFECT_API_URL") or _profiles_server())


def refuse_without_server() -> None:
    """Have Prefect, which must not be imported yet, use a server that lasts. ServerUnreachable when there is none."""
    if not has_server():
        raise ServerUnreachable(
            "no Prefect server is up: `reelmill up` starts one, PREFECT_API_URL names one elsewhere"
        )


def use_server() -> None:
    """Have Prefect, which must not be imported yet, use the server on this machine when no other is configured."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    if "PREFECT_API_URL" in os.environ:
        return
    service = running_service()
    if service is not None and _answers(service.api, _ANSWERS_WITHIN_S_WHEN_BUSY):
        os.environ["PREFECT_API_URL"] = service.api
        if password := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
            os.environ.setdefault("PREFECT_API_AUTH_STRING", password)
    elif _answers(_LOCAL_API):
        os.environ["PREFECT_API_URL"] = _LOCAL_API


def temporary_server_argv(port: int) -> list[str]:
    """Return the command that starts a server on SQLite; TEMPORARY_SERVER is its environment."""
    server = [sys.executable, "-m", "uvicorn", "--factory", "cli.sqlite_server:create_app"]
    return [*server, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]


@contextmanager
def _temporary_server() -> Generator[str]:
    """Start a server without a UI, as Prefect would itself, but one that ends when we are killed and logs to a file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = settings().scratch_dir / "prefect-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        server = subprocess.Popen(
            temporary_server_argv(port), stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0,
            env=os.environ | TEMPORARY_SERVER, preexec_fn=dies_with_starter(),
        )  # fmt: skip
        try:
            _wait_for(server, f"http://127.0.0.1:{port}/api", log)
            yield f"http://127.0.0.1:{port}/api"
        finally:
            server.terminate()
            try:
                server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(server: subprocess.Popen[bytes], api: str, log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while not _answers(api):
        if server.poll() is not None or time.monotonic() > deadline:
            raise ServerUnreachable(f"a temporary Prefect server did not start; see {log}")
        time.sleep(0.1)


def _answers(api: str, within_s: float = _ANSWERS_WITHIN_S) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=within_s) as answer:
            return answer.status == 200 and answer.read(16).strip() == b"true"
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)  # a server that wants to know who asks
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _profiles_server() -> str | None:
    from prefect.settings import get_current_settings

    return get_current_settings().api.url

"""Which server a command reports to, and how long it waits for one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

import pytest

from cli.jobs import cancel
from cli.prefect_server import DIRECT, prefect_server, use_server
from cli.service_home import Service, service_home
from reelmill.errors import ServerUnreachable
from tests.conftest import Set
from tests.server_processes import free_port

BUSY_S = 3.0


class BusyServer(BaseHTTPRequestHandler):
    """Answers as a Prefect server on SQLite does while it is at work for others: late."""

    def do_GET(self) -> None:
        time.sleep(BUSY_S)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(autouse=True)
def environment_afterwards() -> Iterator[None]:
    """What a command tells Prefect is for its own process: take it back."""
    with patch.dict(os.environ):
        os.environ.pop("PREFECT_API_URL", None)
        yield


@pytest.fixture
def busy_api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BusyServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_server_that_is_named_and_busy_is_waited_for(busy_api: str):
    os.environ["PREFECT_API_URL"] = busy_api
    with prefect_server(verbose=False):
        assert os.environ["PREFECT_API_URL"] == busy_api


def test_busy_server_of_up_is_waited_for(busy_api: str, set_to: Set, tmp_path: Path):
    set_to(home_dir=tmp_path / "home")
    home = service_home()
    held = home.take()
    assert held is not None
    home.write(Service(busy_api, "", "worker", os.getpid(), own_server=True, ready=True))
    try:
        use_server()
        assert os.environ["PREFECT_API_URL"] == busy_api
    finally:
        os.close(held)


def test_server_that_is_named_and_not_there_is_an_error():
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"
    with pytest.raises(ServerUnreachable, match="does not answer"), prefect_server(verbose=False):
        pass


@pytest.mark.slow
def test_a_run_begun_by_hand_bears_a_tag_by_which_it_is_found_dead_and_is_not_cancelled_from_elsewhere(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PREFECT_API_URL", request.getfixturevalue("prefect_server"))
    from prefect import flow
    from prefect.runtime import flow_run

    @flow
    def by_hand() -> tuple[list[str], int]:
        return flow_run.tags, cancel(str(flow_run.id))

    with prefect_server(verbose=False):
        assert by_hand() == ([DIRECT], 1)
    assert "was begun by hand" in capsys.readouterr().out

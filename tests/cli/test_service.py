"""`reelmill up`, `down` and `status` as a user has them: a real server, a real worker, and what is left of them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from cli.service_environment import ServiceOptions, service_environment, service_options
from cli.service_home import ServiceHome, ask
from reelmill.errors import InvalidParameter
from reelmill.manifest import read_manifest
from reelmill.storage.opening import open_store
from tests.ffmpeg_tool import frame_times
from tests.live_jobs import FRAME_RATE, LoggedTool, make_clip
from tests.server_processes import free_port
from tests.service import UpService, up_service, wait_for

GONE_WITHIN_S = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2, size="64x64")


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_up_runs_a_job_and_down_leaves_nothing(tmp_path: Path, clip: Path):
    with up_service(tmp_path) as service:
        assert service.command("up") == f"up: http://127.0.0.1:{service.port}\n"  # a second one does no harm
        run = service.submit(source=str(clip), formats=["mp4"])
        wait_for(lambda: service.state(run) not in ("SCHEDULED", "PENDING", "RUNNING"), within_s=120)
        assert service.state(run) == "COMPLETED", service.logs()
        output = service.home / "results" / "clip.reelmill"
        variables = ask(service.api, "/work_pools/reelmill")["base_job_template"]["variables"]["properties"]
        assert variables["working_dir"].get("default") is None  # a folder of this machine is none of another's
        manifest = read_manifest(open_store(output))
        assert manifest is not None
        assert [each.file_name for each in manifest.outputs] == ["clip.mp4"]
        assert len(frame_times(output / "clip.mp4")) == 2 * FRAME_RATE
        found = service.status()
        assert found["up"]
        assert found["ui"] == f"http://127.0.0.1:{service.port}"
        assert found["runs"] == {"completed": 1}
        # On another port than 4200, and found all the same.
        assert "no Prefect server is up" not in service.command("transcode", str(clip), "-f", "avi", "-o", "avi")
        assert service.command("down") == "down\n"
        assert service.is_gone()
        assert service.status(exit_code=3)["up"] is False
        assert service.command("down") == "nothing was up\n"


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ended_by", [signal.SIGKILL])  # SIGTERM is what `down` sends; ^C is tried with the ways in
def test_the_end_of_up_is_the_end_of_its_runs_and_their_ffmpeg(
    tmp_path: Path, clip: Path, ended_by: signal.Signals, monkeypatch: pytest.MonkeyPatch, prefect_tables: Path
):
    tool = LoggedTool(tmp_path / "tool")
    monkeypatch.setenv("REELMILL_FFMPEG", str(tool.path))
    service = UpService(tmp_path / "service", tables=prefect_tables)
    with tool.holding():
        try:
            process = service.start()
            service.submit(source=str(clip), formats=["mp4"])
            wait_for(tool.encodes, within_s=120)
            process.send_signal(ended_by)
            wait_for(service.is_gone, within_s=GONE_WITHIN_S)
            assert process.wait() == (-signal.SIGKILL if ended_by == signal.SIGKILL else 0)
        finally:
            service.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_a_server_that_others_can_reach_needs_a_password(host: str, monkeypatch: pytest.MonkeyPatch):
    for password in ("", " "):
        monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", password)
        with pytest.raises(InvalidParameter, match="PREFECT_SERVER_API_AUTH_STRING"):
            service_options(host, 4200, 1)


def test_the_command_refuses_an_open_host_in_one_line(tmp_path: Path):
    said = UpService(tmp_path).command("up", "--host", "0.0.0.0", exit_code=2)
    assert said.startswith("error: InvalidParameter: --host: 0.0.0.0 can be reached from other machines")


def test_with_a_password_any_host_will_do_and_children_know_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:secret")
    options = service_options("0.0.0.0", free_port(), 1)
    assert options.api == f"http://127.0.0.1:{options.port}/api"
    assert service_environment(options, ServiceHome(tmp_path))["PREFECT_API_AUTH_STRING"] == "me:secret"


def test_a_taken_port_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidParameter, match="give another one"):
            service_options("127.0.0.1", taken.getsockname()[1], 1)


def test_nothing_is_sent_to_anybody_and_only_own_pages_may_call(tmp_path: Path):
    environment = service_environment(ServiceOptions("127.0.0.1", 4200, 1), ServiceHome(tmp_path))
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200,http://localhost:4200"


def test_the_folder_is_for_its_owner_alone(tmp_path: Path):
    assert ServiceHome(tmp_path / "home").folder.stat().st_mode & 0o077 == 0


def test_a_folder_is_held_once_and_what_was_left_in_it_is_not_believed(tmp_path: Path):
    home = ServiceHome(tmp_path)
    (tmp_path / "service.json").write_text('{"api": "http://127.0.0.1:1/api"}')
    assert home.read() is None
    lock = home.take()
    assert lock is not None
    assert home.take() is None
    assert home.is_held()

"""A fleet as compose.yaml describes it, without containers: its settings on a real PostgreSQL and a real Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from tests.compose_file import compose_config
from tests.database_servers import (
    PostgresServer,
    RedisServer,
    missing_database_programs,
    postgres_server,
    redis_server,
)
from tests.live_jobs import make_clip, wait_until
from tests.server_processes import ServerProcess, answers, free_port, server_process

ROOT = Path(__file__).parents[2]
AUTH = "fleet:only for tests"


class Fleet:
    """The services of compose.yaml, each with the command and the environment it has there, at other addresses."""

    def __init__(self, folder: Path, stack: ExitStack, postgres: PostgresServer, redis: RedisServer):
        self.folder, self._stack, self.postgres, self.redis = folder, stack, postgres, redis
        self._port, self._health_port = free_port(), free_port()
        self.api = f"http://127.0.0.1:{self._port}/api"
        asked_for = {"POSTGRES_PASSWORD": postgres.password, "PREFECT_SERVER_API_AUTH_STRING": AUTH}
        self._services: dict[str, Any] = compose_config(asked_for)["services"]
        (folder / "results").mkdir(parents=True)

    def environment(self, service: str) -> dict[str, str]:
        return self._bare_environment() | {
            name: self._here(str(value)) for name, value in self._services[service].get("environment", {}).items()
        }

    def argv(self, service: str) -> list[str]:
        program, *words = (self._here(word) for word in self._services[service]["command"])
        return [*([sys.executable] if program == "python" else [sys.executable, "-m", program]), *words]

    def start(self, service: str) -> ServerProcess:
        log, env = self.folder / f"{service}.log", self.environment(service)
        return self._stack.enter_context(server_process(self.argv(service), log=log, env=env))

    def run(self, service: str) -> None:
        """Run a service that ends by itself."""
        done = subprocess.run(
            self.argv(service), cwd=ROOT, env=self.environment(service), stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def is_healthy(self, service: str) -> bool:
        """Whether its health check says so: the very command of the file."""
        kind, program, *words = self._services[service]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        argv = [sys.executable, *(self._here(word) for word in words)]
        return subprocess.run(argv, capture_output=True, env=self._bare_environment(), timeout=30).returncode == 0

    def _bare_environment(self) -> dict[str, str]:
        """What the image sets, and what any process has."""
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT),
            "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "REELMILL_WORK_DIR": str(self.folder / "work"), "REELMILL_SCRATCH_DIR": str(self.folder / "scratch"),
            "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": str(self._health_port),
        }  # fmt: skip

    def _here(self, word: str) -> str:
        """Put this machine's addresses for those of the containers."""
        whole = {
            "0.0.0.0": "127.0.0.1", "4200": str(self._port), "/results": str(self.folder / "results"),
            "postgres": self.postgres.host, "5432": str(self.postgres.port),
            "redis": self.redis.host, "6379": str(self.redis.port),
        }  # fmt: skip
        inside = {
            "http://server:4200": f"http://127.0.0.1:{self._port}",
            "http://127.0.0.1:4200": f"http://127.0.0.1:{self._port}",
            "http://127.0.0.1:8080": f"http://127.0.0.1:{self._health_port}",
            "redis://redis:6379": f"redis://{self.redis.host}:{self.redis.port}",
        }
        word = whole.get(word, word)
        for there, here in inside.items():
            word = word.replace(there, here)
        return word

    def logs(self) -> str:
        return "".join(f"\n{path.name}:\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))

    @property
    def is_up(self) -> bool:
        return answers(self._port) and self.is_healthy("server")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A server with its databases, what it deploys, and a worker."""
    if missing := missing_database_programs():
        pytest.skip(f"no {', '.join(missing)}: .ci/system-packages installs PostgreSQL and Redis")
    with ExitStack() as stack:
        postgres, redis = stack.enter_context(postgres_server()), stack.enter_context(redis_server())
        postgres.create_database("prefect")
        it = Fleet(tmp_path / "fleet", stack, postgres, redis)
        it.start("server").wait_until(lambda: it.is_up)
        it.run("deploy")
        it.start("worker").wait_until(lambda: it.is_healthy("worker"))
        yield it


@pytest.mark.slow
def test_a_job_completes_on_the_settings_of_the_compose_file(fleet: Fleet, tmp_path: Path):
    clip = make_clip(tmp_path / "clip.mp4", seconds=4)
    with SyncPrefectClient(fleet.api, auth_string=AUTH) as client:
        deployment = client.read_deployment_by_name("transcode-video/transcode")
        job = {"source": str(clip), "formats": ["mp4"], "output": "made"}
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"job": job})

        def state() -> str:
            found = client.read_flow_run(run.id).state
            return found.type.value if found else "unknown"

        wait_until(lambda: state() in ("COMPLETED", "FAILED", "CRASHED"), within_s=90, what="the end of the run")
        assert state() == "COMPLETED", fleet.logs()
    made = fleet.folder / "results" / "made"
    assert sorted(path.name for path in made.iterdir()) == ["clip.mp4", "manifest.json"]
    count = f"SELECT count(*) FROM task_run WHERE flow_run_id = '{run.id}' AND state_type = 'COMPLETED'"
    wait_until(lambda: int(fleet.postgres.query(count, "prefect")[0]) >= 4, within_s=30, what="its task runs")
    _assert_redis_is_used(fleet.redis)
    with SyncPrefectClient(fleet.api) as stranger, pytest.raises(PrefectHTTPStatusError, match="401 Unauthorized"):
        stranger.read_work_pool("reelmill")


def _assert_redis_is_used(redis: RedisServer) -> None:
    """The messages, what orders them, and the server's own tasks are there, so that a second server would see them."""
    assert redis.command("type", "events") == ["stream"]
    assert redis.command("--scan", "--pattern", "triggers:seen:*") != []
    assert "prefect-server:workers" in redis.command("-n", "1", "--scan", "--pattern", "prefect-server:*")

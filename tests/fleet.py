"""The services of deployments/compose.yaml without containers, on a PostgreSQL and a Redis of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.compose_file import compose_config
from tests.database_servers import PostgresServer, RedisServer, postgres_server, redis_server
from tests.server_processes import ServerProcess, answers, free_port, server_process

ROOT = Path(__file__).parents[1]
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
        module = {"python": (), "reelmill": ("-m", "cli.main")}.get(program, ("-m", program))
        return [sys.executable, *module, *words]

    def start(
        self, service: str, *, name: str = "", argv: list[str] | None = None, settings: Mapping[str, str] | None = None
    ) -> ServerProcess:
        """Start a service; one of several with a name of its own, or with another command or further settings."""
        env = self.environment(service) | dict(settings or {})
        log = self.folder / f"{name or service}.log"
        return self._stack.enter_context(server_process(argv or self.argv(service), log=log, env=env))

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


@contextmanager
def started_fleet(folder: Path) -> Iterator[Fleet]:
    """Give a fleet whose server is up and has everything deployed; workers are started by who wants them."""
    with ExitStack() as stack:
        postgres, redis = stack.enter_context(postgres_server()), stack.enter_context(redis_server())
        postgres.create_database("prefect")
        fleet = Fleet(folder, stack, postgres, redis)
        fleet.start("server").wait_until(lambda: fleet.is_up)
        fleet.run("deploy")
        yield fleet

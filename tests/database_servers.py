"""PostgreSQL and Redis without systemd: on free ports of 127.0.0.1, as an unprivileged user, gone with the block."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from tests.server_processes import ServerFailed, free_port, run_tool, server_process

_SYSTEM_PATH = "/usr/bin:/bin"
_NOBODY = 65534
# Neither survives the test, so nothing is written for the case that the machine loses power.
_POSTGRES_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=50")


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL and its superuser, who needs the password."""

    port: int
    user: str
    password: str = field(repr=False)
    host: str = "127.0.0.1"

    def url(self, database: str, driver: str = "postgresql+asyncpg") -> str:
        return f"{driver}://{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}/{database}"

    def query(self, sql: str, database: str = "postgres") -> list[str]:
        """Return the rows that psql prints, with a bar between two columns."""
        argv = [_postgres("psql"), "-h", self.host, "-p", str(self.port), "-U", self.user, "-d", database,
                "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql]  # fmt: skip
        env = {"PATH": _SYSTEM_PATH, "PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "5"}
        return run_tool(argv, env=env).splitlines()

    def create_database(self, name: str) -> None:
        self.query(f'CREATE DATABASE "{name}"')


@dataclass(frozen=True)
class RedisServer:
    """A running Redis, without a password."""

    port: int
    host: str = "127.0.0.1"

    def url(self, database: int = 0) -> str:
        return f"redis://{self.host}:{self.port}/{database}"

    def command(self, *words: str) -> list[str]:
        """Return the lines of the answer."""
        argv = ["redis-cli", "-h", self.host, "-p", str(self.port), *words]
        return run_tool(argv, env={"PATH": _SYSTEM_PATH}).splitlines()


def missing_database_programs() -> list[str]:
    """Return the programs that the servers need and this machine lacks."""
    postgres = [name for name in ("initdb", "postgres", "psql") if not Path(_postgres(name)).is_file()]
    redis = [name for name in ("redis-server", "redis-cli") if shutil.which(name, path=_SYSTEM_PATH) is None]
    return [*postgres, *redis]


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL, the newest that Debian's packages installed; it is ready in two seconds."""
    server = PostgresServer(free_port(), "prefect", secrets.token_urlsafe(12) + "@:/?#%&")
    with _folder_of_nobody("postgres-") as folder:
        env = {"PATH": _SYSTEM_PATH, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        (folder / "password").write_text(server.password)
        run_tool(
            [_postgres("initdb"), "-D", f"{folder}/data", "-U", server.user, "--auth=scram-sha-256",
             f"--pwfile={folder}/password", "--encoding=UTF8", "--no-sync"],
            env=env, user=_unprivileged(),
        )  # fmt: skip
        options = [word for option in _POSTGRES_OPTIONS for word in ("-c", option)]
        argv = [_postgres("postgres"), "-D", f"{folder}/data", "-h", server.host, "-p", str(server.port),
                "-k", str(folder), *options]  # fmt: skip
        with server_process(argv, log=folder / "log", env=env, user=_unprivileged()) as process:
            try:
                process.wait_until(lambda: _answers_queries(server))
                yield server
            finally:
                process.stop(signal.SIGQUIT)  # at once, but not without giving its shared memory back


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis that keeps everything in memory."""
    server = RedisServer(free_port())
    with _folder_of_nobody("redis-") as folder:
        argv = ["redis-server", "--bind", server.host, "--port", str(server.port), "--dir", str(folder),
                "--save", "", "--appendonly", "no"]  # fmt: skip
        env = {"PATH": _SYSTEM_PATH, "HOME": str(folder)}
        with server_process(argv, log=folder / "log", env=env, user=_unprivileged()) as process:
            process.wait_until(lambda: _pongs(server))
            yield server


def _postgres(program: str) -> str:
    """Return the path of a program of the newest version; of Debian's layout, where PATH has only wrappers."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    return str(found[-1]) if found else program


def _unprivileged() -> int | None:
    """PostgreSQL refuses to run as root."""
    return _NOBODY if os.geteuid() == 0 else None


@contextmanager
def _folder_of_nobody(prefix: str) -> Iterator[Path]:
    """A folder that the unprivileged user reaches, as it would not one inside pytest's."""
    with TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        if (user := _unprivileged()) is not None:
            os.chown(name, user, user)
        yield Path(name)


def _answers_queries(server: PostgresServer) -> bool:
    try:
        return server.query("SELECT 1") == ["1"]
    except ServerFailed:
        return False


def _pongs(server: RedisServer) -> bool:
    try:
        return server.command("ping") == ["PONG"]
    except ServerFailed:
        return False

"""`reelmill up` under test: a real server and a real worker, on a free port and in a folder of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from cli.service_home import ServiceHome, ask
from tests.live_jobs import wait_until
from tests.prefect_servers import FILE_NAME
from tests.server_processes import answers, free_port

ROOT = Path(__file__).parents[1]
_READY_S = 180


class UpService:
    """One `reelmill up`, and what can be asked of it. Its server makes its tables, or has a copy of `tables`."""

    def __init__(self, folder: Path, *, tables: Path | None = None, settings: Mapping[str, str] | None = None):
        self.folder, self.home, self.port, self._tables = folder, folder / "home", free_port(), tables
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.environment |= {"REELMILL_HOME_DIR": str(self.home), "PYTHONPATH": str(ROOT)} | dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Run `up`, and return it when it says that it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._tables is not None:
            database = ServiceHome(self.home).prefect / FILE_NAME
            database.parent.mkdir()
            shutil.copyfile(self._tables, database)
        out = self.folder / "up.txt"
        with out.open("wb") as file:
            self._process = subprocess.Popen(
                self._argv("up", "--port", str(self.port)), cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        process = self._process
        wait_for(lambda: process.poll() is not None or "^C stops it" in out.read_text(), within_s=_READY_S)
        assert process.poll() is None, out.read_text() + self.logs()
        return process

    def command(self, *args: str, exit_code: int = 0) -> str:
        """Run another command of the same user, and return what it says on standard output and error."""
        done = subprocess.run(
            self._argv(*args), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_READY_S,
        )  # fmt: skip
        assert done.returncode == exit_code, done.stdout + self.logs()
        assert "Traceback" not in done.stdout
        return done.stdout

    def status(self, exit_code: int = 0) -> dict[str, Any]:
        return json.loads(self.command("status", "--json", exit_code=exit_code))

    def submit(self, **job: object) -> str:
        """Start a run of the deployment, and return its id. A server on SQLite may be too busy at first to answer."""
        run = {"parameters": {"job": job}, "state": {"type": "SCHEDULED"}, "idempotency_key": uuid4().hex}
        deployment = ask(self.api, "/deployments/name/transcode-video/transcode")
        found: list[str] = []

        def is_created() -> bool:
            answer = ask(self.api, f"/deployments/{deployment['id']}/create_flow_run", run)
            found.extend([answer["id"]] if answer else [])
            return bool(found)

        wait_for(is_created, within_s=60)
        return found[0]

    def run_of(self, source: object) -> str | None:
        """Return the id of the only run of a source; None as long as there is none."""
        runs = ask(self.api, "/flow_runs/filter", {}) or []
        found = [each["id"] for each in runs if each["parameters"].get("job", {}).get("source") == str(source)]
        assert len(found) < 2, f"{len(found)} runs of {source}"
        return found[0] if found else None

    def state(self, run: str) -> str:
        return (ask(self.api, f"/flow_runs/{run}") or {}).get("state_type", "unknown")

    def processes(self) -> list[psutil.Process]:
        """Return every process that was started for it: all have its home in their environment."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get("REELMILL_HOME_DIR") == str(self.home):
                    found.append(process)
            except psutil.Error:
                continue
        return [each for each in found if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    def is_gone(self) -> bool:
        return not self.processes() and not answers(self.port)

    def logs(self) -> str:
        return "".join(f"\n{each.name}:\n{each.read_text()[-3000:]}" for each in self.home.glob("logs/*.log"))

    def kill(self) -> None:
        for process in self.processes():
            process.kill()
        if self._process is not None:
            self._process.wait()

    def end_by(self, number: signal.Signals, *, within_s: float) -> int:
        """Send `up` a signal, wait until everything that it ran is gone, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        wait_for(self.is_gone, within_s=within_s)
        return self._process.wait()

    @staticmethod
    def _argv(*args: str) -> list[str]:
        return [sys.executable, "-m", "cli.main", *args]


@contextmanager
def up_service(folder: Path, tables: Path | None = None, **settings: str) -> Iterator[UpService]:
    """Run `up` while the block runs; nothing of it is left, whatever happens."""
    service = UpService(folder, tables=tables, settings=settings)
    try:
        service.start()
        yield service
    finally:
        service.kill()


def wait_for(condition: Callable[[], object], *, within_s: float) -> float:
    """Wait until it is true, and return how long that took."""
    started = time.monotonic()
    wait_until(condition, within_s)
    return time.monotonic() - started

"""The folder of `reelmill up`: who holds it, what runs in it, and where. Knows no Prefect."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reelmill.settings import settings

ANSWERS_WITHIN_S = 10.0  # a server on a busy machine takes its time; one that is not there is known at once
POOL = "reelmill"
DEPLOYMENT = "transcode-video/transcode"


@dataclass(frozen=True)
class Service:
    """What `reelmill up` started: addresses, and the process that keeps it. Readable by its owner alone."""

    api: str
    ui: str
    worker: str
    keeper_pid: int
    own_server: bool
    ready: bool = False


class ServiceHome:
    """The folder, made when it is missing. What is in it is for its owner alone."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.folder.chmod(0o700)
        self._state = self.folder / "service.json"

    @property
    def prefect(self) -> Path:
        return self.folder / "prefect"

    @property
    def results(self) -> Path:
        """Where relative paths of jobs count from."""
        return self.folder / "results"

    def log(self, name: str) -> Path:
        """Return the path of the log of `name`, in a folder that is there."""
        (self.folder / "logs").mkdir(exist_ok=True)
        return self.folder / "logs" / f"{name}.log"

    def take(self) -> int | None:
        """Return a descriptor that holds the folder until all its copies are closed; None while another holds it."""
        descriptor = os.open(self.folder / "service.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def is_held(self) -> bool:
        """Whether something is up here, or on its way up or down."""
        descriptor = self.take()
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None

    def write(self, service: Service) -> None:
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(asdict(service)))
        draft.chmod(0o600)
        draft.replace(self._state)

    def read(self) -> Service | None:
        """Return what is up here, or on its way up or down; None when nothing is, whatever was left."""
        if not self.is_held():
            return None
        try:
            return Service(**json.loads(self._state.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def forget(self) -> None:
        self._state.unlink(missing_ok=True)


def service_home() -> ServiceHome:
    """Return the folder that the settings name."""
    return ServiceHome(settings().home_dir)


def running_service() -> Service | None:
    """Return what `reelmill up` runs on this machine; makes no folder where there is none."""
    return service_home().read() if settings().home_dir.is_dir() else None


def ask(api: str, path: str, body: Mapping[str, object] | None = None, *, method: str | None = None) -> Any:
    """Return what the server at `api` answers; None when it doesn't, or says no."""
    request = urllib.request.Request(f"{api}{path}", method=method)
    if auth := os.environ.get("PREFECT_API_AUTH_STRING") or os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        request.add_header("Authorization", f"Basic {base64.b64encode(auth.encode()).decode()}")
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S) as answer:
            return json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return None


def is_healthy(api: str) -> bool:
    return ask(api, "/health") is True


def online_workers(api: str) -> list[str]:
    """Return the names of the workers of the pool that the server has heard of lately."""
    workers = ask(api, f"/work_pools/{POOL}/workers/filter", {}) or []
    return [each["name"] for each in workers if each["status"] == "ONLINE"]


def give_back_runs(api: str) -> None:
    """Put runs that a worker took and never started back into their queues, unless a worker is online that may yet."""
    if online_workers(api):
        return
    taken = {"flow_runs": {"state": {"type": {"any_": ["PENDING"]}}}, "work_pools": {"name": {"any_": [POOL]}}}
    scheduled = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Its worker ended before it was started."}
    for run in ask(api, "/flow_runs/filter", taken) or []:
        ask(api, f"/flow_runs/{run['id']}/set_state", {"state": scheduled})


def forget_worker(api: str, name: str) -> None:
    ask(api, f"/work_pools/{POOL}/workers/{quote(name, safe='')}", method="DELETE")


def is_deployed(api: str) -> bool:
    return ask(api, f"/deployments/name/{DEPLOYMENT}") is not None

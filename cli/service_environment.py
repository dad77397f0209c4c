"""What `reelmill up` is told, and what it tells Prefect: where the server is, and what it may not do."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from cli.service_home import ServiceHome
from reelmill.errors import InvalidParameter

AUTH = "PREFECT_SERVER_API_AUTH_STRING"
_ANYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class ServiceOptions:
    """Where the server is, or is to be, and how many jobs the worker runs at once."""

    host: str
    port: int
    jobs: int
    configured: str | None = None  # the server that PREFECT_API_URL names, which is then not ours to start

    @property
    def own(self) -> bool:
        return self.configured is None

    @property
    def api(self) -> str:
        """The address for this machine."""
        return self.configured or f"http://{_bracketed(_local(self.host))}:{self.port}/api"

    @property
    def ui(self) -> str:
        return self.api.removesuffix("/").removesuffix("/api")


def service_options(host: str, port: int, jobs: int) -> ServiceOptions:
    """Return what was asked for. Raises InvalidParameter for what can't be, or would open the server to anybody."""
    if not 1 <= port <= 65535:
        raise InvalidParameter(f"--port: {port} is not allowed; allowed: 1 to 65535")
    if jobs < 1:
        raise InvalidParameter(f"--jobs: {jobs} is not allowed; allowed: 1 or more")
    options = ServiceOptions(host, port, jobs, os.environ.get("PREFECT_API_URL") or None)
    if options.own:
        if not _is_loopback(host) and not os.environ.get(AUTH, "").strip():
            raise InvalidParameter(
                f"--host: {host} can be reached from other machines, and anybody could start jobs there; "
                f"set {AUTH} to user:password first"
            )
        _refuse_taken(host, port)
    return options


def service_environment(options: ServiceOptions, home: ServiceHome) -> dict[str, str]:
    """Return the environment of the server, of the worker and of its runs."""
    mine = {
        "PREFECT_API_URL": options.api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        "NO_COLOR": "1",
    }
    unless_set = {"PREFECT_WORKER_QUERY_SECONDS": "3", "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "600"}
    unless_set["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] = "events,flow_runs"  # of itself it keeps runs for ever
    unless_set["REELMILL_BULK_JOBS"] = str(max(1, options.jobs - 1))  # so that one job is left to what is short
    if options.own:
        # Prefect's own profiles, which may name another server or a key for it, have no part in this.
        mine |= {"PREFECT_HOME": str(home.prefect), "PREFECT_PROFILES_PATH": str(home.prefect / "profiles.toml")}
        page = f"http://{_bracketed(_name_for_others(options.host))}:{options.port}"
        unless_set["PREFECT_SERVER_UI_API_URL"] = f"{page}/api"
        # Prefect allows every page that a browser here has open to call the server.
        origins = {page, *(f"http://{name}:{options.port}" for name in ("127.0.0.1", "localhost"))}
        unless_set["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(sorted(origins))
        if auth := os.environ.get(AUTH):
            unless_set["PREFECT_API_AUTH_STRING"] = auth
    return unless_set | dict(os.environ) | mine


def project_folder() -> Path:
    """Return the folder of prefect.yaml: that of the code, or else the current one."""
    for folder in (Path(__file__).resolve().parents[1], Path.cwd()):
        if (folder / "prefect.yaml").is_file():
            return folder
    raise InvalidParameter("there is no prefect.yaml, neither beside the code nor in the current folder")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # what other names mean is for others to say


def _local(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _name_for_others(host: str) -> str:
    return socket.gethostname() if host in _ANYWHERE else host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refuse_taken(host: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InvalidParameter(
            f"--port: {port} of {host} can't be had ({error.strerror}); give another one, "
            f"or set PREFECT_API_URL if the Prefect server there is to be used"
        ) from error

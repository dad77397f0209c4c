"""compose.yaml is legal, holds no secret, asks for what it must have, and opens the server to this machine alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

from tests.compose_file import COMPOSE_FILE, RequiredVariable, compose_config

ASKED_FOR = {"POSTGRES_PASSWORD": "hidden", "PREFECT_SERVER_API_AUTH_STRING": "name:hidden"}
SERVICES = ("postgres", "redis", "server", "deploy", "worker", "intake")


@pytest.fixture
def services() -> dict[str, Any]:
    return compose_config(ASKED_FOR)["services"]


def schema_check(file: Path) -> subprocess.CompletedProcess[str]:
    """Compare a file with the schema of the Compose Specification."""
    program = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    assert program is not None
    argv = [program, "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_it_is_as_the_compose_specification_says():
    done = schema_check(COMPOSE_FILE)
    assert done.returncode == 0, done.stdout


def test_what_is_wrong_is_found(tmp_path: Path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE_FILE.read_text().replace("healthcheck:", "health_check:", 1))
    done = schema_check(wrong)
    assert done.returncode == 1
    assert "health_check" in done.stdout


@pytest.mark.parametrize("name", ASKED_FOR)
@pytest.mark.parametrize("value", ["", None])
def test_it_does_not_start_without_a_password(name: str, value: str | None):
    given = {each: other for each, other in ASKED_FOR.items() if each != name} | ({} if value is None else {name: ""})
    with pytest.raises(RequiredVariable, match=name):
        compose_config(given)


def test_only_the_server_is_published_and_only_to_this_machine(services: dict[str, Any]):
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert published == {"server": ["127.0.0.1:4200:4200"]}


def test_workers_do_not_reach_the_databases(services: dict[str, Any]):
    networks = compose_config(ASKED_FOR)["networks"]
    assert networks["data"] == {"internal": True}
    inside = {name for name, each in services.items() if "data" in each.get("networks", [])}
    assert inside == {"postgres", "redis", "server"}


def test_every_service_is_limited_and_comes_back(services: dict[str, Any]):
    assert tuple(services) == SERVICES
    for name, each in services.items():
        assert each["restart"] == ("on-failure:3" if name == "deploy" else "unless-stopped")
    stays = {name: each for name, each in services.items() if name != "deploy"}
    assert [name for name, each in stays.items() if "memory" not in each["deploy"]["resources"]["limits"]] == []
    watched = {name for name, each in services.items() if "healthcheck" in each}
    assert watched == {"postgres", "redis", "server", "worker"}


def test_what_is_waited_for_and_what_is_mounted_is_in_the_file(services: dict[str, Any]):
    for each in services.values():
        for other, condition in each.get("depends_on", {}).items():
            assert condition["condition"] in ("service_healthy", "service_completed_successfully")
            assert "healthcheck" in services[other] or other == "deploy"
    mounted = {volume.partition(":")[0] for each in services.values() for volume in each.get("volumes", [])}
    assert mounted == set(compose_config(ASKED_FOR)["volumes"])


def test_a_worker_runs_as_many_ffmpeg_as_it_has_cores():
    worker = compose_config(ASKED_FOR | {"WORKER_CORES": "6"})["services"]["worker"]
    assert worker["deploy"]["resources"]["limits"]["cpus"] == worker["environment"]["REELMILL_WORKERS"] == "6"


def test_old_runs_are_deleted_by_the_server(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    for name, value in services["server"]["environment"].items():
        if "DB_VACUUM" in name:
            monkeypatch.setenv(name, value)
    vacuum = ServerServicesDBVacuumSettings()
    assert vacuum.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert vacuum.retention_period == timedelta(days=90)


def test_intake_starts_only_when_it_is_asked_for(services: dict[str, Any]):
    assert {name: each["profiles"] for name, each in services.items() if "profiles" in each} == {"intake": ["intake"]}
    assert services["intake"]["command"] == ["reelmill", "intake"]


def test_no_secret_is_in_any_file_of_the_deployments():
    files = [path for path in COMPOSE_FILE.parent.rglob("*") if path.suffix in (".yaml", ".json", "")]
    text = "".join(path.read_text() for path in files if path.is_file())
    assert "PASSWORD: $" in text
    assert not any(mark in text for mark in ("AKIA", "SECRET_ACCESS_KEY:", "kind: Secret"))

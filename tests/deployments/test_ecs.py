"""What is asked of ECS is legal by AWS's own description of its API, and differs by queue as the files say."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from deployments.apply import FOLDER, platform_template
from tests.deployments.platforms import SITE, asked_by_worker, build_stages

# MiB that Fargate allows for so many CPU units: first, last, step.
FARGATE = {
    256: (512, 2048, 512), 2048: (4096, 16384, 1024), 4096: (8192, 30720, 1024), 8192: (16384, 61440, 4096),
}  # fmt: skip
OPERATIONS = {"register_task_definition": "RegisterTaskDefinition", "run_task": "RunTask"}


def refused(operation: str, asked: dict[str, Any]) -> str:
    """Return what boto3 would say before it sends the request: nothing when it is legal."""
    shape = Session().get_service_model("ecs").operation_model(operation).input_shape
    assert shape is not None
    return ParamValidator().validate(asked, shape).generate_report()


def assert_allowed_by_fargate(definition: dict[str, Any]) -> None:
    first, last, step = FARGATE[int(definition["cpu"])]
    assert int(definition["memory"]) in range(first, last + 1, step)
    assert 21 <= definition.get("ephemeralStorage", {"sizeInGiB": 21})["sizeInGiB"] <= 200
    assert all(each["stopTimeout"] <= 120 for each in definition["containerDefinitions"])


def test_the_workers_own_task_definition_is_legal():
    definition = json.loads((FOLDER / "ecs" / "worker_task.json").read_text())
    assert refused("RegisterTaskDefinition", definition) == ""
    assert_allowed_by_fargate(definition)


def test_what_is_wrong_is_found():
    assert "familly" in refused("RegisterTaskDefinition", {"familly": "x", "family": "x", "containerDefinitions": []})


@pytest.mark.end_to_end
def test_the_worker_of_the_image_asks_for_what_each_queue_needs(tmp_path: Path):
    python = build_stages(tmp_path, "uv", "ecs-build")
    program = [python.with_name("prefect"), "worker", "start", "--help"]
    assert subprocess.run(program, capture_output=True, timeout=120).returncode == 0
    found = {}
    for name, asked in asked_by_worker(python, "ecs_tasks.py", platform_template("ecs", SITE), "ecs").items():
        assert {word: refused(OPERATIONS[word], request) for word, request in asked.items()} == dict.fromkeys(asked, "")
        definition, run = asked["register_task_definition"], asked["run_task"]
        assert_allowed_by_fargate(definition)
        assert "name:hidden" not in json.dumps(asked)
        [container], [override] = definition["containerDefinitions"], run["overrides"]["containerOverrides"]
        secret = {"name": "PREFECT_API_AUTH_STRING", "valueFrom": SITE["prefect_api_auth_string_secret_arn"]}
        assert container["secrets"] == [secret]
        assert (container["image"], definition["taskRoleArn"]) == (SITE["image"], SITE["task_role_arn"])
        assert (container["name"], override["command"]) == (override["name"], ["prefect", "flow-run", "execute"])
        env = {each["name"]: each["value"] for each in [*container["environment"], *override["environment"]]}
        assert env["REELMILL_WORK_DIR"] == SITE["work_dir"]
        assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
        assert env["PREFECT_API_URL"] == "https://prefect.example.org/api"
        assert int(env["REELMILL_WORKERS"]) * 1024 == int(definition["cpu"])
        [strategy] = run["capacityProviderStrategy"]
        disk = definition["ephemeralStorage"]["sizeInGiB"]
        size = (definition["cpu"], definition["memory"], disk)
        found[name] = (definition["family"], *size, strategy["capacityProvider"])
    assert found == {
        "transcode": ("reelmill", "4096", "8192", 40, "FARGATE"),
        "transcode-high": ("reelmill-high", "8192", "16384", 80, "FARGATE"),
        "transcode-bulk": ("reelmill-bulk", "2048", "4096", 21, "FARGATE_SPOT"),
    }

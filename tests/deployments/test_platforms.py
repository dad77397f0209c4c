"""What a server holds after a platform was applied: one pool, and deployments that differ by queue and size alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from cli.service_home import ask
from deployments.apply import PLATFORMS, WORK_POOL, apply_work_pool, platform_template
from tests.deployments.platforms import ROOT, SITE, deployments_of

QUEUES = {"transcode": "normal", "transcode-high": "high", "transcode-bulk": "bulk"}
NEEDED = {"kubernetes": {"image": SITE["image"]}, "ecs": SITE}


@pytest.fixture
def api(prefect_server: str) -> Iterator[str]:
    """A server without the pool, before and after: other tests make one of another type by the same name."""
    with SyncPrefectClient(prefect_server) as client:
        for last in (False, True):
            with suppress(ObjectNotFound):
                client.delete_work_pool("reelmill")
            if not last:
                yield prefect_server


def apply(api: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deployments.apply", *words], cwd=ROOT, env=os.environ | {"PREFECT_API_URL": api},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip


def set_words(platform: str) -> list[str]:
    return [word for name, value in NEEDED[platform].items() for word in ("--set", f"{name}={value}")]


def test_a_machine_that_only_deploys_leaves_the_folder_of_the_pool(api: str):
    wanted = yaml.safe_load(WORK_POOL.read_text())
    with SyncPrefectClient(api) as client:
        for results in (Path("/results"), None):
            apply_work_pool(client, wanted, results)
            variables = client.read_work_pool("reelmill").base_job_template["variables"]
            assert variables["properties"]["working_dir"]["default"] == "/results"


@pytest.mark.end_to_end
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_platform_has_one_pool_and_a_deployment_for_each_queue(api: str, platform: str):
    done = apply(api, "--platform", platform, *set_words(platform))
    assert done.returncode == 0, done.stdout
    pool = ask(api, "/work_pools/reelmill")
    assert (pool["type"], pool["base_job_template"]) == (platform, platform_template(platform, NEEDED[platform]))
    queues = {each["name"]: each["priority"] for each in ask(api, "/work_pools/reelmill/queues/filter", {})}
    assert queues == {"high": 1, "normal": 2, "bulk": 3, "default": 4}
    found = {name: ask(api, f"/deployments/name/transcode-video/{name}") for name in QUEUES}
    assert {name: each["work_queue_name"] for name, each in found.items()} == QUEUES
    wanted = {name: each["work_pool"]["job_variables"] for name, each in deployments_of(platform).items()}
    wanted["transcode"] = {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
    assert {name: each["job_variables"] for name, each in found.items()} == wanted
    refused = f"^the work pool reelmill is of type {platform}, not process: delete it first$"
    with SyncPrefectClient(api) as client, pytest.raises(SystemExit, match=refused):
        apply_work_pool(client, yaml.safe_load(WORK_POOL.read_text()), None)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_deployments_of_a_platform_are_the_plain_one_but_for_queue_and_size(platform: str):
    def bare(each: dict[str, Any]) -> dict[str, Any]:
        pool = {name: value for name, value in each["work_pool"].items() if name == "name"}
        return each | {"name": "", "description": "", "work_pool": pool}

    plain_file = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    file = yaml.safe_load((ROOT / "deployments" / platform / "prefect.yaml").read_text())
    assert {name: file[name] for name in ("build", "push", "pull")} == {"build": [], "push": [], "pull": []}
    assert file["prefect-version"] == plain_file["prefect-version"]
    [plain] = [each for each in plain_file["deployments"] if each["name"] == "transcode"]
    queues = {each["name"] for each in yaml.safe_load(WORK_POOL.read_text())["queues"]}
    for name, each in deployments_of(platform).items():
        assert bare(each) == bare(plain)
        assert each["work_pool"]["work_queue_name"] == QUEUES[name] in queues
        assert each["work_pool"]["job_variables"]["env"] == plain["work_pool"]["job_variables"]["env"]
        assert each["description"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_variable_of_a_template_is_described_used_and_known(platform: str):
    template = platform_template(platform, NEEDED[platform])
    variables: dict[str, Any] = template["variables"]["properties"]
    text = yaml.dump(template["job_configuration"])
    assert [name for name, each in variables.items() if not each["description"]] == []
    assert [name for name in variables if f"{{{{ {name} }}}}" not in text] == []
    for each in deployments_of(platform).values():
        assert set(each["work_pool"]["job_variables"]) <= set(variables)


def test_what_a_platform_must_be_told_is_asked_for():
    with pytest.raises(SystemExit, match="nothing is known of image"):
        platform_template("kubernetes", {})
    with pytest.raises(SystemExit, match="there is no variable imgae; there are "):
        platform_template("kubernetes", {"imgae": "x"})


def test_what_is_not_text_is_yaml():
    settings = NEEDED["ecs"] | {"scratch_gib": "60", "network_configuration": "{subnets: [subnet-1]}"}
    variables = platform_template("ecs", settings)["variables"]["properties"]
    assert variables["scratch_gib"]["default"] == 60
    assert variables["network_configuration"]["default"] == {"subnets": ["subnet-1"]}

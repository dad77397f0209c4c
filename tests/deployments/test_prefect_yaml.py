"""What a server holds after prefect.yaml was applied: nothing of the machine that applied it, and a form in order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import reelmill
from cli.service_home import ask
from deployments.apply import WORK_POOL
from deployments.automations import AUTOMATIONS
from deployments.schedule import mirror_schedule
from reelmill.formats import FORMATS
from reelmill.job import TranscodeJob
from reelmill.profiles.loading import builtin_profiles
from reelmill.transfer.job import TransferJob

ROOT = Path(__file__).parents[2]
PREFECT_YAML = yaml.safe_load((ROOT / "prefect.yaml").read_text())
NAMES = [
    f"{each['entrypoint'].rpartition('.')[2].replace('_', '-')}/{each['name']}" for each in PREFECT_YAML["deployments"]
]


@pytest.fixture(scope="module")
def api(prefect_server: str) -> str:
    """A server on which it was applied, twice: the second time must change nothing."""
    environment = os.environ | {
        "PREFECT_API_URL": prefect_server,
        "REELMILL_INTAKE_SWEEP_CRON": "5 10,12,16,18 * * 1-5",
        "REELMILL_INTAKE_SWEEP_TIMEZONE": "Europe/Berlin",
        "REELMILL_MIRROR_SOURCE": "s3://videos/2024",
        "REELMILL_MIRROR_DESTINATION": "s3://films/2024",
        "REELMILL_MIRROR_CRON": "30 2 * * *",
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "deployments.apply"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    return prefect_server


def deployment(api: str, name: str) -> dict[str, Any]:
    return ask(api, f"/deployments/name/{name}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "entrypoint", "tag", "queue", "limit", "collision"),
    [
        ("transcode-video/transcode", "flows.transcode_video.transcode_video", "transcode", "normal", 16, "ENQUEUE"),
        ("transcode-video/on-upload", "flows.transcode_video.transcode_video", "upload", "normal", 16, "ENQUEUE"),
        ("transfer-object/transfer", "flows.transfer_object.transfer_object", "transfer", "normal", 4, "ENQUEUE"),
        ("sweep-inbox/scheduled", "flows.sweep_inbox.sweep_inbox", "sweep", "high", 1, "CANCEL_NEW"),
    ],
)
def test_each_deployment(api: str, name: str, entrypoint: str, tag: str, queue: str, limit: int, collision: str):
    found = deployment(api, name)
    says = ("version", "entrypoint", "path", "pull_steps", "storage_document_id", "parameters", "tags", "paused",
            "work_pool_name", "work_queue_name", "job_variables", "enforce_parameter_schema")  # fmt: skip
    assert {name: found[name] for name in says} == {
        "version": reelmill.__version__,
        "entrypoint": entrypoint,
        "path": None,
        "pull_steps": [],
        "storage_document_id": None,
        "parameters": {},
        "tags": ["reelmill", tag],
        "paused": False,
        "work_pool_name": "reelmill",
        "work_queue_name": queue,
        "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}},
        "enforce_parameter_schema": True,
    }
    assert found["global_concurrency_limit"]["limit"] == limit
    assert found["concurrency_options"]["collision_strategy"] == collision
    assert len(found["schedules"]) == (tag == "sweep")


@pytest.mark.slow
def test_the_sweep_has_the_schedule_of_the_settings_and_rests_without_an_inbox(api: str):
    found = deployment(api, "sweep-inbox/scheduled")
    [schedule] = found["schedules"]
    assert schedule["active"] is False
    assert schedule["schedule"] == {"cron": "5 10,12,16,18 * * 1-5", "timezone": "Europe/Berlin", "day_or": True}
    fields = found["parameter_openapi_schema"]["properties"]
    assert {name: (each["default"], each.get("enum")) for name, each in fields.items()} == {
        "inbox": ("", None),
        "queue": ("bulk", ["high", "normal", "bulk"]),
    }
    assert all(each["description"] for each in fields.values())


@pytest.mark.slow
def test_the_mirror_has_the_schedule_and_the_job_of_the_settings(api: str):
    found = deployment(api, "transfer-object/mirror")
    job = {"source": "s3://videos/2024", "destination": "s3://films/2024", "recursive": True, "replace": True}
    assert found["parameters"] == {"job": job}
    assert TransferJob.model_validate(job).replace
    [schedule] = found["schedules"]
    assert (schedule["active"], schedule["schedule"]["cron"]) == (True, "30 2 * * *")
    assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_nothing_is_mirrored_unless_both_ends_are_set(set_to: Callable[..., None]):
    set_to(mirror_source="s3://videos/2024")
    assert mirror_schedule() == {"cron": "0 3 * * *", "timezone": "UTC", "active": False, "job": {}}


@pytest.mark.slow
def test_the_automations_are_those_of_the_file_once_each(api: str):
    found = ask(api, "/automations/filter", {})
    wanted = yaml.safe_load(AUTOMATIONS.read_text())["automations"]
    assert sorted(each["name"] for each in found) == sorted(each["name"] for each in wanted)
    assert all(each["enabled"] and each["description"] for each in found)
    actions = {each["name"]: [action["type"] for action in each["actions"]] for each in found}
    assert {name: kinds for name, kinds in actions.items() if "alarm" not in name} == {
        "reelmill - find dead runs": ["change-flow-run-state"],
        "reelmill - resume crashed runs once": ["change-flow-run-state"],
        "reelmill - start again what never started": ["change-flow-run-state"],
    }
    assert {kind for name, kinds in actions.items() if "alarm" in name for kind in kinds} == {"do-nothing"}


@pytest.mark.slow
def test_the_form_is_ordered_and_described_with_choices_as_choices(api: str):
    schema = deployment(api, "transcode-video/transcode")["parameter_openapi_schema"]
    assert list(schema["properties"]) == schema["required"] == ["job"]
    job = schema["definitions"]["TranscodeJob"]
    fields: dict[str, Any] = job["properties"]
    assert job["required"] == ["source"]
    assert [fields[name]["position"] for name in TranscodeJob.model_fields] == list(range(1, len(fields) + 1))
    assert {name: each["description"] for name, each in fields.items()} == {
        name: field.description for name, field in TranscodeJob.model_fields.items()
    }
    assert {name: (each["title"], each["type"]) for name, each in fields.items()} == {
        "source": ("Source", "string"),
        "formats": ("Formats", "array"),
        "profile": ("Profile", "string"),
        "output": ("Output", "string"),
        "name": ("File name", "string"),
        "clip": ("Clip", "object"),
        "append": ("Append", "array"),
        "pictures": ("Take pictures", "boolean"),
        "watermark": ("Watermark", "string"),
        "watermark_text": ("Text of the watermark", "string"),
        "burn_subtitles": ("Subtitles burned in", "string"),
        "copy_when_fits": ("Copy when it fits", "boolean"),
        "replace": ("Replace an earlier result", "boolean"),
        "damage": ("If the source is damaged", "string"),
        "segment_s": ("Segment length", "number"),
        "budget": ("Budget", "number"),
        "workers": ("Workers", "integer"),
        "callback_url": ("Callback", "string"),
        "source_size_bytes": ("Size of the source", "integer"),
    }
    assert fields["formats"]["items"]["enum"] == list(FORMATS)
    assert fields["damage"]["enum"] == ["strict", "lenient", "salvage"]
    assert [name for name in builtin_profiles() if name not in fields["profile"]["description"]] == []
    defaults = {name: each["default"] for name, each in fields.items() if "default" in each}
    assert defaults == {
        "formats": [], "append": [], "damage": "lenient", "copy_when_fits": False, "replace": False, "pictures": False,
    }  # fmt: skip
    assert TranscodeJob.model_validate({"source": "clip.mp4", **defaults}) == TranscodeJob(source="clip.mp4")


@pytest.mark.slow
def test_the_form_of_a_transfer_is_ordered_and_described(api: str):
    schema = deployment(api, "transfer-object/transfer")["parameter_openapi_schema"]
    assert list(schema["properties"]) == schema["required"] == ["job"]
    job = schema["definitions"]["TransferJob"]
    fields: dict[str, Any] = job["properties"]
    assert job["required"] == ["source", "destination"]
    assert [fields[name]["position"] for name in TransferJob.model_fields] == list(range(1, len(fields) + 1))
    assert {name: each["description"] for name, each in fields.items()} == {
        name: field.description for name, field in TransferJob.model_fields.items()
    }
    assert {name: (each["title"], each["type"], each.get("default")) for name, each in fields.items()} == {
        "source": ("Source", "string", None),
        "destination": ("Destination", "string", None),
        "recursive": ("Everything below", "boolean", False),
        "replace": ("Replace what is there", "boolean", False),
        "verify": ("Verify", "string", "parts"),
        "part_size": ("Size of parts", "string", "auto"),
        "concurrency": ("Parts at once", "integer", None),
        "rate_limit": ("Rate limit", "string", None),
        "keep_partial": ("Keep what has arrived", "boolean", False),
    }
    assert fields["verify"]["enum"] == ["parts", "full"]


@pytest.mark.slow
def test_a_job_written_by_python_with_every_null_is_accepted(api: str):
    found = deployment(api, "transcode-video/transcode")
    job = TranscodeJob(source="clip.mp4").model_dump(mode="json")
    assert None in job.values()
    run = ask(api, f"/deployments/{found['id']}/create_flow_run", {"parameters": {"job": job}})
    assert run["parameters"] == {"job": job}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_deployment_holds_a_path_of_the_machine_that_deployed_it(api: str, name: str):
    found = json.dumps(deployment(api, name))
    assert str(ROOT) not in found
    assert re.findall(r'"(?:file:|~)?/[^"]*"', found) == []


@pytest.mark.slow
def test_the_queues_have_the_priorities_of_the_file(api: str):
    queues = ask(api, "/work_pools/reelmill/queues/filter", {})
    wanted = {each["name"]: each["priority"] for each in yaml.safe_load(WORK_POOL.read_text())["queues"]}
    assert wanted == {"high": 1, "normal": 2, "bulk": 3, "default": 4}
    assert {each["name"]: each["priority"] for each in queues} == wanted


@pytest.mark.slow
def test_a_pool_without_results_keeps_no_folder_either(api: str):
    template = ask(api, "/work_pools/reelmill")["base_job_template"]
    assert template["variables"]["properties"]["working_dir"].get("default") is None


@pytest.mark.parametrize("each", PREFECT_YAML["deployments"], ids=lambda each: each["name"])
def test_every_deployment_says_what_it_is(each: dict[str, Any]):
    assert each["version"] == reelmill.__version__
    assert each["description"]
    assert "reelmill" in each["tags"]
    assert each["work_pool"]["name"] == "reelmill"
    assert each["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")


def test_nothing_is_pulled_so_that_a_clone_and_an_image_run_the_same():
    assert PREFECT_YAML["pull"] == []
    assert not any("pull" in each for each in PREFECT_YAML["deployments"])
    assert not any(":" in each["entrypoint"] for each in PREFECT_YAML["deployments"])

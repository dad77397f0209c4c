"""Applies the files: the work pool and its queues, then the deployments of prefect.yaml.

Run as a module, with the folder of prefect.yaml as the current one: `python -m deployments.apply [RESULTS]`. Doing it
again changes nothing. `--platform kubernetes` or `ecs` makes the pool of deployments/kubernetes or deployments/ecs
instead, and the deployments of the prefect.yaml there besides.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import WorkQueueFilter
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

WORK_POOL = Path(__file__).with_name("work_pool.yaml")
PLATFORMS = ("kubernetes", "ecs")


def base_job_template(platform: str | None, results: Path | None) -> dict[str, Any]:
    """Return what the pool's jobs are made from. Relative paths of jobs then count from `results`."""
    if platform is not None:
        return json.loads((WORK_POOL.parent / platform / "base_job_template.json").read_text())
    template = ProcessWorker.get_default_base_job_template()
    if results is not None:
        template["variables"]["properties"]["working_dir"]["default"] = str(results)
    return template


def apply_work_pool(client: SyncPrefectClient, pool: dict[str, Any], template: dict[str, Any]) -> None:
    """Have the work pool and its queues as the file says."""
    wanted = {"description": pool["description"], "base_job_template": template}
    try:
        client.create_work_pool(WorkPoolCreate(name=pool["name"], type=pool["type"], **wanted))
    except ObjectAlreadyExists:
        if (found := client.read_work_pool(pool["name"]).type) != pool["type"]:
            sys.exit(f"the work pool {pool['name']} is of type {found}, not {pool['type']}: delete it first")
        client.update_work_pool(pool["name"], WorkPoolUpdate(**wanted))
    found_queues = client.read_work_queues(pool["name"], WorkQueueFilter(), limit=200, offset=0)
    queues = {queue.name: queue for queue in found_queues}
    for each in pool["queues"]:
        found = queues.get(each["name"]) or client.create_work_queue(each["name"], work_pool_name=pool["name"])
        client.update_work_queue(found.id, priority=each["priority"], description=each["description"])


def apply(platform: str | None, results: Path | None) -> NoReturn:
    """Apply everything to the server that Prefect's settings name, and end as `prefect deploy --all` ends."""
    pool: dict[str, Any] = yaml.safe_load(WORK_POOL.read_text())
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    if platform is not None:
        pool |= yaml.safe_load((WORK_POOL.parent / platform / "work_pool.yaml").read_text())
    with get_client(sync_client=True) as client:
        apply_work_pool(client, pool, base_job_template(platform, results))
    if platform is not None:
        file = WORK_POOL.parent / platform / "prefect.yaml"
        subprocess.run([*deploy, "--prefect-file", str(file)], check=True)
    os.execv(sys.executable, deploy)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deployments.apply", allow_abbrev=False)
    parser.add_argument("results", nargs="?", type=Path, metavar="RESULTS")
    parser.add_argument("--platform", choices=PLATFORMS)
    given = parser.parse_args()
    apply(given.platform, given.results)

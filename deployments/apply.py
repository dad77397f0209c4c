"""Applies the files: the work pool and its queues, the automations, then the deployments of prefect.yaml.

Run as a module, with the folder of prefect.yaml as the current one: `python -m deployments.apply [RESULTS]`. Doing it
again changes nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import WorkQueueFilter
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from deployments.automations import apply_automations
from reelmill.errors import ReelmillError, one_line

WORK_POOL = Path(__file__).with_name("work_pool.yaml")


def apply_work_pool(client: SyncPrefectClient, pool: dict[str, Any], results: Path | None) -> None:
    """Have the work pool and its queues as the file says. Relative paths of jobs then count from `results`."""
    template = ProcessWorker.get_default_base_job_template()
    if results is not None:
        template["variables"]["properties"]["working_dir"]["default"] = str(results)
    wanted = {"description": pool["description"], "base_job_template": template}
    try:
        client.create_work_pool(WorkPoolCreate(name=pool["name"], type=pool["type"], **wanted))
    except ObjectAlreadyExists:
        client.update_work_pool(pool["name"], WorkPoolUpdate(**wanted))
    found_queues = client.read_work_queues(pool["name"], WorkQueueFilter(), limit=200, offset=0)
    queues = {queue.name: queue for queue in found_queues}
    for each in pool["queues"]:
        found = queues.get(each["name"]) or client.create_work_queue(each["name"], work_pool_name=pool["name"])
        client.update_work_queue(found.id, priority=each["priority"], description=each["description"])


def apply(results: Path | None) -> NoReturn:
    """Apply everything to the server that Prefect's settings name, and end as `prefect deploy --all` ends."""
    with get_client(sync_client=True) as client:
        apply_work_pool(client, yaml.safe_load(WORK_POOL.read_text()), results)
        apply_automations(client)
    os.execv(sys.executable, [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"])


if __name__ == "__main__":
    try:
        apply(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    except ReelmillError as error:
        print(f"error: {error.code}: {one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)

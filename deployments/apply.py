"""Applies the files: the work pool and its queues, the automations, then the deployments of prefect.yaml.

Run as a module, with the folder of prefect.yaml as the current one: `python -m deployments.apply [RESULTS]`. Doing it
again changes nothing. `--platform kubernetes` or `ecs` makes the pool of deployments/kubernetes or deployments/ecs
instead, and the deployments of the prefect.yaml there besides; `--set NAME=VALUE` gives a variable of the pool's
template its default.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import yaml
from prefect.cli import app
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import WorkQueueFilter
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from deployments.automations import apply_automations
from reelmill.errors import ReelmillError, one_line
from reelmill.settings import settings as machine

FOLDER = Path(__file__).parent
WORK_POOL = FOLDER / "work_pool.yaml"
PLATFORMS = ("kubernetes", "ecs")


def process_template(results: Path | str | None) -> dict[str, Any]:
    """Return what a process pool's jobs are made from. Relative paths of jobs then count from `results`.

    With none they count from a folder of the machine that does the work.
    """
    template = ProcessWorker.get_default_base_job_template()
    if results is not None:
        template["variables"]["properties"]["working_dir"]["default"] = str(results)
    return template


def platform_template(platform: str, settings: dict[str, str]) -> dict[str, Any]:
    """Return what a platform's jobs are made from, with `settings` as defaults; those of other types are YAML.

    Ends the process when there is no such variable, or when one that has no default is not among them.
    """
    template = json.loads((FOLDER / platform / "base_job_template.json").read_text())
    variables = template["variables"]
    for name, value in settings.items():
        if name not in variables["properties"]:
            sys.exit(f"--set: there is no variable {name}; there are {', '.join(variables['properties'])}")
        variable = variables["properties"][name]
        variable["default"] = value if variable.get("type") == "string" else yaml.safe_load(value)
    missing = [name for name in variables.pop("required") if name not in settings]
    if missing:
        sys.exit(f"--set: nothing is known of {', '.join(missing)}")
    return template


def apply_work_pool(
    client: SyncPrefectClient, pool: dict[str, Any], results: Path | None, template: dict[str, Any] | None = None
) -> None:
    """Have the work pool and its queues as the file says; its template is that of a process pool when none is given.

    Limits and `results` are those that are given; where there is none, what the server has stays.
    """
    wanted = {"description": pool["description"], "base_job_template": template or process_template(results)}
    try:
        client.create_work_pool(WorkPoolCreate(name=pool["name"], type=pool["type"], **wanted))
    except ObjectAlreadyExists:
        found = client.read_work_pool(pool["name"])
        if found.type != pool["type"]:
            sys.exit(f"the work pool {pool['name']} is of type {found.type}, not {pool['type']}: delete it first")
        if template is None and results is None:
            wanted["base_job_template"] = process_template(_results_of(found))
        client.update_work_pool(pool["name"], WorkPoolUpdate(**wanted))
    if (jobs := machine().pool_jobs) is not None:
        client.update_work_pool(pool["name"], WorkPoolUpdate(concurrency_limit=jobs))
    found_queues = client.read_work_queues(pool["name"], WorkQueueFilter(), limit=200, offset=0)
    queues = {queue.name: queue for queue in found_queues}
    for each in pool["queues"]:
        found = queues.get(each["name"]) or client.create_work_queue(each["name"], work_pool_name=pool["name"])
        client.update_work_queue(found.id, priority=each["priority"], description=each["description"])
        if each["name"] == "bulk" and (jobs := machine().bulk_jobs) is not None:
            client.update_work_queue(found.id, concurrency_limit=jobs)


def _results_of(pool: WorkPool) -> str | None:
    variables = pool.base_job_template.get("variables", {})
    return variables.get("properties", {}).get("working_dir", {}).get("default")


def apply(platform: str | None, results: Path | None, settings: dict[str, str]) -> NoReturn:
    """Apply everything to the server that Prefect's settings name, and end as `prefect deploy --all` ends."""
    pool: dict[str, Any] = yaml.safe_load(WORK_POOL.read_text())
    deploy = ["--no-prompt", "deploy", "--all"]
    template = None
    if platform is not None:
        template = platform_template(platform, settings)
        pool |= yaml.safe_load((FOLDER / platform / "work_pool.yaml").read_text())
    with get_client(sync_client=True) as client:
        apply_work_pool(client, pool, results, template)
        apply_automations(client)
    if platform is not None:
        more = [sys.executable, "-m", "prefect", *deploy, "--prefect-file", str(FOLDER / platform / "prefect.yaml")]
        subprocess.run(more, check=True)
    sys.argv[1:] = deploy
    sys.exit(app())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deployments.apply", allow_abbrev=False)
    parser.add_argument("results", nargs="?", type=Path, metavar="RESULTS")
    parser.add_argument("--platform", choices=PLATFORMS)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    given = parser.parse_args()
    if given.platform is None and given.settings:
        parser.error("--set is for what --platform makes")
    try:
        apply(given.platform, given.results, dict(each.partition("=")[::2] for each in given.settings))
    except ReelmillError as error:
        print(f"error: {error.code}: {one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)

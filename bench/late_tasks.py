"""How late the Prefect server knows of all tasks of a large run: empty tasks, on PostgreSQL and Redis.

    python -m bench.late_tasks [--tasks N ...] [--at-once N] [--json FILE]

The server and its databases have the settings of deployments/compose.yaml. A task does nothing, so that they end faster
than tasks of any job would.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import psutil
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from bench.prefect_place import environment
from bench.workbench import open_workbench
from tasks.dispatch import dispatching
from tests.fleet import AUTH, Fleet, started_fleet

_RUN, _WITHIN_S, _LOOK_EVERY_S = "--run", 600.0, 0.2


@dataclass(frozen=True)
class LateTasks:
    """What was found. `late_s` counts from the end of the run to the last of its tasks; None when some never came."""

    tasks: int
    flow_s: float
    known_at_end: int
    late_s: float | None
    server_cpu_s: float

    @property
    def line(self) -> str:
        late = "not all came" if self.late_s is None else f"all known {self.late_s:.1f} s after its end"
        return (
            f"{self.tasks:,} tasks: run of {self.flow_s:.1f} s, {self.known_at_end:,} known at its end, {late}; "
            f"CPU of server {1000 * self.server_cpu_s / self.tasks:.1f} ms a task"
        )


@task(cache_policy=NO_CACHE)
def do_nothing() -> None:
    """Stand for a task that has something to do."""


@flow(name="late-tasks", persist_result=False)
def run_tasks(count: int, at_once: int) -> None:
    """Run so many empty tasks, as the flows of jobs run theirs."""
    with dispatching(uuid.uuid4().hex, "nothing", at_once) as work:
        for number in range(count):
            work.add(number, partial(do_nothing.submit))
        for _, future in work:
            future.result()


def main() -> int:
    """Measure each number of tasks on one server, and return 1 when the server lost a task."""
    asked = _arguments()
    if asked.run is not None:
        run_tasks(asked.run, asked.at_once)
        return 0
    with open_workbench(quick=False, given=None) as bench, bench.folder("late") as folder:
        bench.say("starting PostgreSQL, Redis and the server")
        with started_fleet(folder / "fleet") as fleet:
            found: list[LateTasks] = []
            for count in asked.tasks:
                found.append(_measure(fleet, folder, count, asked.at_once))
                print(found[-1].line, flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    return 1 if any(each.late_s is None for each in found) else 0


def _measure(fleet: Fleet, folder: Path, count: int, at_once: int) -> LateTasks:
    server, before = _server(), _known(fleet)
    cpu_s = _cpu_s(server)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "bench.late_tasks", _RUN, str(count), "--at-once", str(at_once)],
        env=_environment(fleet, folder), check=True, timeout=_WITHIN_S,
    )  # fmt: skip
    ended, known_at_end = time.monotonic(), _known(fleet) - before
    while (known := _known(fleet) - before) < count and time.monotonic() - ended < _WITHIN_S:
        time.sleep(_LOOK_EVERY_S)
    late_s = time.monotonic() - ended if known == count else None
    return LateTasks(count, ended - began, known_at_end, late_s, _cpu_s(server) - cpu_s)


def _known(fleet: Fleet) -> int:
    return int(fleet.postgres.query("SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'", "prefect")[0])


def _environment(fleet: Fleet, folder: Path) -> Mapping[str, str]:
    return environment(folder / "prefect", fleet.api) | {"PREFECT_API_AUTH_STRING": AUTH}


def _server() -> psutil.Process:
    return next(each for each in psutil.Process().children() if "prefect server" in " ".join(each.cmdline()))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.late_tasks", allow_abbrev=False)
    parser.add_argument("--tasks", type=int, nargs="+", default=[700, 2000, 5000])
    parser.add_argument("--at-once", type=int, default=30)
    parser.add_argument("--json", type=Path)
    parser.add_argument(_RUN, type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

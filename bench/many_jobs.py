"""Many jobs at once: small videos of three priorities, on PostgreSQL and Redis, done by two workers.

    python -m bench.many_jobs [--jobs N] [--workers N] [--at-once N] [--within-s S] [--cold] [--json FILE]

The server, its databases and the workers have the settings of deployments/compose.yaml. All jobs are submitted before
the workers start, so that their order is known. Each has a source of its own, 128x72 and a second long, and everything
is done that is done with a long one. `--cold` has the runs started by Prefect's own process worker.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import psutil
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from bench.order import share_out_of_order
from bench.sources import tiny_source
from bench.workbench import Workbench, open_workbench
from reelmill.job import TranscodeJob
from tasks.starting import QUEUES, start_job
from tests.fleet import AUTH, Fleet, started_fleet
from tests.server_processes import ServerProcess, free_port

_LOOK_EVERY_S = 5.0
_CATALOG = "catalog"


@dataclass(frozen=True)
class ManyJobs:
    """What was found. CPU seconds are user + system; those of a worker have its runs and their ffmpeg in them."""

    jobs: int
    completed: int
    attempts: int
    jobs_attempted: int
    manifests: int
    out_of_order: float
    submit_s: float
    submit_server_cpu_s: float
    wall_s: float
    server_cpu_s: float
    postgres_cpu_s: float
    redis_cpu_s: float
    workers_cpu_s: float
    claimed_to_running_s: float
    running_to_end_s: float

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        yield f"jobs: {self.jobs}, completed {self.completed}, with a manifest {self.manifests}"
        yield f"attempts in the catalog: {self.attempts}, of {self.jobs_attempted} jobs"
        yield f"pairs of jobs of two queues that were begun in the wrong order: {100 * self.out_of_order:.2f} %"
        yield (
            f"submitting: {1000 * self.submit_s / self.jobs:.0f} ms a job, "
            f"CPU of server: {self.submit_server_cpu_s / self.jobs:.3f} s"
        )
        yield f"wall: {self.wall_s:.0f} s, {self.wall_s / self.jobs:.2f} s a job"
        for name in ("server", "postgres", "redis", "workers"):
            yield f"CPU of {name}: {getattr(self, f'{name}_cpu_s') / self.jobs:.3f} s a job"
        yield f"from claimed to the flow's first line, median: {self.claimed_to_running_s:.2f} s"
        yield f"from there to the end of the run, median: {self.running_to_end_s:.2f} s"


def main() -> int:
    """Run it, print what was found, and return 1 when a job was lost or done twice."""
    asked = _arguments()
    with open_workbench(quick=False, given=None) as bench, bench.folder("many") as folder:
        clips = list(_clips(folder, asked.jobs))
        bench.say("starting PostgreSQL, Redis and the server")
        with started_fleet(folder / "fleet") as fleet:
            fleet.postgres.create_database(_CATALOG)
            began, before = time.monotonic(), _cpu_s(fleet)
            _submit(bench, fleet, clips)
            submit_s, submit_cpu_s = time.monotonic() - began, _cpu_s(fleet)["server"] - before["server"]
            found = replace(_work(bench, fleet, asked), submit_s=submit_s, submit_server_cpu_s=submit_cpu_s)
    for line in found.lines():
        print(line)
    if asked.json is not None:
        asked.json.write_text(json.dumps(asdict(found), indent=1))
    return 0 if found.completed == found.attempts == found.jobs_attempted == found.manifests == found.jobs else 1


def _clips(folder: Path, count: int) -> Iterator[Path]:
    """Make as many sources: one content, told apart by the time of their last change, as a job's key has it."""
    made = tiny_source(folder, 1, 25, 25)
    (folder / "in").mkdir()
    for n in range(count):
        clip = folder / "in" / f"{n:05}.mp4"
        shutil.copyfile(made, clip)
        os.utime(clip, (n, n))
        yield clip


def _submit(bench: Workbench, fleet: Fleet, clips: list[Path]) -> None:
    """Start a job for each source, the queues in turn: the last of `high` comes after almost all of `bulk`."""
    with temporary_settings({PREFECT_API_URL: fleet.api, PREFECT_API_AUTH_STRING: AUTH}):
        for n, clip in enumerate(clips):
            output = fleet.folder / "results" / clip.stem
            job = TranscodeJob(source=str(clip), formats=("mp4",), output=str(output))
            if not start_job(job, queue=QUEUES[n % len(QUEUES)]).is_new:
                raise RuntimeError(f"{clip} has a run already")
            if (n + 1) % 100 == 0:
                bench.say(f"{n + 1} jobs submitted")


def _work(bench: Workbench, fleet: Fleet, asked: argparse.Namespace) -> ManyJobs:
    """Have the workers do them all, and say what it took."""
    before, began = _cpu_s(fleet), time.monotonic()
    workers = [_start_worker(fleet, n, asked) for n in range(asked.workers)]
    done = -1
    while (now := _count(fleet, "state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')")) < asked.jobs:
        if now != done:
            bench.say(f"{now} jobs done")
        done = now
        if time.monotonic() - began > asked.within_s:
            break
        time.sleep(_LOOK_EVERY_S)
    wall_s, after = time.monotonic() - began, _cpu_s(fleet)
    taken = {name: after[name] - before[name] for name in after}
    order = fleet.postgres.query(
        "SELECT q.priority FROM flow_run r JOIN work_queue q ON q.id = r.work_queue_id"
        " WHERE r.start_time IS NOT NULL ORDER BY r.start_time", "prefect",
    )  # fmt: skip
    attempts = fleet.postgres.query("SELECT count(*), count(DISTINCT job_key) FROM jobs", _CATALOG)[0].split("|")
    return ManyJobs(
        jobs=asked.jobs,
        completed=_count(fleet, "state_type = 'COMPLETED'"),
        attempts=int(attempts[0]),
        jobs_attempted=int(attempts[1]),
        manifests=sum(1 for _ in (fleet.folder / "results").glob("*/manifest.json")),
        out_of_order=share_out_of_order([int(each) for each in order]),
        submit_s=0.0,
        submit_server_cpu_s=0.0,
        wall_s=wall_s,
        server_cpu_s=taken["server"],
        postgres_cpu_s=taken["postgres"],
        redis_cpu_s=taken["redis"],
        workers_cpu_s=sum(_tree_cpu_s(psutil.Process(each.pid)) for each in workers),
        claimed_to_running_s=_median_s(fleet, "PENDING", "RUNNING"),
        running_to_end_s=_median_s(fleet, "RUNNING", "COMPLETED"),
    )


def _start_worker(fleet: Fleet, number: int, asked: argparse.Namespace) -> ServerProcess:
    name = f"worker-{number}"
    argv = [sys.executable, "-m", "cli.main", "worker", "--name", name, "--jobs", str(asked.at_once)]
    if asked.cold:
        argv = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--pool", "reelmill"]
        argv += ["--name", name, "--limit", str(asked.at_once)]
    settings = {
        "REELMILL_CATALOG_URL": fleet.postgres.url(_CATALOG, "postgresql+psycopg"), "REELMILL_WORKERS": "1",
        "PREFECT_WORKER_WEBSERVER_PORT": str(free_port()),
    }  # fmt: skip
    return fleet.start("worker", name=name, argv=argv, settings=settings)


def _count(fleet: Fleet, which: str) -> int:
    return int(fleet.postgres.query(f"SELECT count(*) FROM flow_run WHERE {which}", "prefect")[0])


def _median_s(fleet: Fleet, earlier: str, later: str) -> float:
    """Return the median time of the runs from the first state of one type to the first of another."""
    first = "(SELECT min(timestamp) FROM flow_run_state s WHERE s.flow_run_id = r.id AND s.type = '{}')"
    rows = fleet.postgres.query(
        f"SELECT extract(epoch FROM {first.format(later)} - {first.format(earlier)}) FROM flow_run r", "prefect"
    )
    return median(float(each) for each in rows if each)


def _cpu_s(fleet: Fleet) -> Mapping[str, float]:
    """Return the CPU seconds of the server and its databases so far, with all that they started."""
    by_name: dict[str, float] = {"server": 0.0, "postgres": 0.0, "redis": 0.0}
    for process in psutil.Process().children():
        words = " ".join(process.cmdline())
        kind = next((name for name in ("redis", "postgres") if f"{name}-server" in words or f"/{name} " in words), None)
        if kind or "prefect server" in words:
            by_name[kind or "server"] += _tree_cpu_s(process)
    return by_name


def _tree_cpu_s(root: psutil.Process) -> float:
    """Return the CPU seconds of a process, of those below it, and of those that they have waited for."""
    taken = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        taken += times.user + times.system + times.children_user + times.children_system
    return taken


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.many_jobs", allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=1700)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=1, help="jobs of a worker at once")
    parser.add_argument("--within-s", type=float, default=3 * 3600.0, help="most seconds for the work")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""All videos at once: a fleet of 200, 1,000 and 10,000 slots, simulated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from bench.fleet import Fleet, Outcome, simulate
from bench.fleet_jobs import ALIKE, UNLIKE, VIDEO_S, draw_jobs, planned_video
from bench.fleet_model import FINISHING, IDLE_S, OVERHEADS
from bench.fleet_run import FleetJob
from bench.results import Cell, Figure, Result, Table
from bench.workbench import Workbench

_VIDEOS, _QUICK_VIDEOS = 1700, 17
_SLOTS, _QUICK_SLOTS = (200, 1000, 10_000), (2, 10, 100)
_DEPLOYED_RUNS = 16
"""The concurrency limit of a deployment in prefect.yaml."""
_SPARE_RUNS = 2.5
_SEED = 1


@dataclass(frozen=True)
class _Case:
    videos: str
    slots: int
    runs: int
    jobs: list[FleetJob]
    outcome: Outcome

    @property
    def ideal_s(self) -> float:
        """The work on all slots, without a gap and without anything else to do."""
        return self.outcome.work_s / self.slots

    @property
    def wall_ratio(self) -> float:
        return self.outcome.wall_s / self.ideal_s

    @property
    def cost_ratio(self) -> float:
        return self.outcome.paid_s / self.outcome.work_s

    def row(self) -> tuple[Cell, ...]:
        done = sorted(self.outcome.done_s)
        twentieths = quantiles(done, n=20)
        return (
            self.videos, self.slots, self.runs, self.ideal_s / 60, self.outcome.wall_s / 60, self.wall_ratio,
            self.cost_ratio, done[0] / 60, twentieths[9] / 60, twentieths[18] / 60, self.outcome.most_tasks_per_s,
        )  # fmt: skip

    def data(self) -> dict[str, Any]:
        return {
            "videos": self.videos, "slots": self.slots, "runs_at_once": self.runs, "ideal_s": self.ideal_s,
            "wall_s": self.outcome.wall_s, "work_s": self.outcome.work_s, "paid_s": self.outcome.paid_s,
            "tasks": self.outcome.tasks, "jobs": len(self.jobs), "first_output_s": min(self.outcome.done_s),
            "most_tasks_per_s": self.outcome.most_tasks_per_s,
        }  # fmt: skip


def measure_many_videos(bench: Workbench) -> Result:
    """Simulate every number of slots with enough runs, with as few as are deployed, and with all runs at once."""
    videos, slots = (_QUICK_VIDEOS, _QUICK_SLOTS) if bench.quick else (_VIDEOS, _SLOTS)
    kinds = {
        "alike": draw_jobs([0.0] * videos, seed=_SEED, variation=ALIKE, finishing=FINISHING),
        "unlike": draw_jobs([0.0] * videos, seed=_SEED, variation=UNLIKE, finishing=FINISHING),
    }
    cases: list[_Case] = []
    for count in slots:
        for name, jobs in kinds.items():
            cases.append(_case(name, jobs, count, enough_runs(count)))
        cases += [_case("unlike", kinds["unlike"], count, runs) for runs in (_DEPLOYED_RUNS, videos)]
        bench.say(f"{videos:,} videos on {count:,} slots: {cases[-3].outcome.wall_s / 60:.1f} minutes")
    figures: list[Figure] = []
    for each in cases:
        if each.videos == "unlike" and each.runs == enough_runs(each.slots):
            figures += [
                Figure(name=f"wall to the ideal, {each.slots:,} slots", value=each.wall_ratio),
                Figure(name=f"cost to the ideal, {each.slots:,} slots", value=each.cost_ratio),
                Figure(name=f"first output, {each.slots:,} slots", value=min(each.outcome.done_s) / 60, unit="min"),
            ]
    return Result(
        figures=tuple(figures),
        tables=(
            Table(
                caption="Minutes from the arrival of all videos",
                columns=(
                    "videos", "slots", "runs at once", "ideal", "wall", "wall to ideal", "cost to ideal",
                    "first output", "half are there", "95 % are there", "most tasks/s",
                ),
                rows=tuple(each.row() for each in cases),
            ),
        ),
        sources=(_what(videos, kinds),),
        notes=(
            "A slot is there from the start and goes when it had nothing to do for a minute; cost is what was paid for "
            "slots, to the work that they did. Videos that are all alike start, end and are joined at one time, and "
            "slots wait meanwhile; unlike ones fill each other's gaps.",
        ),
        raw={"cases": [each.data() for each in cases]},
    )  # fmt: skip


def enough_runs(slots: int) -> int:
    """Return how many runs keep all slots busy while others of them start, wait for their last task, or merge."""
    return math.ceil(_SPARE_RUNS * slots / len(planned_video(VIDEO_S).tasks_s))


def _case(videos: str, jobs: list[FleetJob], slots: int, runs: int) -> _Case:
    fleet = Fleet(most=slots, ready=slots, runs_at_once=runs, idle_s=IDLE_S, overheads=OVERHEADS)
    return _Case(videos, slots, runs, jobs, simulate(fleet, jobs))


def _what(videos: int, kinds: dict[str, list[FleetJob]]) -> str:
    hours = {name: sum(each.work_s for each in jobs) / 3600 for name, jobs in kinds.items()}
    tasks = {name: sum(len(each.tasks_s) for each in jobs) for name, jobs in kinds.items()}
    return f"simulated: {videos:,} videos, " + "; ".join(
        f"{name}: {tasks[name]:,} tasks and {hours[name]:,.0f} CPU hours" for name in kinds
    )

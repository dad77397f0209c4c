"""A day with four peaks, simulated: workers that come and go by what there is to do, against fleets that stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from statistics import quantiles
from typing import Any

from bench.fleet import Fleet, Outcome, simulate
from bench.fleet_jobs import UNLIKE, draw_jobs
from bench.fleet_model import BOOT_S, BOOTS_PER_S, FINISHING, IDLE_S, LEAST_PAID_S, OVERHEADS
from bench.fleet_run import FleetJob
from bench.results import Cell, Figure, Result, Table
from bench.workbench import Workbench

PEAKS_H = (10, 12, 16, 18)
_DAY_S = 24 * 3600
_BURST_S = 300
_VIDEOS, _BETWEEN = 1700, 400
_MOST, _MORE = 4000, 10_000
_FIXED = (2500, 4000)
_QUICK_SHARE = 0.01
_WITHIN_S = 1800
_SEED = 2
_STEP_S = 15
_SHOWN_S = 2700


@dataclass(frozen=True)
class _Case:
    name: str
    outcome: Outcome
    in_time: float

    def row(self) -> tuple[Cell, ...]:
        took = sorted(self.outcome.took_s)
        twentieths = quantiles(took, n=20)
        return (
            self.name, self.outcome.paid_s / 3600, 100 * self.outcome.idle_share,
            self.outcome.paid_s / self.outcome.work_s, twentieths[9] / 60, twentieths[18] / 60, took[-1] / 60,
            100 * self.in_time, max(up for _, up, _ in self.outcome.standing),
        )  # fmt: skip


def measure_peaks(bench: Workbench) -> Result:
    """Simulate a day with adaptive workers, quick and slow to come, and with fixed fleets."""
    share = _QUICK_SHARE if bench.quick else 1.0
    jobs = _day(share)
    most, more = round(_MOST * share), round(_MORE * share)
    adaptive = Fleet(
        most=most, boot_s=BOOT_S, boots_per_s=BOOTS_PER_S * share, idle_s=IDLE_S, least_paid_s=LEAST_PAID_S,
        overheads=OVERHEADS,
    )  # fmt: skip
    fleets = {
        f"adaptive, 0 to {most:,}": adaptive,
        f"adaptive, 0 to {more:,}": replace(adaptive, most=more),
        f"adaptive, 0 to {most:,}, {5 * BOOT_S / 60:g} min to come": replace(adaptive, boot_s=5 * BOOT_S),
        f"adaptive, 0 to {most:,}, {10 * IDLE_S / 60:g} min to go": replace(adaptive, idle_s=10 * IDLE_S),
    }
    for slots in (round(each * share) for each in _FIXED):
        fleets[f"{slots:,} all day"] = Fleet(most=slots, ready=slots, kept=slots, overheads=OVERHEADS)
    cases = [_case(name, fleet, jobs) for name, fleet in fleets.items()]
    for each in cases:
        bench.say(f"a day, {each.name}: {each.outcome.idle_share:.1%} of what is paid is idle")
    first = cases[0]
    work_h = first.outcome.work_s / 3600
    return Result(
        figures=(
            Figure(name="paid but idle, adaptive", value=100 * first.outcome.idle_share, unit="%"),
            Figure(name="done within half an hour, adaptive", value=100 * first.in_time, unit="%"),
            Figure(name="95 % are there, adaptive", value=quantiles(first.outcome.took_s, n=20)[18] / 60, unit="min"),
        ),
        tables=(
            Table(
                caption="A day",
                columns=(
                    "slots", "paid h", "idle %", "cost to ideal", "half there, min", "95 % there, min",
                    "last there, min", "within 30 min %", "most slots",
                ),
                rows=tuple(each.row() for each in cases),
            ),
        ),
        sources=(
            f"simulated: {len(jobs):,} videos, {work_h:,.0f} CPU hours; {round(_VIDEOS * share):,} arrive within "
            f"{_BURST_S // 60} minutes at {', '.join(map(str, PEAKS_H[:-1]))} and {PEAKS_H[-1]} o'clock, "
            f"{round(_BETWEEN * share):,} at any time of the day",
        ),
        notes=(
            "Idle is what was paid for slots without a task: those that are coming, wait for work, or were paid for a "
            "minute and needed for less. Minutes count from a video's arrival until it is published.",
        ),
        raw={"peak": _sampled(first.outcome, PEAKS_H[0] * 3600), "cases": [_data(each) for each in cases]},
    )  # fmt: skip


def _day(share: float) -> list[FleetJob]:
    random = Random(_SEED)
    arrivals = [
        hour * 3600 + random.uniform(0, _BURST_S) for hour in PEAKS_H for _ in range(round(_VIDEOS * share))
    ]  # fmt: skip
    arrivals += [random.uniform(0, _DAY_S - _WITHIN_S) for _ in range(round(_BETWEEN * share))]
    return draw_jobs(sorted(arrivals), seed=_SEED, variation=UNLIKE, finishing=FINISHING)


def _case(name: str, fleet: Fleet, jobs: list[FleetJob]) -> _Case:
    outcome = simulate(fleet, jobs, until_s=_DAY_S)
    return _Case(name, outcome, sum(each <= _WITHIN_S for each in outcome.took_s) / len(jobs))


def _data(case: _Case) -> dict[str, Any]:
    outcome = case.outcome
    return {
        "fleet": case.name, "paid_s": outcome.paid_s, "busy_s": outcome.busy_s, "work_s": outcome.work_s,
        "in_time": case.in_time, "tasks": outcome.tasks, "most_tasks_per_s": outcome.most_tasks_per_s,
    }  # fmt: skip


def _sampled(outcome: Outcome, from_s: float) -> list[tuple[int, int, int]]:
    """Return how many slots were paid and how many had a task, every so many seconds of one peak."""
    samples: list[tuple[int, int, int]] = []
    standing = iter(outcome.standing)
    now, following = (0.0, 0, 0), next(standing, None)
    for second in range(-_STEP_S, _SHOWN_S + 1, _STEP_S):
        while following is not None and following[0] <= from_s + second:
            now, following = following, next(standing, None)
        samples.append((second, now[1], now[2]))
    return samples

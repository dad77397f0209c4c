"""Whether second tries of stragglers pay: fleets with and without, on two kinds of bad luck, simulated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from statistics import mean, quantiles

from bench.fleet import Fleet, Outcome, simulate
from bench.fleet_jobs import UNLIKE, Variation, draw_jobs
from bench.fleet_model import FINISHING, IDLE_S, OVERHEADS
from bench.many_videos import enough_runs
from bench.results import Cell, Figure, Result, Table
from bench.workbench import Workbench

_VIDEOS, _QUICK_VIDEOS = 1700, 17
_SLOTS, _QUICK_SLOTS = (200, 1000, 10_000), (2, 10, 100)
_LUCK: dict[str, Variation] = {
    "1 % take 3 times as long": UNLIKE,
    "0.3 % take 10 times as long": replace(UNLIKE, straggler_share=0.003, straggler_times=10.0),
}
_FACTORS = (1.5, 2.0, 3.0)
_ALONE_SLOTS, _APART_S = 200, 6 * 3600.0
_SEED = 1


@dataclass(frozen=True)
class _Case:
    """One fleet with one kind of luck: what came of it without second tries, and with them by factor."""

    luck: str
    slots: int
    without: Outcome
    by_factor: dict[float, Outcome]

    @property
    def outcomes(self) -> list[tuple[float | None, Outcome]]:
        return [(None, self.without), *self.by_factor.items()]

    def rows(self, *, alone: bool) -> list[tuple[Cell, ...]]:
        return [self._row(factor, outcome, alone=alone) for factor, outcome in self.outcomes]

    def _row(self, factor: float | None, outcome: Outcome, *, alone: bool) -> tuple[Cell, ...]:
        times: tuple[Cell, ...] = (outcome.wall_s / 60, quantiles(outcome.done_s, n=20)[18] / 60)
        paid = _percent(outcome.paid_s, self.without.paid_s)
        if alone:
            times = (mean(outcome.took_s) / 60, quantiles(outcome.took_s, n=20)[18] / 60, max(outcome.took_s) / 60)
            paid = _percent(outcome.busy_s, self.without.busy_s)
        name = "none" if factor is None else f"{factor:g}"
        return self.luck, self.slots, name, *times, paid, outcome.second_tries, outcome.second_tries_first


def measure_stragglers(bench: Workbench) -> Result:
    """Simulate videos that come all at once on fleets, and videos that come one by one to many slots."""
    videos, slots = (_QUICK_VIDEOS, _QUICK_SLOTS) if bench.quick else (_VIDEOS, _SLOTS)
    at_once: list[_Case] = []
    for (luck, unlike), count in product(_LUCK.items(), slots):
        fleet = Fleet(
            most=count, ready=count, runs_at_once=enough_runs(count), idle_s=IDLE_S, overheads=OVERHEADS
        )  # fmt: skip
        at_once.append(_case(luck, unlike, fleet, [0.0] * videos))
        bench.say(f"{luck}, {count:,} slots")
    fleet = Fleet(most=_ALONE_SLOTS, ready=_ALONE_SLOTS, kept=_ALONE_SLOTS, overheads=OVERHEADS)
    arrivals_s = [number * _APART_S for number in range(videos)]
    alone = [_case(luck, unlike, fleet, arrivals_s) for luck, unlike in _LUCK.items()]
    tries = ("second tries", "of them first")
    return Result(
        figures=tuple(_figures(at_once, alone)),
        tables=(
            Table(
                caption="Videos that arrive at once, minutes",
                columns=("tasks", "slots", "factor", "wall", "95 % are there", "paid more %", *tries),
                rows=tuple(row for each in at_once for row in each.rows(alone=False)),
            ),
            Table(
                caption="Each video alone on slots that are there, minutes",
                columns=("tasks", "slots", "factor", "mean", "95 %", "longest", "at work more %", *tries),
                rows=tuple(row for each in alone for row in each.rows(alone=True)),
            ),
        ),
        sources=(f"simulated: {videos:,} videos, unlike one another as above, and in their stragglers as said here",),
        notes=(
            "A second try takes what the task would take with no bad luck: the straggler was on a bad machine. What "
            "takes long because its picture is hard takes as long again. Both kinds of luck are guesses.",
        ),
        raw={
            "cases": [
                {
                    "luck": case.luck, "slots": case.slots, "alone": case in alone, "factor": factor,
                    "wall_s": each.wall_s, "paid_s": each.paid_s, "busy_s": each.busy_s, "took_s": mean(each.took_s),
                    "second_tries": each.second_tries, "first": each.second_tries_first,
                }
                for case in (*at_once, *alone)
                for factor, each in case.outcomes
            ]
        },
    )  # fmt: skip


def _case(luck: str, unlike: Variation, fleet: Fleet, arrivals_s: list[float]) -> _Case:
    jobs = draw_jobs(arrivals_s, seed=_SEED, variation=unlike, finishing=FINISHING)
    by_factor = {each: simulate(replace(fleet, straggler_factor=each), jobs) for each in _FACTORS}
    return _Case(luck, fleet.most, simulate(fleet, jobs), by_factor)


def _figures(at_once: list[_Case], alone: list[_Case]) -> list[Figure]:
    """Return what a factor of 2 changes, for each fleet."""
    figures: list[Figure] = []
    for case in at_once:
        what, tried = f"{case.luck}, {case.slots:,} slots", case.by_factor[2.0]
        figures += [
            Figure(name=f"wall, {what}", value=_percent(tried.wall_s, case.without.wall_s), unit="%"),
            Figure(name=f"paid, {what}", value=_percent(tried.paid_s, case.without.paid_s), unit="%"),
        ]
    for case in alone:
        change = _percent(mean(case.by_factor[2.0].took_s), mean(case.without.took_s))
        figures.append(Figure(name=f"a video alone, {case.luck}", value=change, unit="%"))
    return figures


def _percent(value: float, base: float) -> float:
    return 100 * (value / base - 1)

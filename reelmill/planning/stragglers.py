"""Which of the tasks that run take so much longer than their siblings that another try may be done first. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any, Generic, TypeVar

LEAST_SIBLINGS = 3
"""Siblings that must have finished before anything is said of the others."""
LEAST_S = 5.0
"""Seconds that no task is a straggler before: another try would take about as long to begin."""

Name = TypeVar("Name")


@dataclass(frozen=True)
class RunningTask(Generic[Name]):
    """A task that has run for `took_s`. Siblings are of one `kind`, and take as long as they cost, in any unit."""

    name: Name
    kind: Hashable
    cost: float
    took_s: float


def straggles_after_s(cost: float, paces: Sequence[float], factor: float) -> float:
    """Return after how many seconds a task is a straggler: `factor` times as long as by the median of its siblings.

    `paces` are the seconds per cost of those that have finished; while they are too few the time is infinite.
    """
    if len(paces) < LEAST_SIBLINGS:
        return inf
    return max(factor * median(paces) * cost, LEAST_S)


def worst_straggler(
    running: Iterable[RunningTask[Name]], paces: Mapping[Any, Sequence[float]], factor: float
) -> RunningTask[Name] | None:
    """Return the straggler that is furthest beyond its time, in proportion; None where there is none.

    `paces` are those of finished tasks, by kind.
    """
    late = ((each.took_s / straggles_after_s(each.cost, paces.get(each.kind, ()), factor), each) for each in running)
    lateness, worst = max(late, key=lambda one: one[0], default=(0.0, None))
    return worst if lateness > 1 else None

"""Which tasks are stragglers: by the median pace of their own siblings, never too early, and the worst first."""

from __future__ import annotations

from math import inf
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.planning.stragglers import (
    LEAST_S,
    LEAST_SIBLINGS,
    RunningTask,
    straggles_after_s,
    worst_straggler,
)

PACES = st.lists(st.floats(0.01, 100), max_size=9)
FACTORS = st.floats(1.1, 10)
COSTS = st.floats(0, 1000)
TASKS = st.lists(
    st.builds(
        RunningTask[str], st.uuids().map(str), st.sampled_from(["large", "small"]), COSTS, took_s=st.floats(0, 1e5)
    ),
    max_size=12,
)  # fmt: skip


def task(name: str, took_s: float, *, cost: float = 10, kind: str = "large") -> RunningTask[str]:
    return RunningTask(name, kind, cost, took_s)


@given(TASKS, PACES, PACES, FACTORS)
def test_straggler_took_longer_than_the_median_says_of_its_own_kind(
    tasks: list[RunningTask[str]], large: list[float], small: list[float], factor: float
):
    paces: dict[Any, list[float]] = {"large": large, "small": small}
    worst = worst_straggler(tasks, paces, factor)
    late = [each for each in tasks if each.took_s > straggles_after_s(each.cost, paces[each.kind], factor)]
    assert (worst in late) if late else (worst is None)
    if worst is not None:
        mine = paces[worst.kind]
        assert len(mine) >= LEAST_SIBLINGS
        assert worst.took_s > LEAST_S
        assert worst.took_s > factor * median(mine) * worst.cost


@given(COSTS, PACES, FACTORS, st.floats(1, 5))
def test_a_greater_factor_or_cost_never_makes_a_straggler_sooner(
    cost: float, paces: list[float], factor: float, more: float
):
    after_s = straggles_after_s(cost, paces, factor)
    assert straggles_after_s(cost, paces, factor * more) >= after_s
    assert straggles_after_s(cost * more, paces, factor) >= after_s


def test_nothing_is_said_before_three_siblings_have_finished():
    assert straggles_after_s(10, [1, 1], 2) == inf
    assert worst_straggler([task("a", 1e6)], {"large": [1, 1], "small": [1, 1, 1]}, 2) is None
    assert straggles_after_s(10, [1, 1, 1], 2) == 20


def test_the_one_furthest_beyond_its_own_time_comes_first():
    paces = {"large": [1.0, 1.0, 1.0], "small": [0.1, 0.1, 0.1]}
    running = [task("long", 100, cost=40), task("longer", 90, cost=10), task("fine", 15), task("new", 6, kind="small")]
    worst = worst_straggler(running, paces, 2)
    assert worst is not None
    assert worst.name == "longer"


def test_tiny_tasks_are_left_alone():
    assert straggles_after_s(0.01, [1, 1, 1], 2) == LEAST_S
    assert worst_straggler([task("tiny", LEAST_S, cost=0.01)], {"large": [1, 1, 1]}, 2) is None


@pytest.mark.parametrize("paces", [{}, {"large": []}])
def test_no_siblings_no_straggler(paces: dict[str, list[float]]):
    assert worst_straggler([task("a", 1e6)], paces, 2) is None
    assert worst_straggler([], paces, 2) is None

"""The simulated fleet: it does all of the work, no faster than it could be done, and pays for what it had."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fleet import Fleet, Outcome, Overheads, simulate
from bench.fleet_jobs import ALIKE, UNLIKE, draw_jobs, planned_video
from bench.fleet_run import FleetJob, Repeat

SECONDS = st.floats(0.1, 100)
JOBS = st.lists(
    st.builds(
        FleetJob, arrives_s=st.floats(0, 500), tasks_s=st.lists(SECONDS, max_size=8).map(tuple), merge_s=SECONDS,
        publish_s=st.floats(0, 5), queue=st.integers(0, 2),
    ),
    min_size=1, max_size=12,
)  # fmt: skip
FLEETS = st.builds(
    Fleet, most=st.integers(1, 20), runs_at_once=st.integers(1, 5), submitted_at_once=st.integers(1, 6),
    boot_s=st.floats(0, 90), boots_per_s=st.sampled_from([0.1, 5.0, math.inf]), idle_s=st.floats(0, 120),
    least_paid_s=st.sampled_from([0.0, 60.0]),
    overheads=st.builds(
        Overheads, run_start_s=st.floats(0, 10), dispatch_s=st.floats(0, 1), task_s=st.floats(0, 1)
    ),
)  # fmt: skip


def fixed(slots: int, **changes: object) -> Fleet:
    return replace(Fleet(most=slots, ready=slots, kept=slots), **changes)


def job(*tasks_s: float, merge_s: float = 1.0, arrives_s: float = 0.0, queue: int = 0) -> FleetJob:
    return FleetJob(arrives_s, tasks_s, merge_s, queue=queue)


@given(FLEETS, JOBS)
def test_work_is_conserved_and_never_done_faster_than_its_slots_can(fleet: Fleet, jobs: list[FleetJob]):
    outcome = simulate(fleet, jobs)
    tasks = sum(len(each.tasks_s) + 1 for each in jobs)
    assert outcome.tasks == tasks
    assert outcome.busy_s == pytest.approx(sum(each.work_s for each in jobs) + tasks * fleet.overheads.task_s)
    assert outcome.paid_s >= outcome.busy_s - 1e-6
    assert outcome.wall_s >= outcome.busy_s / fleet.most - 1e-6
    assert min(outcome.took_s) > 0


@given(FLEETS, JOBS)
def test_never_more_slots_than_there_may_be(fleet: Fleet, jobs: list[FleetJob]):
    standing = simulate(fleet, jobs).standing
    assert all(busy <= up <= fleet.most for _, up, busy in standing)
    assert [time for time, _, _ in standing] == sorted({time for time, _, _ in standing})


@given(FLEETS, JOBS, st.floats(1.1, 4))
def test_second_tries_leave_no_job_undone_and_no_slot_at_work(fleet: Fleet, jobs: list[FleetJob], factor: float):
    luckier = [replace(each, repeats=tuple(Repeat(task_s, task_s / 3) for task_s in each.tasks_s)) for each in jobs]
    outcome = simulate(replace(fleet, straggler_factor=factor), luckier)
    assert outcome.tasks == sum(len(each.tasks_s) + 1 for each in jobs)
    assert min(outcome.took_s) > 0
    assert all(busy <= up <= fleet.most for _, up, busy in outcome.standing)
    assert outcome.second_tries_first <= outcome.second_tries
    assert outcome.paid_s >= outcome.busy_s - 1e-6


def lucky(*tasks_s: float) -> FleetJob:
    """A job of tasks that take 10 s when all is well."""
    return replace(job(*tasks_s), repeats=(Repeat(10, 10),) * len(tasks_s))


@pytest.mark.parametrize(
    ("factor", "slots", "ends_s", "busy_s", "second_tries"),
    [(None, 9, 101, 131, 0), (2, 9, 31, 71, 1), (2, 1, 131, 131, 1), (20, 9, 101, 131, 0)],
)
def test_straggler_is_tried_again_where_a_slot_is_free(
    factor: float | None, slots: int, ends_s: float, busy_s: float, second_tries: int
):
    """The first try has run for 20 s when the second begins, and is killed when that has taken 10."""
    outcome = simulate(fixed(slots, straggler_factor=factor), [lucky(10, 10, 10, 100)])
    assert (outcome.took_s, outcome.busy_s, outcome.second_tries) == ((ends_s,), busy_s, second_tries)


def test_second_try_that_is_no_faster_is_killed():
    outcome = simulate(fixed(9, straggler_factor=2), [lucky(10, 10, 10, 25)])
    assert (outcome.took_s, outcome.busy_s) == ((26,), 61)
    assert (outcome.second_tries, outcome.second_tries_first) == (1, 0)


@given(FLEETS, JOBS)
def test_the_same_jobs_on_the_same_fleet_end_the_same(fleet: Fleet, jobs: list[FleetJob]):
    assert simulate(fleet, jobs) == simulate(fleet, jobs)


def test_one_slot_takes_the_sum_of_the_work():
    outcome = simulate(fixed(1), [job(3, 2), job(5, 1, merge_s=4)])
    assert outcome.wall_s == outcome.work_s == outcome.paid_s == 16
    assert outcome.idle_share == 0


def test_as_many_slots_as_tasks_take_the_longest_and_the_merge():
    outcome = simulate(fixed(3), [job(3, 2, 7, merge_s=2)])
    assert outcome.took_s == (9,)
    assert outcome.paid_s == 27


def test_a_merge_waits_behind_what_other_runs_submitted():
    first, second = job(1, 1), job(10, 10, 10)
    assert simulate(fixed(2), [first, second]).done_s[0] == 12
    assert simulate(fixed(2, runs_at_once=1), [first, second]).done_s[0] == 2


def test_the_least_queue_is_served_first():
    jobs = [job(5), job(5, queue=2), job(5, queue=1)]
    assert simulate(fixed(1, runs_at_once=1), jobs).done_s == (6, 18, 12)


def test_a_slot_is_paid_from_when_it_is_asked_for_until_it_was_idle():
    fleet = Fleet(most=1, boot_s=30, idle_s=60)
    outcome = simulate(fleet, [job(8, merge_s=2)])
    assert (outcome.took_s, outcome.paid_s) == ((40,), 100)
    assert simulate(replace(fleet, least_paid_s=300), [job(8, merge_s=2)]).paid_s == 300


def test_slots_come_one_after_another_where_only_so_many_can():
    fleet = Fleet(most=4, boots_per_s=0.5)
    assert simulate(fleet, [job(100, 100, 100, 100)]).took_s == (109,)


def test_slots_that_are_kept_are_paid_all_day():
    outcome = simulate(fixed(2), [job(5, merge_s=5)], until_s=100)
    assert outcome.paid_s == 200
    assert outcome.idle_share == pytest.approx(0.95)


def test_what_a_run_does_besides_its_tasks_counts():
    overheads = Overheads(run_start_s=10, dispatch_s=1, task_s=0.5)
    assert simulate(fixed(2, overheads=overheads), [job(4, 4, merge_s=2)]).took_s == (10 + 2 + 4.5 + 1 + 2.5,)


def test_a_run_submits_no_more_than_it_may():
    fleet = fixed(4, submitted_at_once=2)
    assert simulate(fleet, [job(3, 3, 3, 3)]).took_s == (7,)


def test_videos_are_planned_in_segments_the_longest_first():
    video = planned_video(900)
    assert len(video.tasks_s) == 31
    assert video.tasks_s[0] == pytest.approx(85.5, rel=0.01)
    assert max(video.tasks_s) == video.tasks_s[0]


def test_equal_seeds_draw_equal_videos():
    one, same, other = (draw_jobs([0.0] * 20, seed=seed, variation=UNLIKE) for seed in (1, 1, 2))
    assert one == same != other


def test_unlike_videos_have_the_same_work_on_average():
    alike, unlike = (draw_jobs([0.0] * 2000, seed=1, variation=each) for each in (ALIKE, UNLIKE))
    assert len({each.work_s for each in alike}) == 1
    assert sum(each.work_s for each in unlike) == pytest.approx(sum(each.work_s for each in alike), rel=0.1)


def test_an_outcome_of_nothing_is_nothing():
    assert simulate(Fleet(most=3), []) == Outcome(0, 0, 0, 0, 0, (), (), (), 0)

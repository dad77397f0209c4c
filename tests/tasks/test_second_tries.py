"""Second tries: where a worker is free a straggler gets one, the first of the two that succeeds counts."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reelmill.errors import JobCancelled
from reelmill.media.tool_jobs import cancel_job, refuse_cancelled
from reelmill.planning import stragglers
from reelmill.progress import board, drop_board
from reelmill.records import Record
from tasks.dispatch import Dispatcher
from tasks.second_tries import Mapped, SecondTries

QUICK_S = 0.05
ENDLESS_S = 60.0


class Fake:
    """Runs tries in threads. Each takes what it is said to, and ends within milliseconds when it is cancelled."""

    def __init__(self, threads: ThreadPoolExecutor, attempt: str, at_once: int, factor: float | None):
        self._threads = threads
        self.attempt = attempt
        self.said: list[str] = []
        self.began: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.most_at_once = 0
        self.reused = False
        tries = SecondTries[str](attempt, factor, self.said.append)
        self.work = Dispatcher[str](at_once, on_wait=lambda: None, every_s=0.02, second_tries=tries)

    def add(self, name: str, *takes: float | Exception) -> None:
        """Add a task whose first try takes so many seconds, or ends with that error, and whose second the next."""

        def submit(attempt: str) -> Any:
            number = int(attempt.rpartition("/")[2])
            self.began.append(f"{name} {number}")
            self.most_at_once = max(self.most_at_once, len(self.began) - len(self.ended))
            future = self._threads.submit(self._run, name, number, attempt, takes[number - 1])
            vars(future)["wait"] = future.exception
            return future

        self.work.add_mapped(name, Mapped(name, "sibling", 1.0, submit))

    def add_quick(self, count: int = 4) -> None:
        for number in range(count):
            self.add(f"quick {number}", QUICK_S, QUICK_S)

    def _run(self, name: str, number: int, attempt: str, takes: float | Exception) -> Record:
        how = "failed"
        try:
            ends = time.monotonic() + (takes if isinstance(takes, float) else 0.5)
            while time.monotonic() < ends:
                board(attempt).report(name, 10 * number)
                refuse_cancelled(attempt)
                time.sleep(0.005)
            if isinstance(takes, Exception):
                raise takes
            how = "done"
            return Record(key=f"{name} {number}", reused=self.reused)
        except JobCancelled:
            how = "cancelled"
            raise
        finally:
            self.ended.append((f"{name} {number}", how))

    def run(self) -> dict[str, str | type[BaseException]]:
        """Return the record of each task, or what it failed with; a task that comes twice is an error."""
        came: defaultdict[str, list[Any]] = defaultdict(list)
        for key, future in self.work:
            came[key].append(future)
        assert {len(each) for each in came.values()} <= {1}
        return {key: _outcome(future) for key, [future] in came.items()}


def _outcome(future: Any) -> str | type[BaseException]:
    error = future.exception()
    return future.result().key if error is None else type(error)


Make = Callable[..., Fake]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(stragglers, "LEAST_S", 0.2)
    attempt = uuid.uuid4().hex
    board(attempt)
    with ThreadPoolExecutor(16) as threads:
        yield lambda at_once=8, factor=2.0: Fake(threads, attempt, at_once, factor)
    drop_board(attempt)


def test_second_try_wins_and_the_first_is_cancelled_and_waited_for(make: Make):
    fake = make()
    fake.add("slow", ENDLESS_S, QUICK_S)
    fake.add_quick()
    assert fake.run()["slow"] == "slow 2"
    assert ("slow 1", "cancelled") in fake.ended
    assert len(fake.began) == len(fake.ended) == 6
    begins, wins = fake.said
    assert "slow has taken 0 s" in begins
    assert wins == "slow: its second try was first"


def test_first_try_wins_and_the_second_is_cancelled(make: Make):
    fake = make()
    fake.add("slow", 0.6, ENDLESS_S)
    fake.add_quick()
    assert fake.run()["slow"] == "slow 1"
    assert ("slow 2", "cancelled") in fake.ended
    assert fake.said[-1] == "slow: its first try was first"


@pytest.mark.parametrize(
    ("first", "second", "comes"),
    [(ValueError(), 0.8, "slow 2"), (1.2, OSError(), "slow 1"), (ValueError(), OSError(), OSError)],
    ids=["the first fails", "the second fails", "both fail"],
)
def test_failed_try_waits_for_the_other(make: Make, first: Any, second: Any, comes: Any):
    fake = make()
    fake.add("slow", first, second)
    fake.add_quick()
    assert fake.run()["slow"] == comes
    assert sum(each.startswith("slow") for each in fake.began) == 2
    assert any("failed, the other goes on" in each for each in fake.said)


def test_failure_without_a_second_try_comes_back_at_once(make: Make):
    fake = make()
    fake.add("bad", ValueError(), QUICK_S)
    assert fake.run() == {"bad": ValueError}
    assert fake.began == ["bad 1"]


def test_no_second_try_while_work_waits_and_never_more_than_at_once(make: Make):
    fake = make(at_once=2)
    fake.add("slow", ENDLESS_S, QUICK_S)
    fake.add_quick(12)
    fake.run()
    assert fake.began[-1] == "slow 2"
    assert fake.most_at_once <= 2


def test_no_second_try_where_no_worker_is_free(make: Make):
    fake = make(at_once=1)
    fake.add_quick()
    fake.add("slow", 0.6, QUICK_S)
    assert fake.run()["slow"] == "slow 1"
    assert "slow 2" not in fake.began


@pytest.mark.parametrize("siblings", [0, 2])
def test_too_few_siblings_say_nothing(make: Make, siblings: int):
    fake = make()
    fake.add("slow", 0.6, QUICK_S)
    fake.add_quick(siblings)
    assert fake.run()["slow"] == "slow 1"
    assert fake.said == []


def test_what_was_kept_by_an_earlier_run_says_nothing_of_the_pace(make: Make):
    fake = make()
    fake.reused = True
    fake.add("slow", 0.6, QUICK_S)
    fake.add_quick()
    assert fake.run()["slow"] == "slow 1"
    assert "slow 2" not in fake.began


def test_off_unless_it_is_wanted(make: Make):
    fake = make(factor=None)
    fake.add("slow", 0.6, QUICK_S)
    fake.add_quick()
    assert fake.run()["slow"] == "slow 1"
    assert len(fake.began) == 5


def test_cancel_of_the_job_ends_both_tries(make: Make):
    fake = make()
    fake.add("slow", ENDLESS_S, ENDLESS_S)
    fake.add_quick()
    results = iter(fake.work)
    for _ in range(4):
        next(results)
    with ThreadPoolExecutor(1) as later:
        later.submit(_cancel_when, lambda: "slow 2" in fake.began, fake.attempt)
        key, future = next(results)
    assert (key, _outcome(future)) == ("slow", JobCancelled)
    fake.work.drain()
    assert {("slow 1", "cancelled"), ("slow 2", "cancelled")} <= set(fake.ended)


def test_progress_is_that_of_the_first_try_until_the_second_wins(make: Make):
    fake = make()
    shown = board(fake.attempt)
    shown.begin(total=50, tasks_total=5)
    counts: list[int] = []
    fake.add("slow", ENDLESS_S, 0.3)
    fake.add_quick()
    for key, _ in fake.work:
        counts.append(shown.counts()["slow"])
        shown.finish(key, 10)
    assert set(counts) == {10}
    assert shown.counts()["slow"] == 10


def _cancel_when(condition: Callable[[], bool], attempt: str) -> None:
    while not condition():
        time.sleep(0.01)
    cancel_job(attempt)

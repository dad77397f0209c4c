"""Divide, map, combine: never more at once than there are workers, in the order asked for."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest

from reelmill.errors import JobCancelled
from reelmill.media.tool_jobs import refuse_cancelled
from reelmill.progress import ProgressBoard, board
from tasks import dispatch
from tasks.dispatch import Dispatcher, dispatching

Submit = Callable[[], Any]


class Crew:
    """Stands for the task runner: runs what is submitted in threads, and knows what is going on."""

    def __init__(self, threads: ThreadPoolExecutor):
        self._threads = threads
        self._lock = threading.Lock()
        self.started: list[str] = []
        self.at_once = self.most_at_once = 0

    def submission(self, name: str, *, takes_s: float = 0.02, error: Exception | None = None) -> Submit:
        def run() -> str:
            with self._lock:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            time.sleep(takes_s)
            with self._lock:
                self.at_once -= 1
            if error:
                raise error
            return name

        def submit() -> Future[str]:
            self.started.append(name)
            future = self._threads.submit(run)
            vars(future)["wait"] = future.exception  # which waits, as Prefect's does
            return future

        return submit


@pytest.fixture
def crew() -> Iterator[Crew]:
    with ThreadPoolExecutor(16) as threads:
        yield Crew(threads)


def dispatcher(at_once: int, on_wait: Callable[[], None] = lambda: None) -> Dispatcher[str]:
    return Dispatcher(at_once, on_wait=on_wait, every_s=0.05)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_no_more_are_in_flight_than_allowed_and_all_are_done(at_once: int, crew: Crew):
    work = dispatcher(at_once)
    names = [f"{number:02d}" for number in range(20)]
    for name in names:
        work.add(name, crew.submission(name))
    done = [(key, future.result()) for key, future in work]
    assert sorted(done) == [(name, name) for name in names]
    assert crew.most_at_once == at_once


def test_work_starts_in_the_order_in_which_it_was_added(crew: Crew):
    work = dispatcher(2)
    names = [f"{number:02d}" for number in range(10)]
    for name in names:
        work.add(name, crew.submission(name))
    list(work)
    assert crew.started == names


def test_work_comes_back_as_it_finishes(crew: Crew):
    work = dispatcher(3)
    for name, takes_s in (("slow", 0.6), ("fast", 0.01), ("middling", 0.3)):
        work.add(name, crew.submission(name, takes_s=takes_s))
    assert [key for key, _ in work] == ["fast", "middling", "slow"]


def test_what_comes_first_overtakes_all_that_waits_and_nothing_that_runs(crew: Crew):
    work = dispatcher(1)
    for name in ("a", "b", "c"):
        work.add(name, crew.submission(name))
    for key, _ in work:
        if key == "a":
            work.add("merge", crew.submission("merge"), first=True)
    assert crew.started == ["a", "merge", "b", "c"]


def test_more_can_be_added_while_results_come_even_after_the_last(crew: Crew):
    work = dispatcher(2)
    work.add("0", crew.submission("0"))
    for key, _ in work:
        if int(key) < 5:
            work.add(str(int(key) + 1), crew.submission(str(int(key) + 1)))
    assert crew.started == ["0", "1", "2", "3", "4", "5"]


def test_a_key_can_be_done_again(crew: Crew):
    work = dispatcher(2)
    work.add("a", crew.submission("first try"))
    results: list[str] = []
    for _, future in work:
        results.append(future.result())
        if len(results) == 1:
            work.add("a", crew.submission("second try"), first=True)
    assert results == ["first try", "second try"]


def test_drained_work_never_starts_and_what_runs_is_waited_for(crew: Crew):
    work = dispatcher(2)
    for name in ("a", "b", "c", "d"):
        work.add(name, crew.submission(name, takes_s=0.2))
    next(iter(work))
    work.drain()
    assert crew.at_once == 0
    assert {"a", "b"} <= set(crew.started) <= {"a", "b", "c"}


def test_failed_work_comes_back_with_its_error(crew: Crew):
    work = dispatcher(2)
    work.add("bad", crew.submission("bad", error=ValueError("no")))
    work.add("good", crew.submission("good"))
    errors: dict[str, type[Exception] | None] = {}
    for key, future in work:
        try:
            future.result()
            errors[key] = None
        except ValueError as error:
            errors[key] = type(error)
    assert errors == {"bad": ValueError, "good": None}


def test_loop_that_was_broken_can_be_taken_up_again(crew: Crew):
    work = dispatcher(2)
    for name in ("a", "b", "c"):
        work.add(name, crew.submission(name))
    first = next(iter(work))[0]
    assert sorted([first, *(key for key, _ in work)]) == ["a", "b", "c"]


def test_somebody_is_told_while_nothing_finishes(crew: Crew):
    told: list[float] = []
    work = dispatcher(1, on_wait=lambda: told.append(time.monotonic()))
    work.add("slow", crew.submission("slow", takes_s=0.5))
    list(work)
    assert len(told) >= 2


def test_nothing_to_do_ends_at_once():
    assert list(dispatcher(2)) == []


def test_submission_that_fails_is_not_waited_for(crew: Crew):
    """Say, the server is gone: the error comes out, and what runs can still be waited for."""

    def refused() -> Any:
        raise ConnectionError

    work = dispatcher(2)
    work.add("a", crew.submission("a", takes_s=0.1))
    work.add("refused", refused)
    with pytest.raises(ConnectionError):
        list(work)
    assert [key for key, _ in work] == ["a"]


class LostFuture(Future[str]):
    """What becomes of a task whose scheduler was started again: done, and nobody knows how."""

    was_lost = True
    began_s = None


@pytest.mark.parametrize(("losses", "comes_back"), [(1, False), (3, False), (4, True)])
def test_lost_work_is_done_again_three_times(losses: int, comes_back: bool, crew: Crew):
    submitted: list[str] = []

    def submit() -> Any:
        submitted.append("a")
        if len(submitted) > losses:
            return crew.submission("a")()
        future = LostFuture()
        future.cancel()
        return future

    work = dispatcher(1)
    work.add("a", submit)
    [(key, future)] = list(work)
    assert (key, isinstance(future, LostFuture)) == ("a", comes_back)
    assert len(submitted) == min(losses + 1, 4)


def test_somebody_is_told_after_each_result_was_dealt_with(crew: Crew):
    told: list[int] = []
    done: list[str] = []
    work = Dispatcher[str](1, on_wait=lambda: told.append(len(done)), every_s=60)
    for name in ("a", "b"):
        work.add(name, crew.submission(name))
    done += (key for key, _ in work)
    assert told == [1, 2]


def test_there_is_room_for_what_would_start_at_once(crew: Crew):
    work = dispatcher(2)
    rooms = [work.has_room]
    for name in ("a", "b", "c"):
        work.add(name, crew.submission(name))
        rooms.append(work.has_room)
    for _ in work:
        rooms.append(work.has_room)
    assert rooms == [True, True, False, False, False, True, True]


class Watched:
    """Stands for what shows progress in Prefect."""

    def __init__(self, shown: ProgressBoard, what: str):
        self.shown = shown

    def update(self, *, at_end: bool = False) -> None:
        assert self.shown.snapshot()


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(dispatch, "ProgressReporter", Watched)
    return uuid.uuid4().hex


def test_block_that_ends_well_cancels_nothing_and_drops_the_board(crew: Crew, attempt: str):
    shown = board(attempt)
    with dispatching(attempt, "video", 2) as work:
        work.add("a", crew.submission("a"))
        assert [key for key, _ in work] == ["a"]
    refuse_cancelled(attempt)
    assert board(attempt) is not shown


@pytest.mark.parametrize("from_check", [False, True])
def test_error_cancels_the_attempt_and_comes_out_when_what_ran_has_ended(from_check: bool, crew: Crew, attempt: str):
    def check() -> None:
        if from_check:
            raise ValueError("too dear")

    def run() -> None:
        with dispatching(attempt, "video", 2, check=check) as work:
            for name in ("a", "b", "c", "d"):
                work.add(name, crew.submission(name, takes_s=0.02 if name == "a" else 0.3))
            for _ in work:
                if not from_check:
                    raise ValueError("too dear")

    with pytest.raises(ValueError, match="too dear"):
        run()
    assert crew.at_once == 0
    assert "d" not in crew.started
    with pytest.raises(JobCancelled):
        refuse_cancelled(attempt)


LINES = 24
"""Lines of the dispatcher, about, that a small run goes through."""


def small_run(crew: Crew, on_wait: Callable[[], None] = lambda: None) -> Dispatcher[str]:
    work = dispatcher(2, on_wait)
    for name in ("a", "b", "c"):
        work.add(name, crew.submission(name))
    return work


@contextmanager
def traced(trace: Callable[..., Any]) -> Iterator[None]:
    """Trace what the dispatcher does in this thread, when it iterates."""
    iterates = Dispatcher.__iter__.__code__
    sys.settrace(lambda frame, *_: trace if frame.f_code is iterates else None)
    try:
        yield
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("number", range(LINES))
def test_what_runs_can_be_waited_for_after_an_interrupt_at_any_line(number: int, crew: Crew):
    """^C comes wherever it likes; the flow then drops what waits, kills what runs, and waits for it to end."""
    left = number

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise KeyboardInterrupt
        return interrupt

    work = small_run(crew)
    with suppress(KeyboardInterrupt), traced(interrupt):
        list(work)
    work.drain()
    assert crew.at_once == 0

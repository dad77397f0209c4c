"""Divide, map, combine: starts as many task runs as there are workers, and hands over each result as it comes.

Whatever runs the tasks (threads, Dask) sees no more than it can do at once, so that what becomes ready meanwhile - a
format whose last piece is done - need not queue behind what can wait.
"""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Generic

from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from reelmill.media.tool_jobs import cancel_job
from reelmill.progress import board, drop_board
from reelmill.settings import settings
from tasks.reporting import ProgressReporter
from tasks.second_tries import Elsewhere, Key, Mapped, SecondTries, Try

_LOST_OFTEN = 3


class Dispatcher(Generic[Key]):
    """Runs submissions, at most `at_once` of them at a time, in the order in which they were added.

    `on_wait` is called after each result is dealt with, and every `every_s` seconds while nothing finishes.
    """

    def __init__(
        self,
        at_once: int,
        *,
        on_wait: Callable[[], None],
        every_s: float = 0.5,
        second_tries: SecondTries[Key] | None = None,
    ):
        self._at_once = at_once
        self._on_wait = on_wait
        self._every_s = every_s
        self._second_tries = second_tries or SecondTries[Key]("", None, lambda _: None)
        self._waiting: deque[Try[Key]] = deque()
        self._running: dict[Try[Key], PrefectFuture[Any]] = {}
        self._beaten: list[PrefectFuture[Any]] = []
        self._lost: Counter[Key] = Counter()
        self._done: queue.SimpleQueue[Try[Key]] = queue.SimpleQueue()

    def add(self, key: Key, submit: Callable[[], PrefectFuture[Any]], *, first: bool = False) -> None:
        """Queue a submission under its key; with `first` before all others that have not started."""
        (self._waiting.appendleft if first else self._waiting.append)(Try(key, submit))

    def add_mapped(self, key: Key, mapped: Mapped) -> None:
        """Queue a task that may be tried a second time while its first try runs, where nothing else waits for a worker.

        What came first of two is what comes of the key; the other is cancelled.
        """
        self._waiting.append(self._second_tries.first(key, mapped))

    @property
    def has_room(self) -> bool:
        """Whether what is added now would start at once."""
        return len(self._waiting) + len(self._running) < self._at_once

    def drain(self) -> None:
        """Forget what has not started, and wait for what has. Also after an interrupt anywhere in the iteration."""
        self._waiting.clear()
        for future in [*self._running.values(), *self._beaten]:
            future.wait()

    def __iter__(self) -> Iterator[tuple[Key, PrefectFuture[Any]]]:
        """Yield each key with its finished future until nothing is left; more may be added meanwhile.

        A task that was lost is submitted again, three times.
        """
        while self._waiting or self._running:
            while (each := self._next()) is not None:
                future = self._running[each] = each.submit()
                future.add_done_callback(lambda _, done=each: self._done.put(done))
            try:
                each = self._done.get(timeout=self._every_s)
            except queue.Empty:
                self._on_wait()
                continue
            future = self._running.pop(each)
            if self._is_to_be_repeated(each, future):
                self._waiting.appendleft(each)
            elif self._second_tries.is_answer(each, future):
                yield each.key, future
                self._on_wait()
            else:
                self._beaten.append(future)
        for future in self._beaten:
            future.wait()

    def _next(self) -> Try[Key] | None:
        """Return what is to start now: the first that waits, or where nothing does a second try of what runs."""
        if len(self._running) >= self._at_once:
            return None
        each = self._waiting.popleft() if self._waiting else self._second_tries.second(self._running)
        if each is not None:
            each.submitted_s = time.monotonic()
        return each

    def _is_to_be_repeated(self, each: Try[Key], future: PrefectFuture[Any]) -> bool:
        if each.other or each.beaten or not isinstance(future, Elsewhere) or not future.was_lost:
            return False
        self._lost[each.key] += 1
        return self._lost[each.key] <= _LOST_OFTEN


@contextmanager
def dispatching(
    attempt: str, what: str, at_once: int, *, check: Callable[[], None] = lambda: None
) -> Generator[Dispatcher[Any]]:
    """Give a dispatcher for one attempt at a job, show on the attempt's board how far it is, and `check` as it goes on.

    What ends the block early, an error of `check` too, cancels the attempt for good: what waits is dropped, what runs
    is killed, and has ended when the error comes out.
    """
    reporter = ProgressReporter(board(attempt), what)

    def look() -> None:
        reporter.update()
        check()

    def say(text: str) -> None:
        get_run_logger().info(text)

    tries = SecondTries[Any](attempt, settings().straggler_factor, say)
    work: Dispatcher[Any] = Dispatcher(at_once, on_wait=look, second_tries=tries)
    try:
        yield work
    except BaseException:
        cancel_job(attempt)  # for good: what an interrupt caught between submitting and starting must not start either
        work.drain()
        raise
    finally:
        drop_board(attempt)
    reporter.update(at_end=True)

"""Divide, map, combine: starts as many task runs as there are workers, and hands over each result as it comes.

Whatever runs the tasks (threads, Dask) sees no more than it can do at once, so that what becomes ready meanwhile - a
format whose last piece is done - need not queue behind what can wait.
"""

from __future__ import annotations

import queue
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from prefect.futures import PrefectFuture

from reelmill.media.tool_jobs import cancel_job
from reelmill.progress import board, drop_board
from tasks.reporting import ProgressReporter

_LOST_OFTEN = 3


@runtime_checkable
class MayBeLost(Protocol):
    """A future of a task that runs elsewhere."""

    @property
    def was_lost(self) -> bool:
        """Whether nobody will ever know what became of the task."""
        ...


Key = TypeVar("Key", bound=Hashable)


class Dispatcher(Generic[Key]):
    """Runs submissions, at most `at_once` of them at a time, in the order in which they were added.

    `on_wait` is called after each result is dealt with, and every `every_s` seconds while nothing finishes.
    """

    def __init__(self, at_once: int, *, on_wait: Callable[[], None], every_s: float = 0.5):
        self._at_once = at_once
        self._on_wait = on_wait
        self._every_s = every_s
        self._waiting: deque[tuple[Key, Callable[[], PrefectFuture]]] = deque()
        self._running: dict[Key, PrefectFuture] = {}
        self._lost: Counter[Key] = Counter()
        self._done: queue.SimpleQueue[tuple[Key, Callable[[], PrefectFuture]]] = queue.SimpleQueue()

    def add(self, key: Key, submit: Callable[[], PrefectFuture], *, first: bool = False) -> None:
        """Queue a submission under its key; with `first` before all others that have not started."""
        (self._waiting.appendleft if first else self._waiting.append)((key, submit))

    @property
    def has_room(self) -> bool:
        """Whether what is added now would start at once."""
        return len(self._waiting) + len(self._running) < self._at_once

    def drain(self) -> None:
        """Forget what has not started, and wait for what has. Also after an interrupt anywhere in the iteration."""
        self._waiting.clear()
        for future in list(self._running.values()):
            future.wait()

    def __iter__(self) -> Iterator[tuple[Key, PrefectFuture]]:
        """Yield each key with its finished future until nothing is left; more may be added meanwhile.

        A task that was lost is submitted again, three times.
        """
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._at_once:
                key, submit = self._waiting.popleft()
                future = self._running[key] = submit()
                future.add_done_callback(lambda _, done=(key, submit): self._done.put(done))
            try:
                key, submit = self._done.get(timeout=self._every_s)
            except queue.Empty:
                self._on_wait()
                continue
            future = self._running.pop(key)
            if isinstance(future, MayBeLost) and future.was_lost and self._lost[key] < _LOST_OFTEN:
                self._lost[key] += 1
                self.add(key, submit, first=True)
                continue
            yield key, future
            self._on_wait()


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

    work: Dispatcher[Any] = Dispatcher(at_once, on_wait=look)
    try:
        yield work
    except BaseException:
        cancel_job(attempt)  # for good: what an interrupt caught between submitting and starting must not start either
        work.drain()
        raise
    finally:
        drop_board(attempt)
    reporter.update(at_once=True)

"""Divide, map, combine: starts as many task runs as there are workers, and hands over each result as it comes.

Whatever runs the tasks (threads, Dask) sees no more than it can do at once, so that what becomes ready meanwhile - a
format whose last piece is done - need not queue behind what can wait.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from prefect.futures import PrefectFuture

Key = TypeVar("Key", bound=Hashable)


class Dispatcher(Generic[Key]):
    """Runs submissions, at most `at_once` of them at a time, in the order in which they were added.

    `every_s` is how often `on_wait` is called while nothing finishes.
    """

    def __init__(self, at_once: int, *, on_wait: Callable[[], None], every_s: float = 0.5):
        self._at_once = at_once
        self._on_wait = on_wait
        self._every_s = every_s
        self._waiting: deque[tuple[Key, Callable[[], PrefectFuture]]] = deque()
        self._running: dict[Key, PrefectFuture] = {}
        self._done: queue.SimpleQueue[Key] = queue.SimpleQueue()

    def add(self, key: Key, submit: Callable[[], PrefectFuture], *, first: bool = False) -> None:
        """Queue a submission under its key; with `first` before all others that have not started."""
        (self._waiting.appendleft if first else self._waiting.append)((key, submit))

    def drain(self) -> None:
        """Forget what has not started, and wait for what has. Also after an interrupt anywhere in the iteration."""
        self._waiting.clear()
        for future in list(self._running.values()):
            future.wait()

    def __iter__(self) -> Iterator[tuple[Key, PrefectFuture]]:
        """Yield each key with its finished future until nothing is left; more may be added meanwhile."""
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._at_once:
                key, submit = self._waiting.popleft()
                future = self._running[key] = submit()
                future.add_done_callback(lambda _, key=key: self._done.put(key))
            try:
                key = self._done.get(timeout=self._every_s)
            except queue.Empty:
                self._on_wait()
                continue
            yield key, self._running.pop(key)

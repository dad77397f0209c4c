"""How far a job is: frames over all renditions, counted while ffmpeg runs, or bytes of a transfer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Literal

from reelmill.attempts import lineage

Unit = Literal["frames", "bytes"]


@dataclass(frozen=True)
class Snapshot:
    """Where a job stands, in frames or bytes.

    `eta_s` is None until there is something to judge by; what was kept from before doesn't count for it.
    """

    step: str
    unit: Unit
    done: int
    total: int
    per_s: float
    eta_s: float | None
    tasks_done: int
    tasks_total: int

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 1.0


class ProgressBoard:
    """Collects what the tasks of one job report. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._started = time.monotonic()
        self._kept = 0
        self.step = "probe"
        self.unit: Unit = "frames"
        self.total = 0
        self.tasks_total = 0
        self._finished: set[str] = set()

    def begin(self, total: int, tasks_total: int, *, step: str = "encode", unit: Unit = "frames") -> None:
        """Start to count a step: forget what was counted before."""
        with self._lock:
            self._counts.clear()
            self._finished.clear()
            self._kept = 0
            self.step, self.unit, self._started = step, unit, time.monotonic()
            self.total, self.tasks_total = total, tasks_total

    def report(self, task: str, count: int) -> None:
        """Note that a task has done so much so far; a retry starts again from nothing."""
        with self._lock:
            if task not in self._finished:
                self._counts[task] = count

    def counts(self) -> dict[str, int]:
        """Return how much each task has done so far."""
        with self._lock:
            return dict(self._counts)

    def finish(self, task: str, count: int, *, kept: bool = False) -> None:
        """Note that a task is done; with `kept` it was done by an earlier run."""
        with self._lock:
            self._counts[task] = count
            self._finished.add(task)
            self._kept += count if kept else 0

    def snapshot(self) -> Snapshot:
        with self._lock:
            done = sum(self._counts.values())
            elapsed_s = max(time.monotonic() - self._started, 1e-3)
            rate = (done - self._kept) / elapsed_s
            left = max(self.total - done, 0)
            return Snapshot(
                step=self.step,
                unit=self.unit,
                done=min(done, self.total),
                total=self.total,
                per_s=rate,
                eta_s=left / rate if rate > 0 else None,
                tasks_done=len(self._finished),
                tasks_total=self.tasks_total,
            )


_boards: dict[str, ProgressBoard] = {}
_lock = threading.Lock()


def board(attempt: str) -> ProgressBoard:
    """Return the board in this process of an attempt, or of what it is a part of; a new one when there is none."""
    with _lock:
        found = next((each for each in lineage(attempt) if each in _boards), attempt)
        return _boards.setdefault(found, ProgressBoard())


def open_board(attempt: str) -> ProgressBoard:
    """Return a new board for an attempt, or for a part of one that is not to count on the board of the whole."""
    with _lock:
        _boards[attempt] = ProgressBoard()
        return _boards[attempt]


def drop_board(attempt: str) -> None:
    with _lock:
        _boards.pop(attempt, None)

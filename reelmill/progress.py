"""How far a job is: frames done over all renditions, counted while ffmpeg runs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """Where a job stands. `eta_s` is None until there is something to judge by; frames kept from before don't count."""

    step: str
    frames_done: int
    frames_total: int
    frames_per_s: float
    eta_s: float | None
    tasks_done: int
    tasks_total: int

    @property
    def share(self) -> float:
        return self.frames_done / self.frames_total if self.frames_total else 1.0


class ProgressBoard:
    """Collects what the tasks of one job report. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: dict[str, int] = {}
        self._started = time.monotonic()
        self._kept_frames = 0
        self.step = "probe"
        self.frames_total = 0
        self.tasks_total = 0
        self._finished: set[str] = set()

    def begin(self, frames_total: int, tasks_total: int) -> None:
        """Start to count the encoding: forget what was counted before."""
        with self._lock:
            self._frames.clear()
            self._finished.clear()
            self._kept_frames = 0
            self.step, self._started = "encode", time.monotonic()
            self.frames_total, self.tasks_total = frames_total, tasks_total

    def report(self, task: str, frames: int) -> None:
        """Note that a task has made this many frames so far; a retry starts again from nothing."""
        with self._lock:
            if task not in self._finished:
                self._frames[task] = frames

    def finish(self, task: str, frames: int, *, kept: bool = False) -> None:
        """Note that a task is done; with `kept` it was done by an earlier run."""
        with self._lock:
            self._frames[task] = frames
            self._finished.add(task)
            self._kept_frames += frames if kept else 0

    def snapshot(self) -> Snapshot:
        with self._lock:
            done = sum(self._frames.values())
            elapsed_s = max(time.monotonic() - self._started, 1e-3)
            rate = (done - self._kept_frames) / elapsed_s
            left = max(self.frames_total - done, 0)
            return Snapshot(
                step=self.step,
                frames_done=min(done, self.frames_total),
                frames_total=self.frames_total,
                frames_per_s=rate,
                eta_s=left / rate if rate > 0 else None,
                tasks_done=len(self._finished),
                tasks_total=self.tasks_total,
            )


_boards: dict[str, ProgressBoard] = {}
_lock = threading.Lock()


def board(attempt: str) -> ProgressBoard:
    """Return the board of an attempt at a job in this process, a new one when there is none."""
    with _lock:
        return _boards.setdefault(attempt, ProgressBoard())


def drop_board(attempt: str) -> None:
    with _lock:
        _boards.pop(attempt, None)

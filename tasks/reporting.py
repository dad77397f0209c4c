"""Shows a running job: a progress artifact in Prefect's UI, and whoever watches in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from reelmill.progress import ProgressBoard, Snapshot

_ARTIFACT_EVERY_S = 5.0

Watcher = Callable[[Snapshot], None]
_watchers: list[Watcher] = []


def watch(watcher: Watcher) -> None:
    """Have `watcher` called, about twice a second, with where the running job stands."""
    _watchers.append(watcher)


def unwatch(watcher: Watcher) -> None:
    _watchers.remove(watcher)


class ProgressReporter:
    """Passes a board on to the watchers, and now and then to the artifact of the flow run."""

    def __init__(self, board: ProgressBoard, what: str):
        self._board = board
        self._what = what
        self._artifact: Any = create_progress_artifact(progress=0.0, key="progress", description=what)
        self._told = time.monotonic()

    def update(self, *, at_once: bool = False) -> None:
        """Tell the watchers; the artifact only every few seconds, unless `at_once`."""
        snapshot = self._board.snapshot()
        for watcher in _watchers:
            watcher(snapshot)
        if at_once or time.monotonic() - self._told > _ARTIFACT_EVERY_S:
            self._told = time.monotonic()
            update_progress_artifact(self._artifact, progress=100 * snapshot.share, description=self._line(snapshot))

    def _line(self, snapshot: Snapshot) -> str:
        eta = "" if snapshot.eta_s is None else f", {snapshot.eta_s:.0f} s left"
        done = f"{snapshot.done:,} of {snapshot.total:,} {snapshot.unit}"
        return f"{self._what}: {done}, {snapshot.per_s:,.0f} a second{eta}"

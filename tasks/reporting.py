"""Shows a running job: a progress artifact in Prefect's UI, and whoever watches in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

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
    """Passes a board on to the watchers, and now and then to the artifact of the flow run.

    The artifact is told in a thread of its own: a server that is away for minutes holds no work up, and ends none.
    """

    def __init__(self, board: ProgressBoard, what: str):
        self._board = board
        self._what = what
        self._artifact: Any = None
        self._telling = self._tell(board.snapshot())

    def update(self, *, at_end: bool = False) -> None:
        """Tell the watchers; the artifact every few seconds, and `at_end`, which is waited for."""
        snapshot = self._board.snapshot()
        for watcher in _watchers:
            watcher(snapshot)
        if at_end:
            self._telling.join()
            self._tell(snapshot).join()
        elif time.monotonic() - self._told > _ARTIFACT_EVERY_S and not self._telling.is_alive():
            self._telling = self._tell(snapshot)

    def _tell(self, snapshot: Snapshot) -> threading.Thread:
        self._told = time.monotonic()
        run = copy_context().run
        thread = threading.Thread(target=run, args=(self._show, snapshot), name="progress artifact", daemon=True)
        thread.start()
        return thread

    def _show(self, snapshot: Snapshot) -> None:
        shown: dict[str, Any] = {"progress": 100 * snapshot.share, "description": self._line(snapshot)}
        try:
            if self._artifact is None:
                self._artifact = create_progress_artifact(key="progress", **shown)
            else:
                update_progress_artifact(self._artifact, **shown)
        except httpx.HTTPError as error:
            get_run_logger().warning("Prefect can't be told how far it is: %s", error)

    def _line(self, snapshot: Snapshot) -> str:
        eta = "" if snapshot.eta_s is None else f", {snapshot.eta_s:.0f} s left"
        done = f"{snapshot.done:,} of {snapshot.total:,} {snapshot.unit}"
        return f"{self._what}: {done}, {snapshot.per_s:,.0f} a second{eta}"

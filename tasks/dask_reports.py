"""What Dask tells of the tasks of a run: to the job's board and ledger, and of its workers to the run's log."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from logging import Logger, LoggerAdapter
from typing import Any, cast

from distributed import Client

from reelmill.cost.ledger import Run, ledger_of
from reelmill.cost.prices import seconds_of
from reelmill.progress import board
from tasks.errand import TOPIC

_SCHEDULERS_TOPIC = "all"


@dataclass
class _Errand:
    """A task as the flow knows it. `at_work` are its ffmpegs, as the runs that they would be if they died now."""

    attempt: str
    worker: str | None = None
    began_s: float | None = None
    at_work: list[Run] = field(default_factory=list[Run])


class Reports:
    """Follows the tasks that are expected. Told in Dask's threads, asked in the flow's."""

    def __init__(self, log: Logger | LoggerAdapter[Logger]):
        self._log = log
        self._changed = threading.Condition()
        self._errands: dict[str, _Errand] = {}
        self._workers: set[str] = set()
        self._began_s = time.monotonic()

    def follow(self, client: Client) -> None:
        """Listen to a scheduler from now on; again, when it was another one meanwhile."""
        client.subscribe_topic(TOPIC, self._take)
        client.subscribe_topic(_SCHEDULERS_TOPIC, self._take_of_workers)
        self._workers = set(cast("dict[str, int]", client.nthreads()))
        self._log.info("Dask workers that are up: %d", len(self._workers))

    def close(self, client: Client) -> None:
        """Listen no more, and note what never said how it ended."""
        client.unsubscribe_topic(TOPIC)
        client.unsubscribe_topic(_SCHEDULERS_TOPIC)
        for key in list(self._errands):
            self.settle(key, 0)

    def expect(self, key: str, attempt: str) -> None:
        """Take the news of a task for an attempt."""
        with self._changed:
            self._errands[key] = _Errand(attempt)

    def began_s(self, key: str) -> float | None:
        """Return when a worker was first heard to be at the task, on the monotonic clock; None while none is."""
        with self._changed:
            errand = self._errands.get(key)
            return errand.began_s if errand else None

    def settle(self, key: str, within_s: float) -> None:
        """Wait until the task is at work no more, and forget it."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._errands or self._errands[key].worker is None, within_s)
            if errand := self._errands.pop(key, None):
                _leave(key, errand)

    def _take(self, event: tuple[float, dict[str, Any]]) -> None:
        told, key = event[1], event[1]["task"]
        with self._changed:
            errand = self._errands.get(key)
            if errand is None:
                return  # of another run
            if errand.worker not in (None, told["worker"]):
                _leave(key, errand)
            if errand.worker != told["worker"]:
                errand.began_s = time.monotonic()
            errand.worker = None if told["left"] else told["worker"]
            errand.at_work = [Run(*each) for each in told["at_work"]]
            for label, count in told["counts"].items():
                board(errand.attempt).report(label, count)
            if ledger := ledger_of(errand.attempt):
                ledger.add(Run(*each) for each in told["ended"])
                ledger.at_work(key, sum(seconds_of(each.cpu_tenths) for each in errand.at_work))
            if told["left"]:
                _leave(key, errand)
                self._changed.notify_all()

    def _take_of_workers(self, event: tuple[float, dict[str, Any]]) -> None:
        told = event[1]
        match told["action"]:
            case "add-worker":
                self._note_worker(told["worker"], came=True)
            case "remove-worker":
                self._note_worker(told["worker"], came=False)
                self._lose(told["worker"])
            case _:
                pass

    def _note_worker(self, worker: str, *, came: bool) -> None:
        (self._workers.add if came else self._workers.discard)(worker)
        self._log.info(
            "Dask worker %s %s after %.1f s; workers: %d",
            worker, "came" if came else "went", time.monotonic() - self._began_s, len(self._workers),
        )  # fmt: skip

    def _lose(self, worker: str) -> None:
        """What was at work on a worker that went has failed; it is begun again elsewhere, or was wanted no more."""
        with self._changed:
            for key, errand in self._errands.items():
                if errand.worker == worker:
                    _leave(key, errand)
                    errand.worker = errand.began_s = None
            self._changed.notify_all()


def _leave(key: str, errand: _Errand) -> None:
    """Note what was at work of a task, and never said that it ended, as failed."""
    if ledger := ledger_of(errand.attempt):
        ledger.leave(key)
        ledger.add(errand.at_work)
    errand.at_work = []

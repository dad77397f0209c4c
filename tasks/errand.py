"""A task on a Dask worker: it tells the flow how far it is and what it costs, and ends when nobody waits for it.

The board, the ledger and the list of running tools of a job are the flow's, in another process. Here a task has its own
under its key, its name in Dask, which it is given for its attempt. Twice a second they are looked at and told.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import astuple
from functools import update_wrapper
from typing import Any

from distributed import Worker, get_worker
from distributed.worker import WORKER_ANY_RUNNING

from reelmill.cost.ledger import Ledger, close_ledger, open_ledger
from reelmill.cost.prices import Prices
from reelmill.media.tool_jobs import cancel_job, cancellation
from reelmill.progress import board, drop_board
from reelmill.transfer.pacing import drop_pacer
from tasks import s3_credentials as s3_credentials

TOPIC = "reelmill"
_EVERY_S = 0.5


def dask_setup(worker: Worker) -> None:
    """Leave ^C, of which a terminal tells every process, to the flow: Dask calls this in a worker of this machine."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed.worker.state_machine").setLevel(logging.ERROR)  # it warns of each task cancelled


class Errand:
    """The function of a task as a worker calls it, with `key` for its attempt. Raises JobCancelled besides."""

    def __init__(self, function: Callable[..., Any], key: str):
        update_wrapper(self, function)
        self._function = function
        self._key = key

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _followed(get_worker(), self._key):
            return self._function(*args, **kwargs)


@contextmanager
def _followed(worker: Worker, key: str) -> Generator[None]:
    ledger, over = Ledger(Prices()), threading.Event()
    news = _News(worker, key, ledger)

    def follow() -> None:
        while not over.wait(_EVERY_S):
            if not _is_wanted(worker, key):
                cancel_job(key)
            news.tell()

    if not _is_wanted(worker, key):
        raise cancellation(key)
    open_ledger(key, ledger)
    follower = threading.Thread(target=follow, name=f"follow {key}", daemon=True)
    try:
        news.tell()
        follower.start()
        yield
    finally:
        over.set()
        if follower.is_alive():
            follower.join()
        news.tell(left=True)
        close_ledger(ledger)
        drop_board(key)
        drop_pacer(key)


def _is_wanted(worker: Worker, key: str) -> bool:
    """Whether the scheduler still wants the task from here: not cancelled, its client alive, the worker not closing."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing" and worker.status in WORKER_ANY_RUNNING


class _News:
    """What a task tells, each run of its ffmpeg once that it has ended."""

    def __init__(self, worker: Worker, key: str, ledger: Ledger):
        self._worker = worker
        self._key = key
        self._ledger = ledger
        self._told = 0

    def tell(self, *, left: bool = False) -> None:
        ended = self._ledger.runs[self._told :]  # first: a run that ends just now is told by the next, and not twice
        self._told += len(ended)
        self._worker.log_event(
            TOPIC,
            {
                "task": self._key, "worker": self._worker.address, "left": left, "counts": board(self._key).counts(),
                "ended": [astuple(each) for each in ended],
                "at_work": [astuple(each) for each in self._ledger.unfinished()],
            },
        )  # fmt: skip

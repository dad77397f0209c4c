"""What workers tell reaches the board and the ledger of the job, once, also what they took before they died."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reelmill.cost.ledger import Ledger, Run, close_ledger, open_ledger
from reelmill.cost.prices import Prices
from reelmill.progress import board, drop_board
from tasks.dask_reports import Reports

ATTEMPT, KEY = "attempt", "encode-1"
ENDED = ["h264", 3, 20, 30, False]
UNFINISHED = ["h264", 4, 7, 9, True]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger(Prices(), budget_nanos=0)
    open_ledger(ATTEMPT, ledger)
    yield ledger
    close_ledger(ledger)
    drop_board(ATTEMPT)


@pytest.fixture
def reports() -> Reports:
    reports = Reports(logging.getLogger("test"))
    reports.expect(KEY, ATTEMPT)
    return reports


def tell(reports: Reports, **what: Any) -> None:
    told = {"task": KEY, "worker": "a", "left": False, "counts": {}, "ended": [], "at_work": []}
    reports._take((0.0, told | what))


def lose(reports: Reports, worker: str) -> None:
    reports._take_of_workers((0.0, {"action": "remove-worker", "worker": worker}))


def test_frames_and_runs_of_a_worker_are_those_of_the_job(reports: Reports, ledger: Ledger):
    tell(reports, counts={"h264 3": 12}, at_work=[["h264", 3, 15, 15, True]])
    assert board(ATTEMPT).counts() == {"h264 3": 12}
    assert ledger.runs == []
    tell(reports, counts={"h264 3": 25}, ended=[ENDED], left=True)
    assert board(ATTEMPT).counts() == {"h264 3": 25}
    reports.settle(KEY, 0)
    assert ledger.runs == [Run("h264", 3, 20, 30, False)]


def test_what_was_at_work_on_a_worker_that_went_has_failed(reports: Reports, ledger: Ledger):
    tell(reports, at_work=[UNFINISHED])
    lose(reports, "b")
    assert ledger.runs == []
    lose(reports, "a")
    assert ledger.runs == [Run("h264", 4, 7, 9, True)]
    tell(reports, worker="b", ended=[ENDED], left=True)
    reports.settle(KEY, 0)
    assert len(ledger.runs) == 2


def test_task_that_another_worker_begins_was_left_by_the_first(reports: Reports, ledger: Ledger):
    tell(reports, at_work=[UNFINISHED])
    tell(reports, worker="b")
    assert ledger.runs == [Run("h264", 4, 7, 9, True)]


def test_news_of_other_runs_is_nobodys(reports: Reports, ledger: Ledger):
    tell(reports, task="encode-2", counts={"h264 3": 12}, ended=[ENDED])
    assert board(ATTEMPT).counts() == {}
    assert ledger.runs == []


@pytest.mark.parametrize("leaves", [tell, lose], ids=["it says so", "its worker goes"])
def test_task_is_waited_for_until_its_worker_has_left_it(leaves: Any, reports: Reports, ledger: Ledger):
    tell(reports)
    how = {"left": True} if leaves is tell else {"worker": "a"}
    later = threading.Timer(0.2, leaves, [reports], how)
    later.start()
    reports.settle(KEY, 10)
    assert not later.is_alive()
    reports.settle(KEY, 10)


def test_task_that_nobody_began_is_not_waited_for(reports: Reports):
    reports.settle(KEY, 60)

"""What holds for an attempt holds for its parts: cancelling, the ledger, the board; and not the other way round."""

from __future__ import annotations

import uuid

import pytest

from reelmill.attempts import lineage, part_of
from reelmill.cost.ledger import Ledger, close_ledger, ledger_of, open_ledger
from reelmill.cost.prices import Prices
from reelmill.errors import JobCancelled
from reelmill.media.tool_jobs import cancel_job, refuse_cancelled
from reelmill.progress import board, drop_board, open_board


@pytest.fixture
def attempt() -> str:
    return uuid.uuid4().hex


def test_lineage_is_the_attempt_and_all_above_it():
    assert list(lineage(part_of(part_of("job", "h264-00003"), "2"))) == ["job/h264-00003/2", "job/h264-00003", "job"]


def test_cancelling_ends_the_parts_and_nothing_beside_or_above(attempt: str):
    first, second = part_of(attempt, "1"), part_of(attempt, "2")
    cancel_job(second, "the first was first")
    refuse_cancelled(attempt)
    refuse_cancelled(first)
    refuse_cancelled(f"{second}0")
    with pytest.raises(JobCancelled, match="the first was first"):
        refuse_cancelled(part_of(second, "more"))
    cancel_job(attempt)
    with pytest.raises(JobCancelled, match=f"job {attempt} was cancelled"):
        refuse_cancelled(first)
    with pytest.raises(JobCancelled, match="the first was first"):
        refuse_cancelled(second)


def test_parts_are_noted_in_the_ledger_of_the_attempt(attempt: str):
    ledger = Ledger(Prices())
    open_ledger(attempt, ledger)
    assert ledger_of(part_of(attempt, "1")) is ledger
    assert ledger_of(f"{attempt}1") is None
    close_ledger(ledger)
    assert ledger_of(part_of(attempt, "1")) is None


def test_parts_share_the_board_unless_they_have_their_own(attempt: str):
    first, second = part_of(attempt, "1"), part_of(attempt, "2")
    whole = board(attempt)
    assert board(first) is whole
    own = open_board(second)
    assert board(part_of(second, "more")) is own is not whole
    drop_board(second)
    assert board(second) is whole
    drop_board(attempt)

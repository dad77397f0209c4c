"""Which failures are tried again: what may pass by itself, and nothing else."""

from __future__ import annotations

import pytest
from prefect import flow, task
from prefect.client.schemas import State
from prefect.states import Crashed, Failed

from reelmill.errors import (
    BudgetExceeded,
    CallbackFailed,
    CatalogFailed,
    ClusterFailed,
    HookFailed,
    InvalidWatermark,
    JobCancelled,
    JobRejected,
    MediaDamaged,
    QualityTooLow,
    ReelmillError,
    SegmentInexact,
    SourceChanged,
    StoreConflict,
    StoreFailed,
    StoreThrottled,
    StoreUnreachable,
    ToolFailed,
    ToolKilled,
    ToolMissing,
    ToolStalled,
    VerifyFailed,
)
from tasks.retrying import RETRY_DELAYS_S, is_worth_retrying

ARGV = ["/usr/bin/ffmpeg", "-i", "x"]
PASSING = [
    ToolFailed(ARGV, 1, "no"), ToolStalled(ARGV, -9, ""), ToolKilled(ARGV, -9, ""), StoreFailed("x"),
    StoreThrottled("x"), StoreUnreachable("x"), CatalogFailed("x"), HookFailed("x"), CallbackFailed("x"),
    ClusterFailed("x"),
]  # fmt: skip
LASTING = [
    QualityTooLow("x"), BudgetExceeded("x"), InvalidWatermark("x"),
    MediaDamaged("x"), SourceChanged("x"), ToolMissing("x"), SegmentInexact("x"), VerifyFailed("x"), JobCancelled("x"),
    JobRejected("x"), StoreConflict("x"), ValueError("x"), MemoryError(), KeyboardInterrupt(),
]  # fmt: skip


def judged(state: State) -> bool:
    return is_worth_retrying(None, None, state)


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_tool_or_store_that_failed_is_tried_again(error: Exception):
    assert judged(Failed(data=error)) is True


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_what_will_not_pass_is_not_tried_again(error: BaseException):
    assert judged(Failed(data=error)) is False
    assert judged(Crashed(data=error)) is False


def test_every_error_is_judged_by_its_kind():
    retried = {each.__name__ for each in ReelmillError.tree() if each.retryable}
    assert retried == {type(each).__name__ for each in PASSING}


@pytest.mark.parametrize(
    ("error", "runs"), [(ToolKilled(ARGV, -9, ""), len(RETRY_DELAYS_S) + 1), (SegmentInexact("x"), 1)]
)
def test_prefect_asks_before_it_tries_again(error: Exception, runs: int, prefect_server: str):
    count = 0

    @task(retries=len(RETRY_DELAYS_S), retry_delay_seconds=0, retry_condition_fn=is_worth_retrying)
    def fail() -> None:
        nonlocal count
        count += 1
        raise error

    @flow
    def run_it() -> None:
        fail()

    with pytest.raises(type(error)):
        run_it()
    assert count == runs

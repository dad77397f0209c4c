"""Which failures are worth another try."""

from __future__ import annotations

from typing import Any

from reelmill.errors import ReelmillError

RETRY_DELAYS_S = [1.0, 4.0, 15.0]


def is_worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """Whether the failure may pass by itself: a tool failed, stalled or was killed; never bad input or a cancel."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, ReelmillError) and error.retryable

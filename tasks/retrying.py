"""Which failures are worth another try."""

from __future__ import annotations

from typing import Any

from reelmill.errors import ReelmillError

RETRY_DELAYS_S = [1.0, 4.0, 15.0]


def is_worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """Whether the failure may pass by itself: a tool failed, stalled or was killed; never bad input or a cancel."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, ReelmillError) and error.retryable


RETRY: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": is_worth_retrying,
}
"""What every task is given that may be tried again."""

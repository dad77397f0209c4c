"""Shows a task that was told to stop as cancelled in Prefect, and not as failed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from prefect.states import Cancelled

from reelmill.errors import JobCancelled

Params = ParamSpec("Params")
Made = TypeVar("Made")


def cancelled_when_told(function: Callable[Params, Made]) -> Callable[Params, Made]:
    """Have the run of a task end as Cancelled when `function` raises JobCancelled, which its future raises as before.

    Prefect takes a state that a task returns for that of its run.
    """

    @wraps(function)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> Made:
        try:
            return function(*args, **kwargs)
        except JobCancelled as error:
            state: Any = Cancelled(message=str(error), data=error)
            return cast("Made", state)

    return run

"""What a flow asks of its own run: a name, and whether its process was killed before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from prefect.runtime import flow_run

_KILLED_RUNS_LOCK_S = 90.0
"""A run that is taken up again, because its process was killed, finds its own lock: it is old enough after this."""


def run_name(verb: str) -> Callable[[], str]:
    """Return what names a run: the verb, and the name of its job's source."""

    def name() -> str:
        job = flow_run.parameters["job"]
        source = job["source"] if isinstance(job, dict) else job.source
        return f"{verb} {PurePosixPath(source).name}"

    return name


def lock_wait_s() -> float:
    """Return how long this run waits for its job's lock, in seconds: not at all when it runs for the first time."""
    return _KILLED_RUNS_LOCK_S if (flow_run.run_count or 0) > 1 else 0.0

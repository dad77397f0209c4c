"""Which tools run for which job, and which jobs were told to stop, in this process."""

from __future__ import annotations

import threading
from typing import Protocol

from reelmill.attempts import lineage
from reelmill.errors import JobCancelled

_lock = threading.RLock()  # reentrant: a signal's handler may cancel a job while its own thread holds it
_running: set[JobTool] = set()
_cancelled: dict[str, str] = {}


class JobTool(Protocol):
    """A tool that runs for a job; `kill` may be called until `leave_job` returns."""

    job_key: str
    cancelled: bool

    def kill(self) -> None: ...


def enter_job(tool: JobTool) -> None:
    """Let `cancel_job` know the tool, before it is started; JobCancelled when it must not start any more."""
    with _lock:
        refuse_cancelled(tool.job_key)
        _running.add(tool)


def leave_job(tool: JobTool) -> None:
    """Take the tool back from `cancel_job`, which won't kill it after this."""
    with _lock:
        _running.discard(tool)


def cancel_job(job_key: str, why: str | None = None) -> None:
    """Kill every running tool of the job and its parts; from now on `run_tool` raises JobCancelled, saying `why`."""
    with _lock:
        _cancelled[job_key] = why or f"job {job_key} was cancelled"
        for tool in _running:
            if job_key in lineage(tool.job_key):
                tool.cancelled = True
                tool.kill()


def refuse_cancelled(job_key: str) -> None:
    """Raise JobCancelled when the job, or what it is a part of, was cancelled in this process."""
    if any(each in _cancelled for each in lineage(job_key)):
        raise cancellation(job_key)


def cancellation(job_key: str) -> JobCancelled:
    """Return the error that says why the job, or what it is a part of, was cancelled."""
    whys = (_cancelled[each] for each in lineage(job_key) if each in _cancelled)
    return JobCancelled(next(whys, f"job {job_key} was cancelled"))

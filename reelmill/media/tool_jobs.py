"""Which tools run for which job, and which jobs were told to stop, in this process."""

from __future__ import annotations

import threading
from typing import Protocol

from reelmill.errors import JobCancelled

_lock = threading.RLock()  # reentrant: a signal's handler may cancel a job while its own thread holds it
_running: set[JobTool] = set()
_cancelled: set[str] = set()


class JobTool(Protocol):
    """A tool that runs for a job; `kill` may be called until `leave_job` returns."""

    job_key: str
    cancelled: bool

    def kill(self) -> None: ...


def enter_job(tool: JobTool) -> None:
    """Let `cancel_job` know the tool, before it is started; JobCancelled when it must not start any more."""
    with _lock:
        if tool.job_key in _cancelled:
            raise cancellation(tool.job_key)
        _running.add(tool)


def leave_job(tool: JobTool) -> None:
    """Take the tool back from `cancel_job`, which won't kill it after this."""
    with _lock:
        _running.discard(tool)


def cancel_job(job_key: str) -> None:
    """Kill every running tool of the job; from now on `run_tool` raises JobCancelled for it."""
    with _lock:
        _cancelled.add(job_key)
        for tool in _running:
            if tool.job_key == job_key:
                tool.cancelled = True
                tool.kill()


def refuse_cancelled(job_key: str) -> None:
    """Raise JobCancelled when the job was cancelled in this process."""
    if job_key in _cancelled:
        raise cancellation(job_key)


def cancellation(job_key: str) -> JobCancelled:
    return JobCancelled(f"job {job_key} was cancelled")

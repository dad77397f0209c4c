"""Runs ffmpeg the way every step of a job does: by this machine's settings, as part of an attempt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from reelmill.cost.ledger import noted
from reelmill.media.tool import Progress, ToolRun, run_tool
from reelmill.settings import settings

_ADDRESS = re.compile(r" @ 0x[0-9a-f]+|\[error\] ")


def run_ffmpeg(
    argv: Sequence[str],
    *,
    attempt: str,
    work: str | Mapping[str, float],
    segment: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    capture_stdout: bool = False,
) -> ToolRun:
    """Run it to its end; see `run_tool`. An attempt that was cancelled runs nothing any more.

    What it took, also when it failed, is noted in the attempt's ledger under `work` and `segment`; see `Ledger.note`.
    """
    limits = settings()
    with noted(attempt, work, segment) as note:
        return run_tool(
            argv, job_key=attempt, stall_timeout_s=limits.stall_timeout_s, niceness=limits.niceness,
            on_progress=on_progress, capture_stdout=capture_stdout, on_cpu=note.at_work, on_end=note.ended,
        )  # fmt: skip


def without_addresses(messages: tuple[str, ...]) -> tuple[str, ...]:
    """Return ffmpeg's messages without what differs from run to run, and without the level, which is known."""
    return tuple(_ADDRESS.sub("", message) for message in messages)

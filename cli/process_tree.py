"""All processes that descend from this one, also those whose own parent is gone. Linux only: elsewhere none."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Set
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on be the parent of every descendant whose own parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(*, spare: Set[int] = frozenset(), within_s: float) -> bool:
    """Kill every descendant until none is left, and wait for it; false when some won't go.

    The children `spare`, and all below them, are left alone: also what they start meanwhile.
    """
    give_up = time.monotonic() + within_s
    while left := _descendants(spare):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap(spare)
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


def reap(spare: Set[int]) -> None:
    """Take the exit codes of children that ended and that nobody waits for: all but `spare`."""
    for pid in [pid for pid, parent in _parents().items() if parent == os.getpid() and pid not in spare]:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _descendants(spare: Set[int]) -> set[int]:
    parents = _parents()
    found, look = set[int](), {os.getpid()}
    while look := {pid for pid, parent in parents.items() if parent in look} - found - spare:
        found |= look
    return found


def _parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name of the program, in brackets, may hold anything.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return parents

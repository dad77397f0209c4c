"""Tells a stalled process from a slow one."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

_LOOK_S = 0.1
_BUSY_SHARE = 0.01
_BUSY_WINDOWS = 20


class Watch:
    """Watches one process from its start.

    It has stalled when for `timeout_s` it neither advanced, by what it prints, nor used 1 % of that time in CPU. The
    CPU is what spares a decoder on its way to the first frame of a segment. A decoder in an endless loop looks alike,
    so CPU alone counts for 20 timeouts in a row and no more. Only the process itself is measured, not a wrapper's
    children; where there is no /proc, nothing is.
    """

    def __init__(self, pid: int, timeout_s: float):
        self.peak_rss_bytes = 0
        self.cpu_s = 0.0
        self._pid = pid
        self._timeout_s = timeout_s
        self._look_at = 0.0
        self._advanced = False
        self._open_window(busy_windows=0)

    def has_stalled(self, advanced: bool) -> bool:
        """Take note of whether the process advanced since the last call, and judge."""
        self._advanced = self._advanced or advanced
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_S
        self.cpu_s = _cpu_s(self._pid)
        self.peak_rss_bytes = max(self.peak_rss_bytes, _peak_rss_bytes(self._pid))
        if self._advanced:
            self._open_window(busy_windows=0)
        elif time.monotonic() - self._since > self._timeout_s:
            busy = self.cpu_s - self._cpu_s_then > _BUSY_SHARE * self._timeout_s
            if not busy or self._busy_windows == _BUSY_WINDOWS:
                return True
            self._open_window(self._busy_windows + 1)
        return False

    def _open_window(self, busy_windows: int) -> None:
        self._advanced = False
        self._busy_windows = busy_windows
        self._since = time.monotonic()
        self._cpu_s_then = _cpu_s(self._pid)


def _cpu_s(pid: int) -> float:
    """User + system time of a process with its threads: proc(5), stat, fields 14 and 15."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_rss_bytes(pid: int) -> int:
    try:
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(peak[1]) * 1024 if peak else 0

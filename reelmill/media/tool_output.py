"""What a running tool prints, read as it comes: ffmpeg's progress reports, its complaints, or plain bytes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from reelmill.errors import one_line

_Number = TypeVar("_Number", int, float)
_TAIL_LINES, _LINE_BYTES, _MESSAGES_KEPT = 20, 500, 50
_ERROR_LINE = re.compile(r"(?:\[[^\[\]]+ @ [^\[\]]+\] )*\[(?:error|fatal|panic)\] ")


@dataclass(frozen=True)
class Progress:
    """One progress report of ffmpeg. `out_time_us` and `speed` are None while ffmpeg says N/A."""

    frames: int
    out_time_us: int | None
    speed: float | None


class ToolOutput:
    """Everything one run printed, in bounded memory but for a captured stdout.

    `tail` is the last 20 lines of stderr; `messages` the first 50 of them at level error or worse (of an ffmpeg run
    with `-loglevel level+...`), `message_count` counts them all. Lines are cut at 500 bytes.
    """

    def __init__(self, on_progress: Callable[[Progress], None] | None, capture_stdout: bool):
        self.stdout = bytearray()
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.messages: list[str] = []
        self.message_count = 0
        self._on_progress = on_progress
        self._capture_stdout = capture_stdout
        self._stdout_lines, self._stderr_lines = _Lines(), _Lines()
        self._report = dict.fromkeys(("frame", "out_time_us", "total_size", "speed"), "N/A")
        self._position: tuple[str, ...] = ()

    def take_stdout(self, printed: bytes) -> bool:
        """Return whether this says that the tool got on."""
        if self._capture_stdout:
            self.stdout += printed
            return True
        advanced = False
        for line in self._stdout_lines.take(printed):
            key, _, value = line.partition("=")
            if key in self._report:
                self._report[key] = value.strip()
            elif key == "progress":  # the last line of a report
                advanced = self._take_report() or advanced
        return advanced

    def take_stderr(self, printed: bytes) -> bool:
        """Return whether this says that the tool got on: not where there are progress reports to go by."""
        for line in self._stderr_lines.take(printed):
            self.tail.append(line)
            if _ERROR_LINE.match(line):
                self.message_count += 1
                if len(self.messages) < _MESSAGES_KEPT:
                    self.messages.append(line)
        return self._capture_stdout

    def _take_report(self) -> bool:
        frame, out_time_us, total_size, factor = self._report.values()
        before, self._position = self._position, (frame, out_time_us, total_size)
        if self._on_progress:
            speed = _number(float, factor.removesuffix("x"))
            self._on_progress(Progress(_number(int, frame) or 0, _number(int, out_time_us), speed))
        return self._position != before


class _Lines:
    """Cuts bytes into lines of text without control characters; blank lines and the end of long ones are dropped."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, printed: bytes) -> list[str]:
        *whole, rest = (self._rest + printed).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[:_LINE_BYTES]
        lines = (one_line(line[:_LINE_BYTES].decode(errors="replace")) for line in whole)
        return [line for line in lines if line]


def _number(kind: Callable[[str], _Number], text: str) -> _Number | None:
    try:
        return kind(text)
    except ValueError:
        return None

"""Whole jobs under test: a small clip, an ffmpeg whose every call is written down, and what is alive or was opened."""

from __future__ import annotations

import ctypes
import os
import shlex
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from reelmill.settings import settings
from tests.ffmpeg_tool import FFMPEG, run_ffmpeg

FRAME_RATE = 25
_SMALL = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -c:a aac -b:a 64k -f mp4"
_IN_OPEN = 0x20


def make_clip(path: Path, *, seconds: int = 12, size: str = "320x180") -> Path:
    """Write a test picture at 25 frames a second, with a keyframe every second, beside a tone in AAC; return `path`."""
    run_ffmpeg(
        "-f", "lavfi", "-t", str(seconds), "-i", f"testsrc2=size={size}:rate={FRAME_RATE}",
        "-f", "lavfi", "-t", str(seconds), "-i", "sine=frequency=440:sample_rate=48000",
        *_SMALL.split(), f"file:{path}",
    )  # fmt: skip
    return path


class LoggedTool:
    """An ffmpeg that writes down the argv of each of its runs before it becomes the real one."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "ffmpeg"
        self._log = folder / "calls"
        self._log.touch()
        self._write("")

    def _write(self, before: str) -> None:
        note = f'printf "%s\\n" "$*" >> {shlex.quote(str(self._log))}'
        self.path.write_text(f'#!/bin/sh\n{note}\n{before}exec {shlex.quote(FFMPEG)} "$@"\n')
        self.path.chmod(0o755)

    def kill_once(self, mark: str) -> None:
        """Have the first run with `mark` in its argv die by kill -9; later ones are left alone."""
        flag = shlex.quote(f"{self.path}.killed")
        self._write(
            f'case "$*" in *{shlex.quote(mark)}*) [ -e {flag} ] || {{ : > {flag}; kill -9 $$; }};; esac\n',
        )

    def hang_once(self, mark: str) -> None:
        """Have the first run with `mark` in its argv never begin; later ones are left alone."""
        flag = shlex.quote(f"{self.path}.hanging")
        self._write(f'case "$*" in *{shlex.quote(mark)}*) ! mkdir {flag} 2>/dev/null || sleep 600;; esac\n')

    def wait_before(self, seconds: float) -> None:
        """Have every run wait so long before it begins."""
        self._write(f"sleep {seconds}\n")

    @contextmanager
    def holding(self) -> Iterator[Callable[[], None]]:
        """Have every run that encodes video wait until the function that this gives is called, or the block ends."""
        go = self.path.with_name("go")
        self._write(f'case "$*" in *" -c:v lib"*) while [ ! -e {shlex.quote(str(go))} ]; do sleep 0.05; done;; esac\n')
        try:
            yield go.touch
        finally:
            go.touch()

    def calls(self) -> list[str]:
        return self._log.read_text().splitlines()

    def encodes(self) -> list[str]:
        """The runs that encoded video."""
        return [call for call in self.calls() if " -c:v lib" in call]

    def tracks(self) -> list[str]:
        """The runs that encoded audio."""
        return [call for call in self.calls() if " -c:a " in call and " -c:v " not in call]

    def forget(self) -> None:
        self._log.write_text("")


def use_tool(tool: LoggedTool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process, and those it starts, run `tool` for ffmpeg."""
    monkeypatch.setenv("REELMILL_FFMPEG", str(tool.path))
    settings.cache_clear()


def alive_with(mark: str | Path) -> list[str]:
    """Return the command lines of the processes, other than Python, that have `mark` in their argv."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            argv = process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if argv and "python" not in Path(argv[0]).name and any(str(mark) in word for word in argv):
            found.append(" ".join(argv))
    return found


def files_below(folder: Path) -> list[str]:
    """Return everything below `folder` but folders, by relative path."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if not each.is_dir())


def wait_until(condition: Callable[[], object], within_s: float = 10, what: str = "it") -> None:
    """Wait until it is true. Looking takes a fifth of the time at most: what is waited for needs the cores."""
    began = looked = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now - began < within_s, f"waited {within_s} s for {what} in vain"
        time.sleep(max(0.02, 4 * (now - looked)))
        looked = time.monotonic()


@contextmanager
def noted_opens(paths: list[Path]) -> Iterator[list[Path]]:
    """Note which of `paths` any process opens while the block runs (inotify(7)); read the list after it."""
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    opened: list[Path] = []
    try:
        watched = {libc.inotify_add_watch(queue, os.fsencode(path), _IN_OPEN): path for path in paths}
        assert min(watched, default=0) >= 0, os.strerror(ctypes.get_errno())
        yield opened
        try:
            events = os.read(queue, 1 << 16)
        except BlockingIOError:
            return
        while events:
            watch, _, _, length = struct.unpack_from("iIII", events)
            opened.append(watched[watch])
            events = events[16 + length :]
    finally:
        os.close(queue)

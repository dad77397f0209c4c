"""The one door to other processes: starts a tool, follows it to its end, and leaves nothing of it running.

A tool gets an argv list and never a shell, no stdin, a process group of its own (so a terminal's ^C reaches only us),
and an environment without this application's settings and credentials. However its wait ends, the group is killed.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg

from reelmill.errors import ToolFailed, ToolKilled, ToolMissing, ToolStalled, one_line
from reelmill.media.tool_jobs import cancel_job as cancel_job
from reelmill.media.tool_jobs import cancellation, enter_job, leave_job
from reelmill.media.tool_jobs import refuse_cancelled as refuse_cancelled
from reelmill.media.tool_output import Progress, ToolOutput
from reelmill.media.tool_starter import ask_starter, dies_with_starter
from reelmill.media.tool_watch import Watch
from reelmill.settings import settings

_OLDEST_MAJOR = 6
_TURN_S = 0.25
_NO_FONTS = Path(__file__).with_name("no_fonts.conf")
"""A configuration for fontconfig that knows no font: texts are drawn in those that are named, whatever there is."""
_NOT_PASSED_ON = ("AWS_", "PREFECT_", "REELMILL_", "FFREPORT", "AV_LOG_FORCE_", "http_proxy", "all_proxy")


@dataclass(frozen=True)
class ToolRun:
    """What one finished run took, and what it had to say (see ToolOutput).

    `cpu_s` is user + system time by wait4. `max_rss_bytes` is the peak seen up to half a second before the end, 0
    where there is no /proc; the peak by wait4 would start at the size of this process.
    """

    wall_s: float
    cpu_s: float
    max_rss_bytes: int
    messages: tuple[str, ...]
    message_count: int
    stdout: bytes


def run_tool(
    argv: Sequence[str],
    *,
    job_key: str,
    stall_timeout_s: float,
    on_progress: Callable[[Progress], None] | None = None,
    capture_stdout: bool = False,
    niceness: int = 0,
    max_file_bytes: int | None = None,
    cwd: Path | None = None,
    on_cpu: Callable[[float], None] | None = None,
    on_end: Callable[[float, float], None] | None = None,
) -> ToolRun:
    """Run a tool to its end and return what it took.

    Stdout is captured whole, in memory, or else read as `-progress pipe:1`, each report going to `on_progress` in this
    thread. A tool advances when its frames, time or bytes written change (with `capture_stdout`: when it prints); see
    Watch for when it has stalled. `niceness` is absolute, 0 for ours; `max_file_bytes` bounds each file (Linux only).

    An exception delivered to this thread (Prefect's timeout, ^C) ends the tool within a quarter of a second. On Linux
    the tool is killed with this process, kill -9 included. `on_cpu` is told the CPU seconds so far, several times a
    second where there is /proc; `on_end`, however it ended, the CPU seconds and the seconds that it took.
    Raises ToolMissing, ToolFailed, ToolStalled, ToolKilled, or JobCancelled once `cancel_job` was called.
    """
    child = _Child(argv, job_key, cwd)
    output = ToolOutput(on_progress, capture_stdout)
    started = time.monotonic()
    try:
        child.start()
        child.restrain(niceness, max_file_bytes)
        watch = Watch(child.pid, stall_timeout_s)
        stalled = _follow(child, output, watch, on_cpu)
    finally:
        child.end()
        wall_s = time.monotonic() - started
        if on_end is not None:
            on_end(child.cpu_s, wall_s)
    if child.cancelled:
        raise cancellation(job_key)
    if stalled or child.returncode:
        error = ToolStalled if stalled else ToolKilled if child.returncode < 0 else ToolFailed
        raise error(child.argv, child.returncode, "\n".join(output.tail))
    messages = tuple(output.messages)
    return ToolRun(wall_s, child.cpu_s, watch.peak_rss_bytes, messages, output.message_count, bytes(output.stdout))


def ffmpeg_path() -> str:
    """Return the absolute path of the ffmpeg to run: the setting's, else the one of the lock file."""
    try:
        wanted = str(settings().ffmpeg or imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise ToolMissing(one_line(str(error))) from error
    found = shutil.which(wanted)
    if found is None:
        raise ToolMissing(f"there is no executable ffmpeg at {wanted}")
    return str(Path(found).absolute())


def ffmpeg_version() -> str:
    """Return the version ffmpeg gives itself; ToolMissing when it is a release older than 6.0."""
    return _version_of(ffmpeg_path())


@lru_cache(maxsize=8)
def _version_of(path: str) -> str:
    timeout_s = settings().probe_timeout_s
    run = run_tool([path, "-version"], job_key="ffmpeg -version", stall_timeout_s=timeout_s, capture_stdout=True)
    first_line = one_line(run.stdout.decode(errors="replace").partition("\n")[0])
    version = re.match(r"ffmpeg version (\S+)", first_line)
    if version is None:
        raise ToolMissing(f"{path} is not ffmpeg: it calls itself {first_line[:100]!r}")
    release = re.match(r"n?(\d+)\.", version[1])  # or a snapshot, such as N-123-gabcdef or git-2026-01-31
    if release and int(release[1]) < _OLDEST_MAJOR:
        raise ToolMissing(f"{path} is ffmpeg {version[1]}, the oldest that works is {_OLDEST_MAJOR}.0")
    return version[1]


def _follow(child: _Child, output: ToolOutput, watch: Watch, on_cpu: Callable[[float], None] | None) -> bool:
    """Read what the child prints until it has ended, was cancelled (False) or has stalled (True)."""
    with selectors.DefaultSelector() as selector:
        for pipe, take in ((child.stdout, output.take_stdout), (child.stderr, output.take_stderr)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, take)
        while not child.cancelled:
            if ended := child.has_ended():  # asked before reading: all that it printed is in the pipes by now
                child.kill()  # what it left running may go on printing
            ready = selector.select(0 if ended else _TURN_S if selector.get_map() else 0.01)
            advanced = False
            for key, _ in ready:
                if printed := os.read(key.fd, 1 << 16):
                    advanced = key.data(printed) or advanced
                else:
                    selector.unregister(key.fileobj)
            if ended and not ready:
                output.take_stderr(b"\n")  # a last line without its end
                return False
            if not ended and watch.has_stalled(advanced):
                return True
            if on_cpu is not None:
                on_cpu(watch.cpu_s)
    return False


def _environment() -> dict[str, str]:
    passed_on = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    return {**passed_on, "FONTCONFIG_FILE": str(_NO_FONTS)}


class _Child(subprocess.Popen[bytes]):
    """A tool's process. Made before it is started, so that `end` knows it whatever interrupts the start."""

    def __init__(self, argv: Sequence[str], job_key: str, cwd: Path | None):
        self.argv = list(argv)
        self.job_key = job_key
        self.cancelled = False
        self.cpu_s = 0.0
        self._cwd = cwd
        self._unwanted = self._settled = self._started = False
        self._error: BaseException | None = None

    def start(self) -> None:
        enter_job(self)
        self._settle()
        if self._error:
            raise self._error

    def _settle(self) -> None:
        """Come back when there is a process or won't be one. However often it is asked for, it is started once."""
        if not self._settled:
            ask_starter(self._start)
        while not self._settled:
            time.sleep(0.001)  # and no lock, which might stay held when this is interrupted

    def _start(self) -> None:
        try:
            if not self._settled and not self._unwanted:
                super().__init__(
                    self.argv,
                    bufsize=0,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self._cwd,
                    env=_environment(),
                    process_group=0,
                    preexec_fn=dies_with_starter(),
                )
                self._started = True
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | PermissionError) or error.errno == errno.ENOEXEC
            if missing and error.filename == self.argv[0]:
                self._error = ToolMissing(f"{self.argv[0]} can't be run: {error.strerror}")
            else:  # say, out of memory or processes: may be tried again
                self._error = ToolFailed(self.argv, 126, str(error))
        except BaseException as error:
            self._error = error
        self._settled = True

    def restrain(self, niceness: int, max_file_bytes: int | None) -> None:
        """Done from here: code between fork and exec may not wait for anything."""
        with suppress(ProcessLookupError, PermissionError):
            if niceness:
                os.setpriority(os.PRIO_PGRP, self.pid, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))
        with suppress(ProcessLookupError):
            if max_file_bytes is not None and sys.platform == "linux":
                hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)[1]
                limit = max_file_bytes if hard == resource.RLIM_INFINITY else min(max_file_bytes, hard)
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, limit))

    def has_ended(self) -> bool:
        """On Linux an ended process stays a zombie until `end`, so that its number can't become another's."""
        if sys.platform == "linux":
            with suppress(ChildProcessError):
                return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self._reap()

    def kill(self) -> None:
        """Kill the whole group, unless the process was not started or is gone."""
        if self._started and self.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill what is left, wait until the process is gone, and close the pipes."""
        self._unwanted = True
        self._settle()
        self.kill()
        leave_job(self)  # before its number is free: nobody may kill by it after that
        if self._started:
            while not self._reap():
                time.sleep(0.002)
            for pipe in filter(None, (self.stdout, self.stderr)):
                pipe.close()

    def _reap(self) -> bool:
        if self.returncode is None:
            status = 255 << 8  # a failure, should somebody else have taken the status
            with suppress(ChildProcessError):
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                if pid == 0:
                    return False
                self.cpu_s = usage.ru_utime + usage.ru_stime
            self.returncode = os.waitstatus_to_exitcode(status)
        return True

"""The one thread that starts processes.

An exception delivered to a thread while it forks is lost, may leave a process nobody knows, and in the hooks that run
around a fork may leave the lock of `logging` held for good. Nothing delivers exceptions to this thread. It lives as
long as the process, so that what dies with it dies with the process, whichever thread asked for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

_PR_SET_PDEATHSIG = 1
if sys.platform == "linux":
    _prctl = ctypes.PyDLL(None).prctl  # PyDLL: the interpreter's lock is not let go between fork and exec
    _prctl.argtypes = (ctypes.c_int, ctypes.c_ulong)

_asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
_lock = threading.RLock()
_thread: threading.Thread | None = None


def ask_starter(start: Callable[[], None]) -> None:
    """Have `start`, which must not raise, called soon in the starter's thread."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():  # it is not, in a fork of this process
            _thread = threading.Thread(target=_serve, name="tool-starter", daemon=True)
            _thread.start()
    _asked.put(start)


def dies_with_starter() -> Callable[[], None] | None:
    """Return what a child calls between fork and exec, to be killed when the calling thread ends; None if not Linux."""
    return partial(_die_with_thread_of, os.getpid()) if sys.platform == "linux" else None


def _serve() -> None:
    while True:
        _asked.get()()


def _die_with_thread_of(parent: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be asked for
        os._exit(255)

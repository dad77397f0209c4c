"""Holds bytes back to a rate that many threads share."""

from __future__ import annotations

import threading
import time

_BURST_S = 0.25
_BLOCK_S = 1.0
_LEAST_BLOCK = 4 << 10
_LEAST_OF_STREAM = 64 << 10


def streams_at(bytes_per_s: int | None, streams: int) -> int:
    """Return how many streams to have: fewer where each would pass less than 64 KiB a second.

    A server ends a request whose next bytes don't come for long: so none waits for more than some four seconds.
    """
    return streams if bytes_per_s is None else min(streams, max(bytes_per_s // _LEAST_OF_STREAM, 1))


class Pacer:
    """A bucket of bytes that fills at `bytes_per_s`; who takes more than is in it waits. None lets everything pass.

    What is over after a quarter of a second of rest is lost, so that no burst makes up for it.
    """

    def __init__(self, bytes_per_s: float | None):
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    @property
    def block_bytes(self) -> int | None:
        """How many bytes to take at most at once: what passes in a second."""
        return None if self._bytes_per_s is None else max(int(self._bytes_per_s * _BLOCK_S), _LEAST_BLOCK)

    def take(self, size_bytes: int) -> float:
        """Return how many seconds to wait before these bytes may pass."""
        if self._bytes_per_s is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - _BURST_S) + size_bytes / self._bytes_per_s
            return max(self._free_at - now, 0.0)


_pacers: dict[str, Pacer] = {}
_lock = threading.Lock()


def pacer(attempt: str, bytes_per_s: float | None) -> Pacer:
    """Return the pacer that all threads of an attempt share in this process."""
    with _lock:
        return _pacers.setdefault(attempt, Pacer(bytes_per_s))


def drop_pacer(attempt: str) -> None:
    with _lock:
        _pacers.pop(attempt, None)

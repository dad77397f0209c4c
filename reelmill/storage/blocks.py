"""Reads a pinned object block by block, many at once, and keeps on this machine's disk what it has read."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

BLOCK_BYTES = 1 << 20
READ_AHEAD_BLOCKS = 4

ReadRange = Callable[[int, int], bytes]
"""Returns the bytes of the half-open range, all of them, or raises."""


class BlockReader:
    """Blocks of one object. A block is read once, whoever asks for it and how many at a time, while it is kept.

    The file that keeps them has no name, so that it goes with this process. `bytes_read` counts what was read of the
    object, and `failures` are the errors of its store.
    """

    def __init__(self, read: ReadRange, size_bytes: int, *, folder: Path, keep_bytes: int, streams: int):
        self.size_bytes = size_bytes
        self.bytes_read = 0
        self.failures: list[Exception] = []
        self._read = read
        self._free = list(range(max(-(-keep_bytes // BLOCK_BYTES), 2 * (READ_AHEAD_BLOCKS + streams))))
        folder.mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._kept: OrderedDict[int, int] = OrderedDict()
        self._coming: dict[int, Future[bytes]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(streams, thread_name_prefix="blocks")

    @property
    def blocks(self) -> int:
        return -(-self.size_bytes // BLOCK_BYTES)

    def block(self, number: int, *, ahead: int = 0) -> bytes:
        """Return a block, and begin to read the `ahead` next ones."""
        for later in range(number + 1, min(number + 1 + ahead, self.blocks)):
            self._ask(later)
        found = self._ask(number)
        return found if isinstance(found, bytes) else found.result()

    def _ask(self, number: int) -> bytes | Future[bytes]:
        with self._lock:
            slot = self._kept.get(number)
            if slot is not None:
                self._kept.move_to_end(number)
                length = min(BLOCK_BYTES, self.size_bytes - number * BLOCK_BYTES)
                return os.pread(self._file.fileno(), length, slot * BLOCK_BYTES)
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._fetch, number)
            return self._coming[number]

    def _fetch(self, number: int) -> bytes:
        start = number * BLOCK_BYTES
        try:
            content = self._read(start, min(start + BLOCK_BYTES, self.size_bytes))
        except Exception as error:
            with self._lock:
                self.failures.append(error)
                self._coming.pop(number, None)
            raise
        with self._lock:
            self.bytes_read += len(content)
            slot = self._free.pop() if self._free else self._kept.popitem(last=False)[1]
            written = 0
            with suppress(OSError):  # a full disk: what can't be kept is read again
                written = os.pwrite(self._file.fileno(), content, slot * BLOCK_BYTES)
            if written == len(content):
                self._kept[number] = slot
            else:
                self._free.append(slot)
            self._coming.pop(number, None)
        return content

    def close(self) -> None:
        """Stop reading and give back the room on the disk."""
        self._pool.shutdown(cancel_futures=True)
        self._file.close()

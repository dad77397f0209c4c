"""A TCP line to a server of this machine: it counts what comes back by it, and has the round trip it is given.

    python -m bench.counted_line PORT ROUND_TRIP_S

prints its own port, then for every line on stdin its counts as JSON, until stdin ends. It is a process of its own, so
that what it takes of a core is not taken from whom it serves.
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

_READ_BYTES = 64 << 10
_BUFFER_BYTES = 256 << 10
"""What one connection may have between its two sockets. Linux would let it grow to megabytes, which the server sends
for nothing whenever a reader hangs up."""
_FIRST_WINDOW_BYTES, _WINDOW_BYTES = 14_600, 4 << 20
"""What may be under way on a long line, of a new connection and at most: it doubles with every round trip."""
_TURN_S = 0.0005
_QUIET_S = 0.15


class Traffic(NamedTuple):
    """Bytes that came back from the server, requests and connections made."""

    received_bytes: int
    requests: int
    connections: int

    def since(self, before: Traffic) -> Traffic:
        return Traffic(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass(frozen=True)
class Line:
    """A running line. `address` stands for that of the server."""

    address: str
    round_trip_s: float
    _process: subprocess.Popen[str] = field(repr=False)

    def settled(self) -> Traffic:
        """Return the traffic when nothing goes by the line any more: what was asked for too much has come too."""
        last = self.traffic()
        while True:
            time.sleep(_QUIET_S + 2 * self.round_trip_s)
            now = self.traffic()
            if now == last:
                return now
            last = now

    def traffic(self) -> Traffic:
        """Return what went by the line so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Traffic(*json.loads(self._process.stdout.readline()))


@contextmanager
def counted_line(port: int, round_trip_s: float) -> Generator[Line]:
    """Run a line to `port` of 127.0.0.1 while the block runs."""
    command = [sys.executable, "-m", "bench.counted_line", str(port), str(round_trip_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Line(f"http://127.0.0.1:{int(process.stdout.readline())}", round_trip_s, process)
        finally:
            process.stdin.close()
            process.kill()


class _Counts:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0, 0, 0]

    def connect(self) -> None:
        with self._lock:
            self._counts[2] += 1

    def see(self, content: bytes, is_answer: bool) -> None:
        with self._lock:
            if is_answer:
                self._counts[0] += len(content)
            else:
                self._counts[1] += content.startswith((b"GET ", b"HEAD "))

    def __str__(self) -> str:
        with self._lock:
            return json.dumps(self._counts)


def main(arguments: Sequence[str]) -> None:
    """Run a line until stdin ends."""
    port, round_trip_s, counts = int(arguments[0]), float(arguments[1]), _Counts()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)  # connections inherit it
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, port, round_trip_s, counts), daemon=True).start()
    for _ in sys.stdin:
        print(counts, flush=True)


def _accept(listener: socket.socket, port: int, round_trip_s: float, counts: _Counts) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        far.connect(("127.0.0.1", port))
        counts.connect()
        for source, sink, is_answer in ((near, far, False), (far, near, True)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            way = _LongWay(source, sink, round_trip_s).carry if round_trip_s else partial(_carry, source, sink)
            threading.Thread(target=way, args=(counts, is_answer), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, counts: _Counts, is_answer: bool) -> None:
    """Pass on one direction of a connection at once."""
    with suppress(OSError):
        while content := source.recv(_READ_BYTES):
            counts.see(content, is_answer)
            sink.sendall(content)
    _hang_up(sink)


class _LongWay:
    """One direction of a connection, half a round trip long, with the slow start of TCP (RFC 6928, RFC 5681).

    To connect takes a round trip more, once.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, round_trip_s: float):
        self._source, self._sink, self._half_s = source, sink, round_trip_s / 2
        self._under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self._told: deque[tuple[float, int]] = deque()
        """When it becomes known here that so many bytes have arrived."""
        self._unknown_bytes, self._window_bytes = 0, _FIRST_WINDOW_BYTES
        self._gone = False

    def carry(self, counts: _Counts, is_answer: bool) -> None:
        threading.Thread(target=self._arrive, daemon=True).start()
        ready_at = 0.0 if is_answer else time.monotonic() + 2 * self._half_s
        with suppress(OSError):
            while content := self._source.recv(self._room()):
                counts.see(content, is_answer)
                self._unknown_bytes += len(content)
                self._under_way.put((max(ready_at, time.monotonic()) + self._half_s, content))
        self._under_way.put((time.monotonic() + self._half_s, b""))

    def _room(self) -> int:
        """Wait until more may be sent, and return how many bytes."""
        while True:
            while self._told and self._told[0][0] <= time.monotonic():
                arrived = self._told.popleft()[1]
                self._unknown_bytes -= arrived
                self._window_bytes = min(self._window_bytes + arrived, _WINDOW_BYTES)
            if self._gone:
                raise ConnectionError
            if room := max(0, self._window_bytes - self._unknown_bytes):
                return min(room, _READ_BYTES)
            time.sleep(_TURN_S)

    def _arrive(self) -> None:
        while True:
            due, content = self._under_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not content:
                    break
                self._sink.sendall(content)
            except OSError:
                self._gone = True
                break
            self._told.append((time.monotonic() + self._half_s, len(content)))
        _hang_up(self._sink)


def _hang_up(sink: socket.socket) -> None:
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(sys.argv[1:])

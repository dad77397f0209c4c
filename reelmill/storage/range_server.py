"""Serves pinned objects to the tools of this machine, by HTTP on the loopback interface: read by range, no credentials.

ffmpeg seeks as it likes and knows nothing of S3. What it asks for is read from the store in blocks, pinned to one
version of the object, tried again where it fails, and kept. An address can't be guessed, and ends with its use.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from reelmill.storage.blocks import BLOCK_BYTES, READ_AHEAD_BLOCKS, BlockReader

_SEND_BUFFER_BYTES = 256 << 10
"""What a connection may have under way when its reader loses interest: it was read for nothing."""
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served: dict[str, BlockReader] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that hangs up is no error; what fails in a store is kept by the BlockReader."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        super().setup()

    def do_HEAD(self) -> None:  # the name is http.server's
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        blocks = cast(_Server, self.server).served.get(self.path.removeprefix("/"))
        wanted = self.headers.get("Range")
        match = _RANGE.fullmatch(wanted) if wanted else None
        if blocks is None or (wanted and match is None):
            self.send_error(HTTPStatus.NOT_FOUND if blocks is None else HTTPStatus.BAD_REQUEST)
            return
        size = blocks.size_bytes
        start = int(match[1]) if match else 0
        end = min(int(match[2]) + 1, size) if match and match[2] else size
        if start >= end:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if match else HTTPStatus.OK)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        if match:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if body:
            self._send(blocks, start, end)

    def _send(self, blocks: BlockReader, start: int, end: int) -> None:
        ahead = 0  # a reader that only looks at something somewhere is given just that
        while start < end:
            number, offset = divmod(start, BLOCK_BYTES)
            last = -(-end // BLOCK_BYTES) - 1
            content = blocks.block(number, ahead=min(ahead, last - number))[offset : offset + end - start]
            self.wfile.write(content)
            start += len(content)
            ahead = min(2 * ahead + 1, READ_AHEAD_BLOCKS)

    def log_message(self, format: str, *args: object) -> None:
        """Addresses are secrets for as long as they hold: nothing is logged."""


@lru_cache(maxsize=1)
def _server() -> _Server:
    server = _Server()
    threading.Thread(target=server.serve_forever, name="range-server", daemon=True).start()
    return server


@contextmanager
def served(blocks: BlockReader) -> Generator[str]:
    """Serve the object for as long as the block runs, at the address given."""
    server, name = _server(), secrets.token_urlsafe(24)
    server.served[name] = blocks
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{name}"
    finally:
        del server.served[name]

"""A proxy on 127.0.0.1 in front of an object store that does to requests what networks and stores do.

It hands on the client's own Host header, which signatures cover, so that what was signed for the proxy is valid behind
it. Bodies pass through in blocks.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.faults import Fault, FaultPolicy, Kind, ProxiedRequest
from tests.http_bodies import BLOCK_BYTES, LAST_CHUNK, as_chunks, drain, first, flipped, in_steps, request_body

_TIMEOUT_S = 60
_PAUSES = 8
_PAUSE_S = 0.04
_OF_ONE_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
_REFUSALS: dict[Kind, tuple[int, str]] = {
    "500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "error_in_200": (200, "InternalError"),
}


class FaultProxy:
    """Passes on requests to the store at `upstream_url` while the block runs, doing to them what `faults` says.

    With `tls` clients speak TLS to it, and it shows them the certificate of that context.
    `requests` lists them in the order they came in. The end of the block is the end of all connections, and raises what
    the proxy itself failed with.
    """

    def __init__(self, upstream_url: str, faults: FaultPolicy | None = None, tls: ssl.SSLContext | None = None):
        upstream = urlsplit(upstream_url)
        if upstream.scheme != "http" or upstream.hostname != "127.0.0.1" or not upstream.port:
            raise ValueError(f"not a store on this machine: {upstream_url}")
        self.requests: list[ProxiedRequest] = []
        self._server = _Server(upstream.port, faults or (lambda _: None), self.requests, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fault-proxy")
        self.endpoint_url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()
        if error is None and self._server.failure is not None:
            raise self._server.failure


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(
        self, upstream_port: int, faults: FaultPolicy, requests: list[ProxiedRequest], tls: ssl.SSLContext | None
    ):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream_port, self.faults, self.requests, self._tls = upstream_port, faults, requests, tls
        self.ending = threading.Event()
        self.failure: BaseException | None = None
        self._open: set[socket.socket] = set()
        self._to_reset: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls:  # hands are shaken by the client's thread, when it reads
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.add(connection)
        return connection, address

    def reset_at_end(self, connection: socket.socket) -> None:
        """Have `connection` end with an RST instead of a FIN: SO_LINGER of 0 s, socket(7)."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._to_reset.add(connection)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        if request in self._to_reset:
            self._to_reset.discard(request)
            self.close_request(request)  # shutting down first would send the FIN
        else:
            super().shutdown_request(request)

    def end_connections(self) -> None:
        """Have every handler find its client gone."""
        self.ending.set()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.failure = self.failure or sys.exception()


class _Handler(BaseHTTPRequestHandler):
    """The thread of one client's connection, which has one connection to the store."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = _TIMEOUT_S

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, _Server)
        self._proxy = self.server
        self._store = HTTPConnection("127.0.0.1", self._proxy.upstream_port, timeout=_TIMEOUT_S)

    def handle(self) -> None:
        with closing(self._store), suppress(EOFError, ConnectionError, TimeoutError, HTTPException, ssl.SSLError):
            super().handle()  # where one side goes, so does the other

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: `FaultProxy.requests` is the record."""

    def _relay(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "authorization"}
        request = ProxiedRequest(self.command, path, query, headers)
        self._proxy.requests.append(request)
        decided = self._proxy.faults(request)
        fault = Fault(decided) if isinstance(decided, str) else decided
        length, chunked = int(headers.get("content-length", 0)), "chunked" in headers.get("transfer-encoding", "")
        body = request_body(self.rfile, length=length, chunked=chunked)
        if fault and fault.kind in _REFUSALS:
            self._refuse(request, fault.kind, body)
            return
        if fault and fault.kind == "flip" and (length or chunked):
            request.fault = "flip"
            body, fault = flipped(body, int(fault.where * length)), None
        answer = self._ask_store(as_chunks(body) if chunked else body, chunked=chunked)
        self._pass_on(request, answer, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay

    def _refuse(self, request: ProxiedRequest, kind: Kind, body: Iterator[bytes]) -> None:
        """Answer in the store's place, as S3 does, when all of the request is there."""
        drain(body)
        request.fault, (request.status, code) = kind, _REFUSALS[kind]
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>a fault</Message></Error>'
        self.send_response_only(request.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def _ask_store(self, body: Iterator[bytes], *, chunked: bool) -> HTTPResponse:
        if self._store.sock and select.select([self._store.sock], [], [], 0)[0]:
            self._store.close()  # the store has given it up; asking opens another
        self._store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _OF_ONE_HOP:
                self._store.putheader(name, value)
        if chunked:
            self._store.putheader("Transfer-Encoding", "chunked")
        self._store.endheaders()
        with suppress(ConnectionError):  # the store may have answered, and hung up, before it has read all
            for block in body:
                self._store.send(block)
            if chunked:
                self._store.send(LAST_CHUNK)
        drain(body)
        return self._store.getresponse()

    def _pass_on(self, request: ProxiedRequest, answer: HTTPResponse, fault: Fault | None) -> None:
        kind = fault.kind if fault and _has_room(answer, fault.kind) else None
        length = answer.length  # 0 for HEAD; None where only the last chunk ends it
        at = int(fault.where * (length or 0)) if fault else 0
        request.status, request.fault = answer.status, kind or request.fault
        body = iter(lambda: answer.read(BLOCK_BYTES), b"")
        if kind in ("lost_reply", "reset", "truncate"):
            self.close_connection = True
            if kind == "reset":
                self._proxy.reset_at_end(self.connection)
            if kind == "lost_reply" or (kind == "reset" and length == 0):
                drain(body)
                return
            body = first(body, at)
        elif kind == "flip":
            body = flipped(body, at)
        elif kind == "slow":
            self._pause()
            body = in_steps(body, -(-length // _PAUSES) if length else BLOCK_BYTES, self._pause)
        self._send(answer, body, chunked=length is None)

    def _send(self, answer: HTTPResponse, body: Iterator[bytes], *, chunked: bool) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_ONE_HOP:
                self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for block in as_chunks(body) if chunked else body:
            self.wfile.write(block)
        if answer.length:  # cut by a fault, or by the store
            self.close_connection = True
        elif chunked and not self.close_connection:
            self.wfile.write(LAST_CHUNK)

    def _pause(self) -> None:
        self._proxy.ending.wait(_PAUSE_S)


def _has_room(answer: HTTPResponse, kind: Kind) -> bool:
    if kind == "flip":
        return answer.length != 0 and answer.status < 300
    return answer.length != 0 or kind != "truncate"

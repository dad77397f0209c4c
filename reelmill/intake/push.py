"""A small HTTP endpoint that stores push notifications to, for those who know its secret."""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from reelmill.errors import EventRejected, InvalidParameter
from reelmill.intake.dead_letters import Bury, bury
from reelmill.intake.receiving import Handle
from reelmill.settings import settings

_log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
SHORTEST_TOKEN = 16
_SILENCE_S = 15


@contextmanager
def push_endpoint(handle: Handle, bury: Bury = bury) -> Generator[str]:
    """Take notifications at the address that is set, and give its URL, for as long as the block runs.

    A POST is answered by 2xx only when its body was dealt with: 204, or 202 when it was buried as a dead letter, since
    it would be no better the next time. 503 asks to send it again. `GET /health` says that the endpoint is there.
    InvalidParameter when no token is set, or the address can't be had.
    """
    wanted = settings()
    token = wanted.intake_token.get_secret_value() if wanted.intake_token else ""
    if len(token) < SHORTEST_TOKEN:
        raise InvalidParameter(f"intake_token: notifications by HTTP need one of {SHORTEST_TOKEN} characters or more")
    try:
        server = _Server((wanted.intake_host, wanted.intake_port), token, handle, bury)
    except OSError as error:
        where = f"{wanted.intake_host}:{wanted.intake_port}"
        raise InvalidParameter(f"intake_host, intake_port: {where} can't be had: {error.strerror}") from error
    thread = threading.Thread(target=server.serve_forever, name="push endpoint", daemon=True)
    thread.start()
    try:
        yield f"http://{wanted.intake_host}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], token: str, handle: Handle, bury: Bury):
        self.token, self.handle_body, self.bury = token.encode(), handle, bury
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that hangs up is no error: it was not told that its message was taken."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "reelmill"
    sys_version = ""
    timeout = _SILENCE_S

    def do_GET(self) -> None:  # the name is http.server's
        there = urlsplit(self.path).path == "/health"
        self._answer(HTTPStatus.OK if there else HTTPStatus.NOT_FOUND, "ok\n" if there else "")

    def do_POST(self) -> None:
        server = cast(_Server, self.server)
        length = self.headers.get("Content-Length", "")
        if not self._is_allowed(server.token):
            self._refuse(HTTPStatus.UNAUTHORIZED)
        elif not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 10 or int(length) > MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self._refuse(HTTPStatus.BAD_REQUEST)
            else:
                self._answer(*self._deal_with(body, server))

    def _deal_with(self, body: bytes, server: _Server) -> tuple[HTTPStatus, str]:
        try:
            try:
                server.handle_body(body)
            except EventRejected as error:
                server.bury(body, error, origin=f"HTTP from {self.client_address[0]}")
                return HTTPStatus.ACCEPTED, f"{error.code}: {error}\n"
        except Exception as error:
            _log.warning("a pushed message failed: %r", error)
            return HTTPStatus.SERVICE_UNAVAILABLE, ""
        return HTTPStatus.NO_CONTENT, ""

    def _is_allowed(self, token: bytes) -> bool:
        scheme, _, shown = self.headers.get("Authorization", "").partition(" ")
        in_query = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        shown = shown.strip() if scheme.lower() == "bearer" else in_query
        return hmac.compare_digest(shown.encode(errors="replace"), token)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without having read the body: nothing more can come by this connection."""
        self.close_connection = True
        self._answer(status, "")

    def _answer(self, status: HTTPStatus, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "15")
        if self.close_connection:
            self.send_header("Connection", "close")
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing of a request line: the token may be in it."""

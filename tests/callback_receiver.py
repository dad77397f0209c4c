"""A real HTTP server that takes callbacks, and answers as it is told."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reelmill.settings import settings

SECRET = "the-secret-of-the-test"


class Receiver:
    """What came in. `answers` are the status codes of the next requests; after them it is 204."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.location: str | None = None
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    def events(self) -> list[str]:
        """The events that were taken, without progress."""
        taken = [each["body"]["event"] for each in self.requests if each["answered"] == 204]
        return [each for each in taken if each != "progress"]


def verified(body: bytes, timestamp: str, signature: str) -> bool:
    """The check of docs/hooks.md."""
    wanted = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature, f"sha256={wanted}")


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver for as long as the block runs."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = told.answers.pop(0) if told.answers else 204
            stamp, signature = self.headers["Reelmill-Timestamp"], self.headers["Reelmill-Signature"]
            told.requests.append(
                {
                    "body": json.loads(body), "answered": status, "verified": verified(body, stamp, signature),
                    "host": self.headers["Host"],
                }
            )  # fmt: skip
            self.send_response(status)
            if told.location is not None:
                self.send_header("Location", told.location)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/told"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def allow(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Set a secret, and the settings given besides; without `callback_hosts` this machine is listed."""
    wanted = {"callback_secret": SECRET, "callback_hosts": "127.0.0.1"} | values
    for name, value in wanted.items():
        monkeypatch.setenv(f"REELMILL_{name.upper()}", value)
    settings.cache_clear()

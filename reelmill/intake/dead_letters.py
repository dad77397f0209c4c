"""Keeps the messages that nobody can use, each with the reason: none is lost, and none is tried for ever."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from reelmill.errors import ReelmillError
from reelmill.intake.rules import dead_letter_location
from reelmill.storage.location import Location
from reelmill.storage.opening import open_store

_log = logging.getLogger(__name__)

Bury = Callable[..., Location]
"""Does what `bury` does, and perhaps tells somebody."""


def bury(body: bytes, error: Exception, *, origin: str, message_id: str | None = None) -> Location:
    """Put a message among the dead letters and return where: `code`, `reason`, `origin`, `time` and `body`, as JSON.

    A message that comes again, because its sender did not learn that it was buried, is the same dead letter.
    """
    name = hashlib.sha256(message_id.encode() if message_id else body).hexdigest()[:32]
    letter = {
        "code": error.code if isinstance(error, ReelmillError) else type(error).__name__,
        "reason": str(error),
        "origin": origin,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        letter["body"] = body.decode()
    except UnicodeDecodeError:
        letter["body_base64"] = base64.b64encode(body).decode()
    place = dead_letter_location()
    open_store(place).write(f"{name}.json", (json.dumps(letter, indent=2, ensure_ascii=False) + "\n").encode())
    _log.error("a message from %s is a dead letter, %s: %s: %s", origin, place / f"{name}.json", letter["code"], error)
    return place / f"{name}.json"


def count_dead_letters() -> int:
    """Return how many dead letters there are. Who has dealt with one deletes its file."""
    return sum(1 for each in open_store(dead_letter_location()).list() if each.key.endswith(".json"))

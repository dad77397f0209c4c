"""Watches an inbox by looking into it again and again: works on every file system, and misses nothing."""

from __future__ import annotations

import logging
import threading

from reelmill.errors import JobRejected
from reelmill.intake.inbox import Upload, unfinished, uploads
from reelmill.intake.receiving import Start
from reelmill.settings import settings
from reelmill.storage.location import Location

_log = logging.getLogger(__name__)
_AFTER_FAILURE_S = 15.0


def watch(inbox: Location, start: Start, stop: threading.Event) -> None:
    """Start a job for each upload of an inbox that has no result, once it is complete, until `stop` is set.

    Each is started once for each of its contents; what was there already comes first. Where the inbox can't be read,
    or a job not be started, it is tried again.
    """
    known: set[Upload] = set()
    while not stop.is_set():
        wait_s = settings().intake_watch_s
        try:
            known = _look(inbox, known, start)
        except Exception as error:
            _log.warning("the inbox %s is not fully taken in, will try again: %r", inbox, error)
            wait_s = max(wait_s, _AFTER_FAILURE_S)
        stop.wait(wait_s)


def _look(inbox: Location, known: set[Upload], start: Start) -> set[Upload]:
    """Start what is new, and return what is there now. What was started is added to `known` at once."""
    found = set(uploads(inbox))
    for upload in sorted(found - known, key=lambda each: str(each.location)):
        try:
            if job := unfinished(upload):
                start(job)
        except JobRejected as error:
            _log.warning("%r in the inbox is refused: %s: %s", str(upload.location), error.code, error)
        known.add(upload)
    return found

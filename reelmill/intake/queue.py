"""Takes messages from a queue. One leaves it only when it was dealt with, or buried with the reason."""

from __future__ import annotations

import logging
import threading

from reelmill.errors import EventRejected, StoreFailed
from reelmill.intake.dead_letters import Bury, bury
from reelmill.intake.receiving import Handle
from reelmill.storage.queue import LONGEST_WAIT_S, Queue, QueueMessage

_log = logging.getLogger(__name__)

MOST_RECEIVES = 5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 15, 900
"""A message that failed comes again after these seconds, twice as many each time: all in all some eight minutes."""


def poll(queue: Queue, handle: Handle, stop: threading.Event, bury: Bury = bury) -> None:
    """Deal with what comes by the queue until `stop` is set. It is looked at between two waits.

    Raises what won't pass, such as StoreAccessDenied; while the queue can't be reached it is tried again.
    """
    failures = 0
    while not stop.is_set():
        try:
            poll_once(queue, handle, bury=bury)
            failures = 0
        except StoreFailed as error:
            _log.warning("the queue failed, will try again: %s", error)
            stop.wait(min(2.0**failures, 60))
            failures += 1


def poll_once(queue: Queue, handle: Handle, wait_s: int = LONGEST_WAIT_S, *, bury: Bury = bury) -> int:
    """Deal with the next messages, ten at most, and return how many came."""
    messages = queue.receive(wait_s)
    for message in messages:
        _deal_with(queue, message, handle, bury)
    return len(messages)


def _deal_with(queue: Queue, message: QueueMessage, handle: Handle, bury: Bury) -> None:
    try:
        handle(message.body)
    except EventRejected as error:
        bury(message.body, error, origin=queue.url, message_id=message.id)
    except Exception as error:
        if message.receives <= MOST_RECEIVES:
            after_s = min(_FIRST_WAIT_S << (message.receives - 1), _LONGEST_WAIT_S)
            _log.warning("message %s failed, comes again in %d s: %r", message.id, after_s, error)
            queue.give_back(message, after_s)
            return
        bury(message.body, error, origin=queue.url, message_id=message.id)
    queue.delete(message)

"""What becomes of one message, whichever way it came: its jobs are started, and what is no use is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from reelmill.errors import EventRejected, JobRejected, NotEnoughSpace, StoreAccessDenied, ToolMissing
from reelmill.intake.notifications import parse_notification
from reelmill.intake.rules import inboxes, jobs_for, mirror, transfers_for
from reelmill.job import TranscodeJob
from reelmill.transfer.job import TransferJob

_log = logging.getLogger(__name__)

Start = Callable[[TranscodeJob], object]
"""Starts a job, or finds that it was started already: a message may come twice. May raise."""
StartTransfer = Callable[[TransferJob], object]
"""The same for a transfer."""
Handle = Callable[[bytes], None]
"""Deals with the body of a message. EventRejected when trying again would not help."""

_NOT_THE_MESSAGE = (NotEnoughSpace, StoreAccessDenied, ToolMissing)
"""What is wrong here, and may be put right before the message comes again."""


def refuse_transfer(job: TransferJob) -> None:
    """Raise EventRejected: where nobody starts transfers, a message can't ask for one."""
    raise EventRejected(f"transfer: none is started here: {job.source}")


def handler(start: Start, start_transfer: StartTransfer = refuse_transfer) -> Handle:
    """Return what deals with messages by starting their jobs. TriggerLoop, InvalidParameter for wrong settings."""
    inboxes()  # wrong settings are said now, not with the first upload
    mirror()
    return partial(handle_message, start, start_transfer=start_transfer)


def handle_message(start: Start, body: bytes, start_transfer: StartTransfer = refuse_transfer) -> None:
    """Start every job that a message asks for.

    EventRejected, after the others were started, when some could not be read or was refused; whatever else `start`
    raises goes through, and the message should come again.
    """
    notification = parse_notification(body)
    for each in notification.ignored:
        _log.info("ignored: %s", each)
    jobs, refused = jobs_for(notification)
    reasons = list(refused)
    begin = [partial(start, job) for job in jobs]
    begin += [partial(start_transfer, job) for job in transfers_for(notification)]
    for each in begin:
        try:
            each()
        except _NOT_THE_MESSAGE:
            raise
        except JobRejected as error:
            reasons.append(f"{error.code}: {error}")
    if reasons:
        raise EventRejected("; ".join(reasons[:5]))

"""What `reelmill intake` does with what it takes in: a job for each upload, and an event for each dead letter."""

from __future__ import annotations

import logging

from prefect.events import emit_event

from reelmill.errors import ReelmillError
from reelmill.intake.dead_letters import bury
from reelmill.job import TranscodeJob
from reelmill.storage.location import Location
from reelmill.transfer.job import TransferJob
from tasks import s3_credentials as s3_credentials
from tasks.starting import start_transfer, start_upload

DEAD_LETTER = "reelmill.message.dead"
_log = logging.getLogger(__name__)


def start_transfer_and_log(job: TransferJob) -> None:
    """Start the transfer that a message asks for, and log what became of it."""
    run, is_new = start_transfer(job)
    what = "started" if is_new else f"is {(run.state_name or 'unknown').lower()} already"
    _log.info("%s to %s: %s, run %s", job.source, job.destination, what, run.id)


def start_and_log(job: TranscodeJob) -> None:
    """Start the job of an upload or a message, and log what became of it."""
    started = start_upload(job)
    if started.run is None:
        _log.info("%s: finished already, in %s", job.source, started.accepted.output)
    else:
        what = "started" if started.is_new else f"is {(started.run.state_name or 'unknown').lower()} already"
        _log.info("%s: %s, run %s", job.source, what, started.run.id)


def bury_and_tell(body: bytes, error: Exception, *, origin: str, message_id: str | None = None) -> Location:
    """Put a message among the dead letters, and tell Prefect by an event, which the alarm goes by."""
    letter = bury(body, error, origin=origin, message_id=message_id)
    emit_event(
        DEAD_LETTER,
        resource={"prefect.resource.id": f"reelmill.dead-letter.{letter.name}", "prefect.resource.name": str(letter)},
        payload={
            "code": error.code if isinstance(error, ReelmillError) else type(error).__name__,
            "reason": str(error),
            "origin": origin,
            "letter": str(letter),
        },
    )
    return letter

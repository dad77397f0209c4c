"""The steps of prefect.yaml that say when inboxes are swept and what is mirrored: what the settings say there."""

from __future__ import annotations

from reelmill.intake.rules import inboxes
from reelmill.settings import settings
from reelmill.transfer.job import TransferJob, accept_transfer


def sweep_schedule() -> dict[str, object]:
    """Return `cron`, `timezone` and `active`, which is false without an inbox. Raises TriggerLoop, InvalidParameter."""
    wanted = settings()
    return {
        "cron": wanted.intake_sweep_cron,
        "timezone": wanted.intake_sweep_timezone,
        "active": bool(inboxes()),
    }


def mirror_schedule() -> dict[str, object]:
    """Return `cron`, `timezone`, `active`, and the `job`: empty, and not active, unless both ends are set.

    Raises JobRejected where they can't be.
    """
    wanted = settings()
    job: dict[str, object] = {}
    if wanted.mirror_source and wanted.mirror_destination:
        mirror = TransferJob(
            source=wanted.mirror_source, destination=wanted.mirror_destination, recursive=True, replace=True
        )
        job = accept_transfer(mirror).portable().model_dump(mode="json", exclude_defaults=True)
    return {
        "cron": wanted.mirror_cron,
        "timezone": wanted.intake_sweep_timezone,
        "active": bool(job),
        "job": job,
    }

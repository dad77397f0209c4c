"""The step of prefect.yaml that says when inboxes are swept: what the settings say where it is deployed."""

from __future__ import annotations

from reelmill.intake.rules import inboxes
from reelmill.settings import settings


def sweep_schedule() -> dict[str, object]:
    """Return `cron`, `timezone` and `active`, which is false without an inbox. Raises TriggerLoop, InvalidParameter."""
    wanted = settings()
    return {
        "cron": wanted.intake_sweep_cron,
        "timezone": wanted.intake_sweep_timezone,
        "active": bool(inboxes()),
    }

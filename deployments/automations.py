"""Applies automations.yaml: what the Prefect server does by itself about dead runs, and whom it tells of trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from uuid import UUID

import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict

from reelmill.errors import InvalidParameter
from reelmill.settings import settings

AUTOMATIONS = Path(__file__).with_name("automations.yaml")
_WEBHOOK = "reelmill-alarms"


def apply_automations(client: SyncPrefectClient) -> None:
    """Have the automations as the file and the settings say, found by their names. Raises InvalidParameter."""
    block = _alarm_block(client)
    for each in yaml.safe_load(AUTOMATIONS.read_text())["automations"]:
        automation = AutomationCore.model_validate(_with_actions(each, block))
        found = client.read_automations_by_name(automation.name)
        if found:
            client.update_automation(found[0].id, automation)
        else:
            client.create_automation(automation)


def _with_actions(automation: dict[str, Any], block: UUID | None) -> dict[str, Any]:
    alarm = automation.pop("alarm", None)
    if alarm is None:
        return automation
    action = {"type": "do-nothing"}
    if block is not None:
        action = {"type": "send-notification", "block_document_id": str(block), **alarm}
    return automation | {"actions": [action]}


def _alarm_block(client: SyncPrefectClient) -> UUID | None:
    """Return the notification block that alarms go to; None when the settings name none."""
    wanted = settings()
    if wanted.alarm_block:
        kind, _, name = wanted.alarm_block.partition("/")
        try:
            return client.read_block_document_by_name(name, kind).id
        except ObjectNotFound as error:
            raise InvalidParameter(
                f"alarm_block: there is no block {wanted.alarm_block!r}; allowed: TYPE/NAME of one that is saved"
            ) from error
    if wanted.alarm_webhook is None:
        return None
    webhook = CustomWebhookNotificationBlock(
        name="reelmill",
        url="{{address}}",  # it may have a secret in it, and secrets are kept apart
        secrets=SecretDict({"address": wanted.alarm_webhook.get_secret_value()}),
        json_data={"subject": "{{subject}}", "body": "{{body}}"},
        headers=None,
        cookies=None,
    )
    return cast("UUID", webhook.save(_WEBHOOK, overwrite=True))

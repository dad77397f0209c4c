"""An SQS queue, or one that speaks like it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from reelmill.errors import InvalidParameter, InvalidUri, StoreFailed
from reelmill.settings import settings
from reelmill.storage.s3_client import code_of, explained
from reelmill.storage.s3_credentials import load_credentials

_AWS_HOST = re.compile(r"(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.com(?:\.cn)?")
_NO_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
MOST_AT_ONCE = 10
LONGEST_WAIT_S = 20


@dataclass(frozen=True)
class QueueMessage:
    """One delivery of a message. `receives` counts its deliveries, this one included."""

    id: str
    body: bytes
    receives: int
    receipt: str


class Queue:
    """The queue at a URL. Errors are those of `reelmill.errors`.

    The queue's own host is asked, so that a server that isn't AWS needs no other setting.
    """

    def __init__(self, url: str):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not parts.path.strip("/"):
            raise InvalidUri(
                "intake_queue_url: not the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/1/q"
            )
        self.url = url
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._aws = _AWS_HOST.fullmatch(parts.hostname)

    def receive(self, wait_s: int = LONGEST_WAIT_S) -> list[QueueMessage]:
        """Return up to ten messages; wait for the first one, at most `wait_s` seconds."""
        client = self._client
        try:
            with explained(self.url):
                answer = client.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=MOST_AT_ONCE,
                    WaitTimeSeconds=min(wait_s, LONGEST_WAIT_S),
                    AttributeNames=["ApproximateReceiveCount"],
                )
        except StoreFailed as error:
            if isinstance(error.__cause__, ClientError) and code_of(error.__cause__) in _NO_QUEUE:
                raise InvalidParameter(f"intake_queue_url: there is no queue {self.url}") from error
            raise
        return [
            QueueMessage(
                each["MessageId"],
                each["Body"].encode(),
                int(each.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                each["ReceiptHandle"],
            )
            for each in answer.get("Messages", ())
        ]

    def delete(self, message: QueueMessage) -> None:
        """Have a message not delivered again."""
        with explained(self.url):
            self._client.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt)

    def give_back(self, message: QueueMessage, after_s: int) -> None:
        """Have a message delivered again, after so many seconds."""
        with explained(self.url):
            self._client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=message.receipt, VisibilityTimeout=after_s
            )

    @cached_property
    def _client(self) -> Any:
        wanted = settings()
        config = Config(
            retries=cast("Any", {"mode": "standard", "total_max_attempts": wanted.s3_attempts}),
            connect_timeout=min(wanted.s3_timeout_s, 10.0),
            read_timeout=wanted.s3_timeout_s + LONGEST_WAIT_S,
            user_agent_extra="reelmill",
        )
        credentials: Any = load_credentials(wanted.s3_credentials_block) if wanted.s3_credentials_block else {}
        region = (self._aws[1] or self._aws[2]) if self._aws else wanted.s3_region
        with explained(self.url):
            session: Any = boto3.Session(region_name=region, **credentials)
            return session.client("sqs", endpoint_url=None if self._aws else self._origin, config=config)

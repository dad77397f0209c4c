"""Reads what object stores and message buses say of new objects, and messages that hold a job: one parser for all.

    S3 event       {"Records": [{"eventSource": ..., "eventName": ..., "s3": ...}]}, and with EventName and Key (MinIO)
    SNS            {"Type": "Notification", "Message": "<any of these>"}
    EventBridge    {"detail-type": "Object Created", "detail": ...}
    CloudEvents    {"specversion": ..., "type": ..., "data": <a record, or any of these>}, or a list of them
    a job          {"job": {<fields of TranscodeJob>}}
    a transfer     {"transfer": {<fields of TransferJob>}}

Keys are decoded exactly once, and only where their sender encodes them. AWS says of its S3 events that a key is URL
encoded, with a plus for a space. MinIO (`ToEvent` in its cmd/event-notification.go) does the same for every target that
events are sent to, slashes included. Ceph writes the key as it is, and so does EventBridge.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, TypeVar, cast
from urllib.parse import unquote_plus

from pydantic import ValidationError

from reelmill.errors import EventRejected, one_line
from reelmill.frozen import Frozen
from reelmill.job import TranscodeJob
from reelmill.transfer.job import TransferJob

Job = TypeVar("Job", TranscodeJob, TransferJob)
_KEYS_ARE_ENCODED = {"aws:s3": True, "minio:s3": True, "ceph:s3": False}
_DEEPEST = 4
"""A CloudEvent of an SNS message of an S3 event is as deep as it sensibly gets."""


class ObjectCreated(Frozen):
    """One new object. The key is the object's own, decoded where it had to be."""

    bucket: str
    key: str
    size_bytes: int | None = None
    etag: str | None = None
    version: str | None = None
    event_id: str | None = None
    """The store's sequencer for the key, or another name of the event: for logs, since an event may come twice."""


class Notification(Frozen):
    """All that one message says. What is `ignored` is none of our business, what is `rejected` could not be read."""

    objects: tuple[ObjectCreated, ...] = ()
    jobs: tuple[TranscodeJob, ...] = ()
    transfers: tuple[TransferJob, ...] = ()
    ignored: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


_Found = ObjectCreated | TranscodeJob | TransferJob | str


def parse_notification(body: bytes) -> Notification:
    """Return what a message says, every record of it. EventRejected, with the reason, when none of it can be read."""
    found: list[_Found] = []
    rejected: list[str] = []
    for message in _messages(body):
        for part in _parts(message, 0):
            try:
                found.append(_read(part))
            except EventRejected as error:
                rejected.append(str(error))
    if rejected and not found:
        raise EventRejected("; ".join(rejected[:5]))
    return Notification(
        objects=tuple(each for each in found if isinstance(each, ObjectCreated)),
        jobs=tuple(each for each in found if isinstance(each, TranscodeJob)),
        transfers=tuple(each for each in found if isinstance(each, TransferJob)),
        ignored=tuple(each for each in found if isinstance(each, str)),
        rejected=tuple(rejected),
    )


def _json(body: bytes | str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        start = repr(body[:60])
        raise EventRejected(f"the message is not JSON ({one_line(str(error))[:200]}): {start}") from None


def _parts(message: object, depth: int) -> Iterator[dict[str, Any] | EventRejected]:
    """Yield the records of a message, out of whatever they are wrapped in. An error stands for what can't be one."""
    if not isinstance(message, dict):
        yield EventRejected(f"the message is {_shown(message)}, not an object with fields")
        return
    fields = cast("dict[str, Any]", message)
    try:
        inner = _unwrapped(fields)
    except EventRejected as error:
        yield error
        return
    if inner is None:
        yield fields
    elif depth == _DEEPEST:
        yield EventRejected(f"the message is wrapped more than {_DEEPEST} times")
    else:
        for each in inner:
            yield from _parts(each, depth + 1)


def _unwrapped(message: dict[str, Any]) -> list[object] | None:
    """Return what is inside an envelope, or None where the message is none."""
    records = message.get("Records")
    if records:
        if not isinstance(records, list):
            raise EventRejected(f"Records is {_shown(records)}, not a list")
        return cast("list[object]", records)
    if message.get("Type") == "Notification":
        if not isinstance(message.get("Message"), str):
            raise EventRejected("the SNS notification has no Message")
        return _messages(message["Message"])
    if "specversion" in message and isinstance(message.get("type"), str):
        return _data_of_cloud_event(message)
    return None


def _messages(body: bytes | str) -> list[object]:
    """Return the messages of a body: the one, or those of a batch of CloudEvents."""
    message = _json(body)
    return cast("list[object]", message) if isinstance(message, list) else [message]


def _data_of_cloud_event(event: dict[str, Any]) -> list[object]:
    if "data_base64" in event:
        try:
            content = base64.b64decode(event["data_base64"], validate=True)
        except (ValueError, TypeError):
            raise EventRejected("data_base64 of the CloudEvent is not Base64") from None
        return _messages(content)
    data = event.get("data")
    if isinstance(data, str):
        return _messages(data)
    if isinstance(data, dict):
        return [cast("object", data)]
    raise EventRejected(f"the CloudEvent {_shown(event['type'])} has no data")


def _read(part: dict[str, Any] | EventRejected) -> _Found:
    """Return what one record says; a string is the reason why it says nothing to us."""
    if isinstance(part, EventRejected):
        raise part
    if "job" in part:
        return _job(part, "job", TranscodeJob)
    if "transfer" in part:
        return _job(part, "transfer", TransferJob)
    if "s3" in part or "eventSource" in part:
        return _record(part)
    if "detail-type" in part:
        return _event_bridge(part)
    if part.get("Event") == "s3:TestEvent" or part.get("Type") in (
        "SubscriptionConfirmation",
        "UnsubscribeConfirmation",
    ):
        return f"{part.get('Event') or part['Type']}: {_shown(part.get('Bucket') or part.get('TopicArn'))}"
    if isinstance(part.get("EventName"), str) and isinstance(part.get("Key"), str):  # MinIO without its Records
        bucket, _, key = part["Key"].partition("/")
        created = _is_creation(part["EventName"])
        return _object(bucket, key, {}) if created else f"{part['EventName']} is not about a new object"
    if part in ({}, {"Records": []}, {"Records": None}):
        return "no records"
    raise EventRejected(f"the message is of no known form; its fields are {_shown(sorted(part))}")


def _job(message: dict[str, Any], name: str, kind: type[Job]) -> Job:
    if len(message) > 1:
        raise EventRejected(f"beside `{name}` no other field is allowed: {_shown(sorted(set(message) - {name}))}")
    try:
        return kind.model_validate(message[name])
    except ValidationError as error:
        first = error.errors()[0]
        raise EventRejected(f"{'.'.join(map(str, (name, *first['loc'])))}: {one_line(first['msg'])}") from None


def _record(record: dict[str, Any]) -> _Found:
    """Read one record of an S3 event: "Event message structure" in the user guide of S3."""
    source, name = record.get("eventSource"), record.get("eventName")
    if source not in _KEYS_ARE_ENCODED:
        raise EventRejected(f"eventSource is {_shown(source)}; allowed: {', '.join(_KEYS_ARE_ENCODED)}")
    if not isinstance(name, str):
        raise EventRejected("the record has no eventName")
    if not _is_creation(name):
        return f"{_shown(name)} is not about a new object"
    entity = _fields(record.get("s3"), "s3")
    bucket, item = _fields(entity.get("bucket"), "s3.bucket").get("name"), _fields(entity.get("object"), "s3.object")
    key = item.get("key")
    if isinstance(key, str) and _KEYS_ARE_ENCODED[source]:
        key = _decoded(key)
    created = _object(bucket, key, item, event_id=record.get("eventId"))
    if source == "ceph:s3" and name.endswith("ObjectCreated:Post") and not created.size_bytes:
        return (
            f"an upload of {_shown(created.key)} in parts began"  # Ceph tells this, too; the end of it is what counts
        )
    return created


def _event_bridge(event: dict[str, Any]) -> _Found:
    """Read an event of EventBridge, whose keys are raw: "EventBridge event message structure" in S3's user guide."""
    if event["detail-type"] != "Object Created":
        return f"{_shown(event['detail-type'])} is not about a new object"
    detail = _fields(event.get("detail"), "detail")
    item = _fields(detail.get("object"), "detail.object")
    bucket = _fields(detail.get("bucket"), "detail.bucket").get("name")
    return _object(bucket, item.get("key"), item, event_id=event.get("id"))


def _is_creation(name: str) -> bool:
    return name.removeprefix("s3:").startswith("ObjectCreated:")


def _decoded(key: str) -> str:
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise EventRejected(f"key: {_shown(key)} is not UTF-8 when decoded") from None


def _object(bucket: object, key: object, item: dict[str, Any], event_id: object = None) -> ObjectCreated:
    if not isinstance(bucket, str) or not bucket:
        raise EventRejected("the record has no name of a bucket")
    if not isinstance(key, str) or not key:
        raise EventRejected("the record has no key")
    size = item.get("size")
    version = item.get("versionId") or item.get("version-id")
    return ObjectCreated(
        bucket=bucket,
        key=key,
        size_bytes=size if type(size) is int and size >= 0 else None,
        etag=(_text(item.get("eTag") or item.get("etag")) or "").strip('"') or None,
        version=None if version == "null" else _text(version),
        event_id=_text(item.get("sequencer") or event_id),
    )


def _fields(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EventRejected(f"{name} is {_shown(value)}, not an object with fields")
    return cast("dict[str, Any]", value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _shown(value: object) -> str:
    return one_line(repr(value))[:120]

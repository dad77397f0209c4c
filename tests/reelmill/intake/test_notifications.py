"""Every form in which a new object is told of is understood, key by key; what is none of them is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from reelmill.errors import EventRejected
from reelmill.intake.notifications import ObjectCreated, parse_notification

KEYS = [
    ("plain.mp4", "plain.mp4"),
    ("in/red flower.mp4", "in/red+flower.mp4"),
    ("in/a+b.mp4", "in/a%2Bb.mp4"),
    ("in/100%25.mp4", "in/100%2525.mp4"),
    ("in/%2B and +.mp4", "in/%252B+and+%2B.mp4"),
    ("in/übung 日本.mp4", "in/%C3%BCbung+%E6%97%A5%E6%9C%AC.mp4"),
    ("in/a&b=c;d.mp4", "in/a%26b%3Dc%3Bd.mp4"),
]


def record(key: str, *, source: str = "aws:s3", name: str = "ObjectCreated:Put", **item: Any) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": source,
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-20T10:00:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDA"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "uploads",
            "bucket": {"name": "videos", "ownerIdentity": {"principalId": "A3"}, "arn": "arn:aws:s3:::videos"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD90281E5", **item},
        },
    }


def event_bridge(key: str, detail_type: str = "Object Created") -> dict[str, Any]:
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-20T10:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:s3:::videos"],
        "detail": {
            "version": "0",
            "bucket": {"name": "videos"},
            "object": {"key": key, "size": 5, "etag": "b1946", "version-id": "IYV3p45", "sequencer": "00617F08299329"},
            "request-id": "N4N7GDK58NMKJ12R",
            "reason": "PutObject",
        },
    }  # fmt: skip


def cloud_event(data: object) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "com.amazonaws.s3.ObjectCreated.Put",
        "source": "ceph:s3.default.videos",
        "subject": "clip.mp4",
        "id": "C3D13FE58DE4C810.FMyUVURIY8",
        "time": "2026-11-20T10:00:00.000Z",
        "datacontenttype": "application/json",
        "data": data,
    }


def sns(message: object) -> dict[str, Any]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu:1:uploads", "Message": json.dumps(message)}


def in_base64(message: object) -> str:
    return base64.b64encode(json.dumps(message).encode()).decode()


def keys(message: object) -> list[str]:
    return [each.key for each in parse_notification(json.dumps(message).encode()).objects]


@pytest.mark.parametrize(("key", "encoded"), KEYS)
def test_key_of_an_aws_event_is_decoded_once(key: str, encoded: str):
    assert keys({"Records": [record(encoded)]}) == [key]


@pytest.mark.parametrize(("key", "encoded"), KEYS)
def test_key_of_a_minio_event_is_decoded_once(key: str, encoded: str):
    encoded = encoded.replace("/", "%2F")
    assert keys({"EventName": "s3:ObjectCreated:Put", "Key": f"videos/{key}",
                 "Records": [record(encoded, source="minio:s3", name="s3:ObjectCreated:Put")]}) == [key]  # fmt: skip


@pytest.mark.parametrize(("key", "encoded"), KEYS)
def test_keys_of_ceph_and_event_bridge_are_taken_as_they_are(key: str, encoded: str):
    for each in (key, encoded):
        assert keys({"Records": [record(each, source="ceph:s3")]}) == [each]
        assert keys(event_bridge(each)) == [each]
        assert keys(cloud_event(record(each, source="ceph:s3"))) == [each]


def test_all_that_is_told_of_an_object_is_kept():
    assert parse_notification(json.dumps({"Records": [record("a.mp4", versionId="v1")]}).encode()).objects == (
        ObjectCreated(bucket="videos", key="a.mp4", size_bytes=1024, etag="d41d8cd9", version="v1",
                      event_id="0055AED6DCD90281E5"),
    )  # fmt: skip
    assert parse_notification(json.dumps(event_bridge("a.mp4")).encode()).objects == (
        ObjectCreated(bucket="videos", key="a.mp4", size_bytes=5, etag="b1946", version="IYV3p45",
                      event_id="00617F08299329"),
    )  # fmt: skip


def test_what_is_not_told_is_none():
    said: dict[str, Any] = record("a.mp4", source="ceph:s3") | {"eventId": "1605.32.d41d"}
    said["s3"]["object"] = {"key": "a.mp4", "versionId": "", "eTag": ""}
    assert parse_notification(json.dumps({"Records": [said]}).encode()).objects == (
        ObjectCreated(bucket="videos", key="a.mp4", event_id="1605.32.d41d"),
    )


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda event: event,
        sns,
        cloud_event,
        lambda event: sns(sns(event)),
        lambda event: [cloud_event(event)],
        lambda event: cloud_event(json.dumps(event)),
        lambda event: {"specversion": "1.0", "type": "t", "data_base64": in_base64(event)},
    ],
    ids=["bare", "sns", "cloudevent", "sns-in-sns", "cloudevent-batch", "cloudevent-text", "cloudevent-base64"],
)  # fmt: skip
def test_every_record_of_a_batch_is_read_whatever_it_is_wrapped_in(wrapped: Any):
    batch = [record("a.mp4"), record("b+c.mp4"), record("gone.mp4", name="ObjectRemoved:Delete"), record("d.mp4")]
    found = parse_notification(json.dumps(wrapped({"Records": batch})).encode())
    assert [each.key for each in found.objects] == ["a.mp4", "b c.mp4", "d.mp4"]
    assert found.ignored == ("'ObjectRemoved:Delete' is not about a new object",)
    assert found.rejected == ()


def test_minio_event_without_records_has_its_key_raw():
    assert keys({"EventName": "s3:ObjectCreated:Put", "Key": "videos/in/a+b%20c.mp4"}) == ["in/a+b%20c.mp4"]


def test_start_of_an_upload_in_parts_to_ceph_is_no_object():
    start = record("a.mp4", source="ceph:s3", name="s3:ObjectCreated:Post", size=0)
    end = record("a.mp4", source="ceph:s3", name="s3:ObjectCreated:CompleteMultipartUpload")
    assert keys({"Records": [start, end]}) == ["a.mp4"]


def test_a_message_may_hold_a_job():
    job = {"source": "s3://videos/in/a+b.mp4", "formats": ["mp4", "flv"], "profile": "web"}
    (found,) = parse_notification(json.dumps({"job": job}).encode()).jobs
    assert (found.source, found.formats, found.profile) == ("s3://videos/in/a+b.mp4", ("mp4", "flv"), "web")
    assert parse_notification(json.dumps(sns({"job": job})).encode()).jobs == (found,)


@pytest.mark.parametrize(
    "message",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-20T10:00:00Z", "Bucket": "videos"},
        sns({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "videos"}),
        {"Type": "SubscriptionConfirmation", "TopicArn": "arn", "SubscribeURL": "https://sns.example.org/"},
        {"Records": []},
        {},
        {"Records": [record("a.mp4", name="ObjectRemoved:DeleteMarkerCreated")]},
        {"Records": [record("a.mp4", name="ObjectTagging:Put")]},
        event_bridge("a.mp4", "Object Deleted"),
        {"EventName": "s3:ObjectRemoved:Delete", "Key": "videos/a.mp4"},
    ],
)  # fmt: skip
def test_what_is_no_news_of_an_object_is_acknowledged(message: Any):
    found = parse_notification(json.dumps(message).encode())
    assert (found.objects, found.jobs, found.rejected) == ((), (), ())
    assert len(found.ignored) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'"text"', "not an object"),
        (b"17", "not an object"),
        (b'{"hello": 1}', "no known form"),
        (b'{"Records": 3}', "Records is 3"),
        (b'{"Records": [3]}', "the message is 3"),
        (b'{"Records": [{"eventSource": "aws:ses"}]}', "eventSource is 'aws:ses'"),
        (b'{"Records": [{"eventSource": "aws:s3"}]}', "no eventName"),
        (b'{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}', "s3 is None"),
        (json.dumps({"Records": [record("a%FF.mp4")]}).encode(), "not UTF-8"),
        (json.dumps({"Records": [record("")]}).encode(), "no key"),
        (b'{"Type": "Notification"}', "no Message"),
        (b'{"Type": "Notification", "Message": "hello"}', "not JSON"),
        (b'{"specversion": "1.0", "type": "x"}', "no data"),
        (b'{"specversion": "1.0", "type": "x", "data_base64": "!"}', "not Base64"),
        (json.dumps(sns(sns(sns(sns(sns({})))))).encode(), "wrapped more than"),
        (b'{"job": 3}', "job: "),
        (b'{"job": {}}', "job.source: "),
        (b'{"job": {"source": "a.mp4", "formats": ["exe"]}}', "job.formats.0: "),
        (b'{"job": {"source": "a.mp4", "shell": "rm"}}', "job.shell: "),
        (b'{"job": {"source": "a.mp4"}, "priority": 1}', "'priority'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(body: bytes, reason: str):
    with pytest.raises(EventRejected) as caught:
        parse_notification(body)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_bad_record_of_a_batch_does_not_take_the_good_ones_with_it():
    found = parse_notification(json.dumps({"Records": [record("a.mp4"), {"eventSource": "x"}]}).encode())
    assert [each.key for each in found.objects] == ["a.mp4"]
    assert [reason for reason in found.rejected if "eventSource is 'x'" in reason] == list(found.rejected)
    assert len(found.rejected) == 1


def test_message_may_hold_a_transfer():
    job = {"source": "s3://videos/master.mov", "destination": "s3+archive://films/"}
    found = parse_notification(json.dumps({"transfer": job}).encode())
    assert [each.model_dump(exclude_defaults=True) for each in found.transfers] == [job]
    with pytest.raises(EventRejected, match=r"transfer\.destination"):
        parse_notification(json.dumps({"transfer": {"source": "s3://videos/master.mov"}}).encode())

"""Messages of a real queue: none is lost, none comes for ever, and a bucket's uploads come as jobs by it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from reelmill.errors import (
    EventRejected,
    InvalidParameter,
    InvalidUri,
    SourceNotFound,
    StoreAccessDenied,
    StoreFailed,
    StoreUnreachable,
    TriggerLoop,
)
from reelmill.intake.dead_letters import count_dead_letters
from reelmill.intake.queue import poll, poll_once
from reelmill.intake.receiving import handler
from reelmill.intake.rules import dead_letter_location
from reelmill.job import TranscodeJob
from reelmill.storage.location import S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.queue import Queue
from tests.s3_servers import S3Server
from tests.server_processes import free_port
from tests.stores import new_bucket, notify, put, using

Set = Callable[..., None]


@pytest.fixture
def bucket(ministack: S3Server, monkeypatch: pytest.MonkeyPatch, set_to: Set) -> Iterator[S3Location]:
    """A bucket whose prefix `in` is the inbox."""
    with using(ministack, monkeypatch):
        bucket = new_bucket(ministack)
        set_to(intake_inbox=bucket / "in", output_root=bucket / "out")
        yield bucket


@pytest.fixture
def sqs(ministack: S3Server, bucket: S3Location) -> Iterator[Any]:
    with closing(ministack.client(service="sqs")) as client:
        yield client


@pytest.fixture
def queue(sqs: Any, bucket: S3Location) -> Queue:
    return Queue(sqs.create_queue(QueueName=bucket.bucket)["QueueUrl"])


def waiting(sqs: Any, queue: Queue) -> int:
    """Return how many messages the queue holds, delivered ones too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=names)["Attributes"]
    return sum(int(each) for each in found.values())


def letters() -> list[dict[str, Any]]:
    store = open_store(dead_letter_location())
    return [json.loads(store.read(each.key) or b"") for each in store.list()]


NAMES = ["a.mp4", "a+b c.mp4", "%2B.mp4", "deep/übung 日本.mov", "a&b=c.mp4"]


def test_uploads_to_a_bucket_come_as_jobs_by_the_queue(ministack: S3Server, sqs: Any, queue: Queue, bucket: S3Location):
    notify(ministack, queue.url, bucket)
    for name in (*NAMES, "note.txt", ".hidden.mp4"):
        put(ministack, bucket / "in" / name, b"video")
    put(ministack, bucket / "out" / "result.mp4", b"video")
    started: list[str] = []
    handle = handler(lambda job: started.append(job.source))
    while poll_once(queue, handle, wait_s=1):
        pass
    assert sorted(started) == sorted(f"{bucket}in/{name}" for name in NAMES)
    assert waiting(sqs, queue) == 0
    assert count_dead_letters() == 0


def test_upload_in_parts_comes_as_one_job(ministack: S3Server, sqs: Any, queue: Queue, bucket: S3Location):
    notify(ministack, queue.url, bucket)
    upload_in_parts(ministack, bucket / "in" / "a.mp4")
    started: list[str] = []
    while poll_once(queue, handler(lambda job: started.append(job.source)), wait_s=1):
        pass
    assert set(started) == {f"{bucket}in/a.mp4"}


def upload_in_parts(server: S3Server, where: S3Location) -> None:
    with closing(server.client()) as client:
        target: Any = {"Bucket": where.bucket, "Key": where.key}
        upload = client.create_multipart_upload(**target)["UploadId"]
        part = client.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"x" * 100)
        parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload=parts)


def test_message_with_a_job_starts_it(sqs: Any, queue: Queue):
    sqs.send_message(QueueUrl=queue.url, MessageBody='{"job": {"source": "s3://videos/a.mov", "formats": ["flv"]}}')
    started: list[TranscodeJob] = []
    poll_once(queue, handler(started.append))
    assert started == [TranscodeJob(source="s3://videos/a.mov", formats=("flv",))]
    assert waiting(sqs, queue) == 0


@pytest.mark.parametrize("where", ["work_dir", "bucket"])
def test_what_cannot_be_read_is_buried_with_the_reason(
    sqs: Any, queue: Queue, bucket: S3Location, set_to: Set, where: str
):
    if where == "bucket":
        set_to(intake_dead_letters=bucket / "dead")
    bodies = ["garbage", '{"job": {"source": "a.mp4", "formats": ["exe"]}}', "grüße"]
    for body in (*bodies, '{"job": {"source": "s3://videos/a.mov"}}'):
        sqs.send_message(QueueUrl=queue.url, MessageBody=body)
    started: list[TranscodeJob] = []
    while poll_once(queue, handler(started.append), wait_s=1):
        pass
    assert len(started) == 1
    assert waiting(sqs, queue) == 0
    assert count_dead_letters() == 3
    assert sorted(each["body"] for each in letters()) == sorted(bodies)
    assert {each["code"] for each in letters()} == {"EventRejected"}
    assert {each["origin"] for each in letters()} == {queue.url}
    assert next(each["reason"] for each in letters() if "exe" in each["body"]).startswith("job.formats.0: ")


def test_job_that_is_refused_is_buried(sqs: Any, queue: Queue):
    def start(job: TranscodeJob) -> None:
        raise SourceNotFound("there is no object")

    sqs.send_message(QueueUrl=queue.url, MessageBody='{"job": {"source": "s3://videos/a.mov"}}')
    poll_once(queue, handler(start))
    assert [each["reason"] for each in letters()] == ["SourceNotFound: there is no object"]
    assert waiting(sqs, queue) == 0


def test_good_records_of_a_message_are_started_before_it_is_buried(sqs: Any, queue: Queue, bucket: S3Location):
    def event(key: str) -> dict[str, Any]:
        s3 = {"bucket": {"name": bucket.bucket}, "object": {"key": key}}
        return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}

    body = json.dumps({"Records": [event("in/a.mp4"), event("in/%FF.mp4"), event("in/b.mp4"), {"eventSource": "x"}]})
    sqs.send_message(QueueUrl=queue.url, MessageBody=body)
    started: list[str] = []
    poll_once(queue, handler(lambda job: started.append(job.source)))
    assert started == [f"{bucket}in/a.mp4", f"{bucket}in/b.mp4"]
    assert count_dead_letters() == 1


@pytest.mark.parametrize("error", [StoreFailed("busy"), StoreAccessDenied("expired"), RuntimeError("a bug")])
def test_what_failed_comes_again_and_is_buried_in_the_end(
    sqs: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    monkeypatch.setattr("reelmill.intake.queue._FIRST_WAIT_S", 0)
    times: list[TranscodeJob] = []

    def start(job: TranscodeJob) -> None:
        times.append(job)
        raise error

    sqs.send_message(QueueUrl=queue.url, MessageBody='{"job": {"source": "s3://videos/a.mov"}}')
    for received in range(1, 7):
        assert waiting(sqs, queue) == 1
        assert poll_once(queue, handler(start), wait_s=2) == 1
        assert len(times) == received
    assert waiting(sqs, queue) == 0
    assert [(each["code"], each["reason"]) for each in letters()] == [
        (getattr(error, "code", "RuntimeError"), str(error))
    ]


def test_failed_message_waits_before_it_comes_again(sqs: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reelmill.intake.queue._FIRST_WAIT_S", 2)
    fails = [True]

    def start(job: TranscodeJob) -> None:
        if fails and fails.pop():
            raise StoreFailed("busy")

    sqs.send_message(QueueUrl=queue.url, MessageBody='{"job": {"source": "s3://videos/a.mov"}}')
    assert poll_once(queue, handler(start)) == 1
    failed = time.monotonic()
    assert poll_once(queue, handler(start), wait_s=10) == 1
    assert time.monotonic() - failed > 1.5
    assert (waiting(sqs, queue), count_dead_letters()) == (0, 0)


def test_message_that_could_not_be_buried_stays_in_the_queue(sqs: Any, queue: Queue):
    def no_room(*_: object, **__: object) -> S3Location:
        raise StoreFailed("no room")

    sqs.send_message(QueueUrl=queue.url, MessageBody="garbage")
    with pytest.raises(StoreFailed):
        poll_once(queue, handler(lambda job: None), bury=no_room)
    assert waiting(sqs, queue) == 1


def test_dead_letter_that_comes_again_counts_once(sqs: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch):
    def lost(message: object) -> None:
        queue.give_back(message, 0)  # pyright: ignore[reportArgumentType]

    sqs.send_message(QueueUrl=queue.url, MessageBody="garbage")
    with monkeypatch.context() as patched:
        patched.setattr(queue, "delete", lost)
        poll_once(queue, handler(lambda job: None))
    assert poll_once(queue, handler(lambda job: None), wait_s=5) == 1
    assert (waiting(sqs, queue), count_dead_letters()) == (0, 1)


def test_polling_ends_when_told_and_goes_on_when_the_queue_fails(
    sqs: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch
):
    receive, failures, stop = queue.receive, [StoreUnreachable("gone")], threading.Event()

    def failing(wait_s: int) -> Any:
        if failures:
            raise failures.pop()
        return receive(1)

    monkeypatch.setattr(queue, "receive", failing)
    sqs.send_message(QueueUrl=queue.url, MessageBody='{"job": {"source": "s3://videos/a.mov"}}')
    poll(queue, handler(lambda job: stop.set()), stop)
    assert failures == []
    assert waiting(sqs, queue) == 0


def test_queue_that_is_not_there_is_said(queue: Queue, set_to: Set):
    set_to(s3_attempts=1)
    with pytest.raises(InvalidParameter, match="no queue"):
        Queue(f"{queue.url}-not").receive(0)
    with pytest.raises(StoreUnreachable):
        Queue(f"http://127.0.0.1:{free_port()}/1/q").receive(0)


@pytest.mark.parametrize("url", ["", "q", "ftp://x/q", "http:///q", "https://sqs.eu.amazonaws.com", "http://u:p@x/q"])
def test_what_is_no_url_of_a_queue_is_refused(url: str):
    with pytest.raises(InvalidUri, match="intake_queue_url"):
        Queue(url)


def test_wrong_settings_are_said_before_any_message_is_taken(bucket: S3Location, set_to: Set):
    set_to(output_root=bucket / "in/out")
    with pytest.raises(TriggerLoop):
        handler(lambda job: None)


def test_event_rejected_is_what_a_handler_raises():
    with pytest.raises(EventRejected):
        handler(lambda job: None)(b"garbage")

"""Notifications that are pushed by HTTP: only who knows the token is heard, and told only what is true."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from reelmill.errors import InvalidParameter, StoreFailed
from reelmill.intake.dead_letters import count_dead_letters
from reelmill.intake.push import MOST_BYTES, push_endpoint
from reelmill.intake.receiving import Start, handler
from reelmill.job import TranscodeJob
from reelmill.storage.location import S3Location
from tests.reelmill.intake.test_queue import NAMES, upload_in_parts
from tests.s3_servers import S3Server
from tests.stores import new_bucket, put, using

Set = Callable[..., None]
TOKEN = "correct horse/battery+staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JOB = b'{"job": {"source": "s3://videos/a.mov"}}'


@pytest.fixture
def started(set_to: Set, tmp_path: object) -> list[str]:
    set_to(intake_token=TOKEN, intake_port=0, output_root=f"{tmp_path}/out")
    return []


@pytest.fixture
def address(started: list[str]) -> Iterator[tuple[str, int]]:
    """Host and port of an endpoint that takes notice of the jobs that it is sent."""
    with listening(lambda job: started.append(job.source)) as address:
        yield address


@contextmanager
def listening(start: Start) -> Iterator[tuple[str, int]]:
    with push_endpoint(handler(start)) as url:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        yield parts.hostname, parts.port


def post(address: tuple[str, int], body: bytes, path: str = "/", headers: dict[str, str] = BEARER) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_job_that_is_pushed_is_started(address: tuple[str, int], started: list[str]):
    assert post(address, JOB) == (204, "")
    assert post(address, JOB, "/?token=correct%20horse/battery%2Bstaple", {}) == (204, "")
    assert started == ["s3://videos/a.mov"] * 2


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/", {"Authorization": "Bearer wrong"}),
        ("/", {"Authorization": f"Bearer {TOKEN}x"}),
        ("/", {"Authorization": "Bearer "}),
        ("/", {"Authorization": TOKEN}),
        ("/", {"Authorization": "Bearer ü"}),
        ("/?token=", {}),
        ("/?token=wrong", {}),
        ("/?token=correct%20horse/battery%2Bstaple", {"Authorization": "Bearer wrong"}),
    ],
)
def test_who_does_not_know_the_token_is_not_heard(
    address: tuple[str, int], started: list[str], path: str, headers: dict[str, str]
):
    headers = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items()}
    assert post(address, JOB, path, headers)[0] == 401
    assert post(address, b"garbage", path, headers)[0] == 401
    assert started == []
    assert count_dead_letters() == 0


@pytest.mark.parametrize("token", [None, "", "short"])
def test_there_is_no_endpoint_without_a_token(monkeypatch: pytest.MonkeyPatch, set_to: Set, token: str | None):
    if token is not None:
        set_to(intake_token=token)
    with pytest.raises(InvalidParameter, match="intake_token"), listening(lambda job: None):
        pass


def test_token_is_shown_nowhere(
    address: tuple[str, int], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    from reelmill.settings import settings

    caplog.set_level(0)
    post(address, b"garbage", "/?token=correct%20horse/battery%2Bstaple", {})
    post(address, JOB, "/?token=wrong-guess-of-somebody", {})
    shown = "".join(capfd.readouterr()) + caplog.text + repr(settings())
    assert "horse" not in shown
    assert "wrong-guess" not in shown


def test_endpoint_is_reachable_from_this_machine_alone(address: tuple[str, int]):
    assert address[0] == "127.0.0.1"
    with socket.socket() as other:  # nobody listens on every address
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.2", address[1]))


def test_address_that_is_taken_is_said(address: tuple[str, int], set_to: Set):
    set_to(intake_port=address[1])
    with pytest.raises(InvalidParameter, match="can't be had"), listening(lambda job: None):
        pass


def test_what_cannot_be_read_is_buried_and_not_asked_for_again(address: tuple[str, int], started: list[str]):
    for body in (b"garbage", b"garbage", b"\xff\xfe", b"", b'{"job": {"source": 1}}'):
        status, text = post(address, body)
        assert status == 202
        assert text.startswith("EventRejected: ")
    assert count_dead_letters() == 4  # equal ones are one
    assert started == []


def test_test_events_are_acknowledged(address: tuple[str, int]):
    assert post(address, b'{"Event": "s3:TestEvent", "Bucket": "videos"}') == (204, "")
    assert count_dead_letters() == 0


def test_what_could_not_be_started_is_asked_for_again(started: list[str]):
    fails = [StoreFailed("busy"), RuntimeError("secret details")]

    def start(job: TranscodeJob) -> None:
        if fails:
            raise fails.pop()
        started.append(job.source)

    with listening(start) as address:
        assert [post(address, JOB) for _ in range(3)] == [(503, ""), (503, ""), (204, "")]
    assert started == ["s3://videos/a.mov"]
    assert count_dead_letters() == 0


def test_answer_waits_for_the_start(started: list[str]):
    entered, may_go_on = threading.Event(), threading.Event()

    def start(job: TranscodeJob) -> None:
        entered.set()
        may_go_on.wait(20)
        started.append(job.source)

    with listening(start) as address, ThreadPoolExecutor() as pool:
        answer = pool.submit(post, address, JOB)
        assert entered.wait(20)
        assert not answer.done()
        may_go_on.set()
        assert answer.result() == (204, "")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str(MOST_BYTES + 1)}, 413),
        ({"Content-Length": "9" * 5000}, 413),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "x"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
        ({}, 411),
    ],
)
def test_body_of_unknown_or_great_length_is_not_read(address: tuple[str, int], headers: dict[str, str], status: int):
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        connection.putrequest("POST", "/")
        for name, value in (BEARER | headers).items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status


def test_largest_body_is_read(address: tuple[str, int], started: list[str]):
    assert post(address, JOB.ljust(MOST_BYTES)) == (204, "")
    assert len(started) == 1


def test_message_that_was_cut_short_is_not_taken(address: tuple[str, int], started: list[str]):
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        connection.putrequest("POST", "/")
        for name, value in (BEARER | {"Content-Length": str(len(JOB) + 1)}).items():
            connection.putheader(name, value)
        connection.endheaders(JOB)
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.getresponse().status == 400
    assert (started, count_dead_letters()) == ([], 0)


def test_one_connection_carries_many_messages(address: tuple[str, int], started: list[str]):
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        for body, status in ((JOB, 204), (b"garbage", 202), (JOB, 204)):
            connection.request("POST", "/", body, BEARER)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
    assert len(started) == 2


def test_health_needs_no_token(address: tuple[str, int]):
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        for path, status in (("/health", 200), ("/", 404), ("/other", 404)):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status


@pytest.mark.slow
@pytest.mark.parametrize("cloud_events", [False, True])
def test_uploads_to_ceph_come_as_jobs(
    ceph: S3Server, monkeypatch: pytest.MonkeyPatch, set_to: Set, tmp_path: object, cloud_events: bool
):
    """Also after the start of a job failed, for Ceph sends a notification again until it is taken."""
    started: set[str] = set()
    fails = [StoreFailed("busy")]

    def start(job: TranscodeJob) -> None:
        if fails:
            raise fails.pop()
        started.add(job.source)

    with using(ceph, monkeypatch), ExitStack() as stack:
        bucket = new_bucket(ceph)
        set_to(intake_inbox=bucket / "in", output_root=bucket / "out", intake_token=TOKEN, intake_port=0)
        host, port = stack.enter_context(listening(start))
        url = f"http://{host}:{port}/?token=correct%20horse/battery%2Bstaple"
        notify(ceph, bucket, url, cloud_events)
        for name in NAMES:
            put(ceph, bucket / "in" / name, b"video")
        put(ceph, bucket / "out" / "a.mp4", b"video")
        upload_in_parts(ceph, bucket / "in" / "parts.mp4")
        wanted = {f"{bucket}in/{name}" for name in (*NAMES, "parts.mp4")}
        give_up = time.monotonic() + 90
        while started != wanted and time.monotonic() < give_up:
            time.sleep(0.2)
        assert started == wanted
        assert fails == []
        assert count_dead_letters() == 0


def notify(ceph: S3Server, bucket: S3Location, url: str, cloud_events: bool) -> None:
    """Have Ceph push what is new in a bucket to the URL, again and again until it is taken."""
    with closing(ceph.client(service="sns")) as client:
        sns: Any = client
        attributes = {"push-endpoint": url, "persistent": "true", "cloudevents": json.dumps(cloud_events)}
        topic = sns.create_topic(Name=bucket.bucket, Attributes=attributes)["TopicArn"]
    with closing(ceph.client()) as client:
        client.put_bucket_notification_configuration(
            Bucket=bucket.bucket,
            NotificationConfiguration={
                "TopicConfigurations": [{"Id": "uploads", "TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
            },
        )

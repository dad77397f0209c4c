"""The lock of a bucket is kept for as long as its holder lives, and lost to nobody but by age."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from botocore.exceptions import ClientError

from reelmill.errors import JobRunning, StoreFailed
from reelmill.storage import s3_lease
from reelmill.storage.location import S3Location
from reelmill.storage.s3_lease import held_lease, is_held
from tests.fault_proxy import FaultProxy
from tests.faults import Kind, ProxiedRequest
from tests.s3_servers import S3Server
from tests.stores import new_bucket, put, using

ELSEWHERE = json.dumps({"host": "another", "pid": 1, "started": "1 x", "id": "1"}).encode()


@pytest.fixture(params=["ministack", pytest.param("ceph", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = request.getfixturevalue(request.param)
    with using(server, monkeypatch):
        yield server


@pytest.fixture
def lease(server: S3Server) -> S3Location:
    return new_bucket(server) / "lock"


def take_over(server: S3Server, lease: S3Location) -> None:
    """Put another's in the place of what is there, as runs do, on condition that it is what was seen.

    Ceph 16 answers a put without condition with success, and drops it, when a beat comes in between.
    """
    with closing(server.client()) as client:
        while client.get_object(Bucket=lease.bucket, Key=lease.key)["Body"].read() != ELSEWHERE:
            seen = client.head_object(Bucket=lease.bucket, Key=lease.key)["ETag"].strip('"')
            with suppress(ClientError):  # it was beaten to it
                client.put_object(Bucket=lease.bucket, Key=lease.key, Body=ELSEWHERE, IfMatch=seen)


def test_lease_is_kept_by_its_beats(server: S3Server, lease: S3Location, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3_lease, "BEAT_S", 0.2)
    monkeypatch.setattr(s3_lease, "DEAD_AFTER_S", 30.0)
    lost = threading.Event()
    with held_lease(lease, on_lost=lost.set):
        assert not lost.wait(3.0)
        assert is_held(lease)
    assert not is_held(lease)


def test_lease_that_somebody_else_took_is_lost(server: S3Server, lease: S3Location, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3_lease, "BEAT_S", 0.2)
    lost = threading.Event()
    with held_lease(lease, on_lost=lost.set):
        take_over(server, lease)
        assert lost.wait(10.0)
    assert is_held(lease), "what is theirs was taken away"


def test_holder_knows_at_once_whether_it_is_still_the_one(server: S3Server, lease: S3Location):
    """Also between two beats, by the first of which it would be told."""
    with held_lease(lease, on_lost=lambda: None) as holds:
        assert holds()
        take_over(server, lease)
        assert not holds()
    assert is_held(lease)


def test_young_lease_of_another_machine_is_respected(server: S3Server, lease: S3Location):
    put(server, lease, ELSEWHERE)
    with pytest.raises(JobRunning, match="another"), held_lease(lease, on_lost=lambda: None):
        pass


def test_old_lease_of_another_machine_is_taken_over(
    server: S3Server, lease: S3Location, monkeypatch: pytest.MonkeyPatch
):
    put(server, lease, ELSEWHERE)
    monkeypatch.setattr(s3_lease, "DEAD_AFTER_S", -1.0)
    with held_lease(lease, on_lost=lambda: None):
        pass
    assert not is_held(lease)


def test_lease_whose_answers_are_all_lost_is_given_back(ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    def lose(asked: ProxiedRequest) -> Kind | None:
        return "lost_reply" if asked.method == "PUT" and asked.path.endswith("/lock") else None

    with (
        FaultProxy(ministack.endpoint_url, lose) as proxy,
        using(ministack, monkeypatch, REELMILL_S3_ENDPOINT_URL=proxy.endpoint_url, REELMILL_S3_ATTEMPTS="1"),
    ):
        lease = new_bucket(ministack) / "lock"
        with pytest.raises(StoreFailed), held_lease(lease, on_lost=lambda: None):
            pass
        assert not is_held(lease)


def test_lease_that_was_spoilt_on_its_way_is_put_again(ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    faults: list[Kind] = ["flip"]

    def spoil_one(asked: ProxiedRequest) -> Kind | None:
        return faults.pop() if asked.method == "PUT" and asked.is_content and faults else None

    with (
        FaultProxy(ministack.endpoint_url, spoil_one) as proxy,
        using(ministack, monkeypatch, REELMILL_S3_ENDPOINT_URL=proxy.endpoint_url),
    ):
        lease = new_bucket(ministack) / "lock"
        with held_lease(lease, on_lost=lambda: None):
            assert is_held(lease)
    assert not faults

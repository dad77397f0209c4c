"""Each way in which a store can refuse or fail has an error of its own, and says what to look at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from reelmill.errors import (
    BucketNotAllowed,
    BucketNotFound,
    InvalidKey,
    InvalidUri,
    NotEnoughSpace,
    PathEscape,
    ReelmillError,
    SourceArchived,
    SourceNotFound,
    StoreAccessDenied,
    StoreFailed,
    StoreThrottled,
    StoreUnreachable,
    UploadGone,
    UriSchemeNotAllowed,
    WrongRegion,
)
from reelmill.job import TranscodeJob
from reelmill.profiles.loading import load_profile
from reelmill.settings import settings
from reelmill.storage.location import S3Location, known_location, parse_location
from reelmill.storage.opening import open_store
from reelmill.storage.pinning import pin
from reelmill.storage.s3_client import explained
from tests.fault_proxy import FaultProxy
from tests.faults import Kind, ProxiedRequest
from tests.s3_servers import S3Server
from tests.server_processes import free_port
from tests.stores import new_bucket, put, using


@pytest.fixture
def clip(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Location]:
    with using(ministack, monkeypatch):
        yield put(ministack, new_bucket(ministack) / "clip.mp4", b"x" * 1000)


def test_missing_bucket_and_missing_key_are_told_apart(clip: S3Location):
    with pytest.raises(SourceNotFound, match=r"there is no object s3://.*/other\.mp4"):
        pin(S3Location(clip.bucket, "other.mp4"))
    with pytest.raises(BucketNotFound, match="there is no bucket nowhere-at-all"):
        pin(S3Location("nowhere-at-all", "clip.mp4"))
    with pytest.raises(BucketNotFound):
        open_store(S3Location("nowhere-at-all", "out")).write("a", b"x")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_keys_are_not_allowed(clip: S3Location, ministack: S3Server, monkeypatch: pytest.MonkeyPatch, name: str):
    with using(ministack, monkeypatch, **{name: "wrong"}), pytest.raises(StoreAccessDenied):
        pin(clip)


def test_no_keys_at_all_are_said_so(clip: S3Location, ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    with using(ministack, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(StoreAccessDenied, match="credentials"):
            pin(clip)


def test_silent_address_is_unreachable(clip: S3Location, ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    nobody = f"http://127.0.0.1:{free_port()}"
    with (
        using(ministack, monkeypatch, REELMILL_S3_ENDPOINT_URL=nobody, REELMILL_S3_ATTEMPTS="2"),
        pytest.raises(StoreUnreachable, match=nobody),
    ):
        pin(clip)


def test_throttling_is_waited_out_and_then_said(clip: S3Location, ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    def throttle(_: ProxiedRequest) -> Kind:
        return "503"

    with (
        FaultProxy(ministack.endpoint_url, throttle) as proxy,
        using(ministack, monkeypatch, REELMILL_S3_ENDPOINT_URL=proxy.endpoint_url, REELMILL_S3_ATTEMPTS="3"),
        pytest.raises(StoreThrottled, match="after 3 tries"),
    ):
        open_store(clip).read("a")
    assert len(proxy.requests) == 3


def test_server_error_that_passes_is_no_error(clip: S3Location, ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    faults: Iterator[Kind] = iter(("500", "503"))
    with (
        FaultProxy(ministack.endpoint_url, lambda _: next(faults, None)) as proxy,
        using(ministack, monkeypatch, REELMILL_S3_ENDPOINT_URL=proxy.endpoint_url),
    ):
        assert pin(clip).size_bytes == 1000


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("PermanentRedirect", 301, WrongRegion),
        ("AuthorizationHeaderMalformed", 400, WrongRegion),
        ("QuotaExceeded", 403, NotEnoughSpace),
        ("ExpiredToken", 400, StoreAccessDenied),
        ("AccessDenied", 403, StoreAccessDenied),
        ("SomethingNew", 403, StoreAccessDenied),
        ("SlowDown", 503, StoreThrottled),
        ("SomethingNew", 502, StoreFailed),
        ("InvalidObjectState", 403, SourceArchived),
        ("NoSuchUpload", 404, UploadGone),
    ],
)
def test_code_of_the_store_names_the_error(code: str, status: int, kind: type[ReelmillError]):
    answer = {
        "Error": {"Code": code, "Message": "why", "Region": "eu-west-1"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 0},
    }
    with pytest.raises(kind, match=r"s3://b/k: .*\(why\)") as caught, explained("s3://b/k"):
        raise ClientError(answer, "GetObject")  # pyright: ignore[reportArgumentType]
    assert type(caught.value) is kind
    if kind is WrongRegion:
        assert "eu-west-1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("s3://bkt@evil/k", InvalidUri),
        ("s3://[::1]/k", InvalidUri),
        ("s3://0.0.0.0/k", InvalidUri),
        ("s3:///k", InvalidUri),
        ("s3://UPPER/k", InvalidUri),
        ("s3://bucket/a\x00b", InvalidKey),
        ("s3://bucket/a\nb", InvalidKey),
        ("s3://bucket/" + "k" * 1025, InvalidKey),
        ("s3://bucket/../x", PathEscape),
        ("http://169.254.169.254/", UriSchemeNotAllowed),
        ("gs://bucket/k", UriSchemeNotAllowed),
    ],
)
def test_address_that_is_none_is_refused(text: str, kind: type[ReelmillError]):
    with pytest.raises(kind, match=r"^source: "):
        parse_location(text, "source")


@pytest.mark.parametrize("key", ["-version", "concat:a|b", "100%d.mp4", "a+b%20c", "ü/日本.mp4", "a?b#c", "a//b"])
def test_keys_are_taken_literally(key: str):
    location = parse_location(f"s3://bucket/{key}", "source")
    assert location == S3Location("bucket", key)
    assert known_location(str(location)) == location


def test_bucket_itself_is_no_source():
    with pytest.raises(InvalidUri, match="is a bucket"):
        _ = TranscodeJob(source="s3://bucket").source_location


def test_bucket_that_is_not_on_the_list_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REELMILL_S3_BUCKETS", "ours, theirs")
    settings.cache_clear()
    assert parse_location("s3://theirs/k", "source") == S3Location("theirs", "k")
    with pytest.raises(BucketNotAllowed, match="ours, theirs"):
        parse_location("s3://others/k", "source")


def test_roots_in_a_bucket_hold_everything(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REELMILL_SOURCE_ROOT", "s3://ours/in/")
    monkeypatch.setenv("REELMILL_OUTPUT_ROOT", "s3://ours/out")
    settings.cache_clear()
    job = TranscodeJob(source="a/clip.mp4")
    assert job.source_location == S3Location("ours", "in/a/clip.mp4")
    assert job.output_location == S3Location("ours", "out/a/clip.mp4.reelmill")
    assert TranscodeJob(source="s3://ours/in/b/clip.mp4").output_location == S3Location(
        "ours", "out/b/clip.mp4.reelmill"
    )
    with pytest.raises(PathEscape):
        _ = TranscodeJob(source="s3://ours/inside/clip.mp4").source_location


def test_profile_in_a_bucket_is_read(clip: S3Location, ministack: S3Server):
    where = put(ministack, S3Location(clip.bucket, "profiles/small.yaml"), b"version: 1\nname: small\nformats: [mp4]\n")
    assert load_profile(str(where)).name == "small"


def test_folder_that_may_not_be_looked_into_is_told(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may look into everything
        with pytest.raises(StoreAccessDenied, match="Permission denied"):
            open_store(closed / "out").stat("manifest.json")
    finally:
        os.seteuid(user)
        closed.chmod(0o700)

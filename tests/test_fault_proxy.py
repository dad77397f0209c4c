"""The fault proxy does to a request what it says, nothing else, and the same again for the same seed."""

from __future__ import annotations

import base64
import hashlib
import os
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, HTTPClientError
from botocore.response import StreamingBody

from tests.fault_proxy import FaultProxy
from tests.faults import KINDS, Fault, FaultPolicy, Faults, Kind, ProxiedRequest, request_class
from tests.s3_servers import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONTENT = os.urandom(1 << 20)
MD5 = hashlib.md5(CONTENT).digest()
ETAG = f'"{MD5.hex()}"'
BOTH = ["ministack", pytest.param("ceph", marks=pytest.mark.slow)]


@pytest.fixture(params=["ministack"])
def server(request: pytest.FixtureRequest) -> S3Server:
    return request.getfixturevalue(request.param)


@pytest.fixture
def direct(server: S3Server) -> Iterator[S3Client]:
    """A client without a proxy."""
    with closing(server.client()) as client:
        yield client


@pytest.fixture
def bucket(direct: S3Client, request: pytest.FixtureRequest) -> str:
    """A bucket with `CONTENT` as the object `k`, of the same name in every run: fates hang on it."""
    name = f"test-{hashlib.md5(request.node.nodeid.encode()).hexdigest()}"
    direct.create_bucket(Bucket=name)
    direct.put_object(Bucket=name, Key="k", Body=CONTENT)
    return name


@contextmanager
def through(server: S3Server, faults: FaultPolicy | None, **config: Any) -> Iterator[tuple[S3Client, FaultProxy]]:
    proxy = FaultProxy(server.endpoint_url, faults)
    with proxy, closing(server.client(endpoint_url=proxy.endpoint_url, **config)) as client:
        yield client, proxy


def always(kind: Kind, where: float = 0.5) -> FaultPolicy:
    return lambda _: Fault(kind, where)


def keys(client: S3Client, bucket: str) -> list[str]:
    return [each.get("Key", "") for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def read_into(came: bytearray, body: StreamingBody) -> None:
    while block := body.read(4096):
        came += block


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str | None:
    return error.value.response.get("Error", {}).get("Code")


@pytest.mark.parametrize("server", BOTH, indirect=True)
def test_what_is_signed_for_the_proxy_passes_unchanged(server: S3Server, bucket: str):
    name, content = "a b+ü%//k", os.urandom(3_000_000)
    with through(server, None) as (client, proxy):
        client.put_object(Bucket=bucket, Key=name, Body=content, Metadata={"attempt": "1"})
        part = client.get_object(Bucket=bucket, Key=name, Range="bytes=1000000-2999999")
        assert part["Body"].read() == content[1_000_000:]
        assert client.head_object(Bucket=bucket, Key=name)["Metadata"] == {"attempt": "1"}
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": name})
        assert url.startswith(proxy.endpoint_url)
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == content
        with pytest.raises(urllib.error.HTTPError, match="403") as forged:
            urllib.request.urlopen(f"{url[:-4]}aaaa")
        forged.value.close()
        assert keys(client, bucket) == [name, "k"]
        client.delete_object(Bucket=bucket, Key=name)
        seen = [(each.method, each.headers.get("range"), each.status, each.fault) for each in proxy.requests]
    assert seen == [
        ("PUT", None, 200, None),
        ("GET", "bytes=1000000-2999999", 206, None),
        ("HEAD", None, 200, None),
        ("GET", None, 200, None),
        ("GET", None, 403, None),
        ("GET", None, 200, None),
        ("DELETE", None, 204, None),
    ]
    assert {each.headers["host"] for each in proxy.requests} == {proxy.endpoint_url.removeprefix("http://")}
    assert not any("authorization" in each.headers for each in proxy.requests)


@pytest.mark.parametrize(("kind", "code"), [("500", "InternalError"), ("503", "SlowDown")])
def test_a_refusal_never_reaches_the_store(kind: Kind, code: str, server: S3Server, direct: S3Client, bucket: str):
    with through(server, always(kind)) as (client, proxy):
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket=bucket, Key="new", Body=CONTENT)
        assert code_of(error) == code
        with pytest.raises(ClientError, match=kind):
            client.head_object(Bucket=bucket, Key="k")
    assert [(each.status, each.fault) for each in proxy.requests] == [(int(kind), kind)] * 2
    assert keys(direct, bucket) == ["k"]


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_body_breaks_off(kind: Kind, server: S3Server, bucket: str):
    with through(server, always(kind)) as (client, proxy):
        answer = client.get_object(Bucket=bucket, Key="k")
        assert answer["ContentLength"] == len(CONTENT)
        came = bytearray()
        with pytest.raises((BotoCoreError, OSError)) as error:
            read_into(came, answer["Body"])
    assert ("reset by peer" in str(error.value)) == (kind == "reset")
    assert CONTENT.startswith(came)
    assert len(came) <= len(CONTENT) // 2
    assert kind == "reset" or len(came) > len(CONTENT) // 2 - 4096
    assert [each.fault for each in proxy.requests] == [kind]


def test_an_answer_without_a_body_is_reset_whole(server: S3Server, direct: S3Client, bucket: str):
    with through(server, always("reset")) as (client, proxy), pytest.raises((HTTPClientError, OSError)):
        client.put_object(Bucket=bucket, Key="new", Body=CONTENT)
    assert [(each.status, each.fault) for each in proxy.requests] == [(200, "reset")]
    assert keys(direct, bucket) == ["k", "new"]


@pytest.mark.parametrize("where", [0.0, 0.5, 0.999_999_9])
def test_one_bit_of_what_is_read_flips(where: float, server: S3Server, bucket: str):
    with through(server, always("flip", where)) as (client, proxy):
        came = client.get_object(Bucket=bucket, Key="k")["Body"].read()
        assert client.head_object(Bucket=bucket, Key="k")["ETag"] == ETAG
    wrong = [at for at, (one, other) in enumerate(zip(came, CONTENT, strict=True)) if one != other]
    assert wrong == [int(where * len(CONTENT))]
    assert (came[wrong[0]] ^ CONTENT[wrong[0]]).bit_count() == 1
    assert [each.fault for each in proxy.requests] == ["flip", None]


@pytest.mark.parametrize("server", BOTH, indirect=True)
def test_one_bit_of_what_is_written_flips(server: S3Server, direct: S3Client, bucket: str):
    with through(server, always("flip")) as (client, proxy):
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket=bucket, Key="new", Body=CONTENT, ContentMD5=base64.b64encode(MD5).decode())
        assert code_of(error) in ("BadDigest", "XAmzContentSHA256Mismatch")  # Ceph looks at the signed digest as well
        url = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "undetected"})
        with urllib.request.urlopen(urllib.request.Request(url, data=CONTENT, method="PUT")) as answer:
            assert answer.headers["ETag"] != ETAG
    assert [each.fault for each in proxy.requests] == ["flip", "flip"]
    stored = direct.get_object(Bucket=bucket, Key="undetected")["Body"].read()
    assert sum((one ^ other).bit_count() for one, other in zip(stored, CONTENT, strict=True)) == 1
    assert keys(direct, bucket) == ["k", "undetected"]


def test_the_store_does_what_its_lost_reply_was_about(server: S3Server, direct: S3Client, bucket: str):
    with through(server, always("lost_reply")) as (client, proxy), pytest.raises(ConnectionClosedError):
        client.put_object(Bucket=bucket, Key="new", Body=CONTENT)
    assert [(each.status, each.fault) for each in proxy.requests] == [(200, "lost_reply")]
    assert direct.head_object(Bucket=bucket, Key="new")["ETag"] == ETAG


def test_a_slow_answer_is_whole(server: S3Server, bucket: str):
    with through(server, always("slow")) as (client, proxy):
        began = time.monotonic()
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == CONTENT
        assert time.monotonic() - began > 0.2
        client.put_object(Bucket=bucket, Key="new", Body=CONTENT)
    assert [each.fault for each in proxy.requests] == ["slow", "slow"]


def test_an_error_in_200_ends_no_upload(server: S3Server, direct: S3Client, bucket: str):
    upload = direct.create_multipart_upload(Bucket=bucket, Key="new")["UploadId"]
    named: Any = {"Bucket": bucket, "Key": "new", "UploadId": upload}
    etag = direct.upload_part(**named, PartNumber=1, Body=CONTENT)["ETag"]
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    faults = Faults(1, 1.0, ["error_in_200"], most_in_a_row=1)
    with through(server, faults) as (client, proxy):
        with pytest.raises(ClientError) as error:
            client.complete_multipart_upload(**named, MultipartUpload=parts)
        assert code_of(error) == "InternalError"
        assert [each.get("PartNumber") for each in client.list_parts(**named).get("Parts", [])] == [1]
        client.complete_multipart_upload(**named, MultipartUpload=parts)
        with pytest.raises(ClientError) as error:
            client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
        assert code_of(error) == "InternalError"
    assert [(each.status, each.fault) for each in proxy.requests] == [
        (200, "error_in_200"),
        (200, None),
        (200, None),
        (200, "error_in_200"),
    ]
    assert keys(direct, bucket) == ["k", "new"]


def test_a_script_picks_its_requests(server: S3Server, bucket: str):
    def faults(request: ProxiedRequest) -> Kind | None:
        return "503" if request.method == "GET" and request.path.endswith("/k") and len(proxy.requests) == 2 else None

    with through(server, faults) as (client, proxy):
        for expected in (len(CONTENT), None, len(CONTENT)):
            try:
                came = len(client.get_object(Bucket=bucket, Key="k")["Body"].read())
            except ClientError:
                came = None
            assert came == expected


def test_requests_run_at_once_and_connections_are_kept(server: S3Server, bucket: str):
    with through(server, always("slow"), max_pool_connections=8) as (client, proxy), ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        came = pool.map(lambda _: client.get_object(Bucket=bucket, Key="k")["Body"].read(), range(16))
        assert [each == CONTENT for each in came] == [True] * 16
        assert time.monotonic() - began < 16 * 0.3
    assert len(proxy.requests) == 16


def test_a_run_meets_the_same_faults_again_with_the_same_seed(server: S3Server, bucket: str):
    def run(seed: int) -> list[tuple[str, list[str | None]]]:
        kinds: list[Kind] = ["500", "503", "reset", "truncate", "lost_reply", "flip"]
        with through(server, Faults(seed, 0.3, kinds), max_pool_connections=8) as (client, proxy):

            def read(start: int) -> None:
                for _ in range(5):
                    try:
                        client.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{start + 999}")["Body"].read()
                    except (BotoCoreError, ClientError, OSError):
                        continue

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(read, range(0, 40_000, 1000)))
        met: dict[str, list[str | None]] = {}
        for each in proxy.requests:
            met.setdefault(request_class(each), []).append(each.fault)
        return sorted(met.items())

    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert 30 < sum(fault is not None for _, faults in first for fault in faults) < 90


@pytest.mark.parametrize("most_in_a_row", [1, 3])
def test_no_request_fails_for_ever(most_in_a_row: int):
    faults = Faults(5, 1.0, most_in_a_row=most_in_a_row)
    request = ProxiedRequest("GET", "/b/k", "", {})
    struck = [faults(request) is not None for _ in range(2 * (most_in_a_row + 1))]
    assert struck == [*[True] * most_in_a_row, False] * 2


def test_a_client_that_retries_gets_through(server: S3Server, direct: S3Client, bucket: str):
    kinds: list[Kind] = ["500", "503", "lost_reply", "slow", "error_in_200"]
    retries = {"total_max_attempts": 4, "mode": "standard"}
    with through(server, Faults(3, 0.5, kinds), retries=retries) as (client, proxy):
        for number in range(10):
            client.put_object(Bucket=bucket, Key=f"{number}", Body=CONTENT)
            client.copy_object(Bucket=bucket, Key=f"copy-{number}", CopySource=f"{bucket}/{number}")
            assert client.get_object(Bucket=bucket, Key=f"copy-{number}")["Body"].read() == CONTENT
    assert set(kinds) == {each.fault for each in proxy.requests} - {None}
    assert len(keys(direct, bucket)) == 21


def test_every_kind_comes_up_about_as_often_as_any_other():
    faults = Faults(7, 0.25, most_in_a_row=99)
    copy = {"x-amz-copy-source": "b/k"}
    struck = [faults(ProxiedRequest("GET", f"/b/{number}", "", {})) for number in range(8000)]
    counts = Counter(each.kind for each in struck if each)
    assert set(counts) == set(KINDS) - {"error_in_200"}
    assert all(200 < count < 380 for count in counts.values())
    of_copies = {each.kind for n in range(1000) if (each := faults(ProxiedRequest("PUT", f"/b/{n}", "", copy)))}
    assert of_copies == set(KINDS) - {"flip", "truncate"}


def test_what_stores_and_clocks_make_up_changes_no_fate():
    one = ProxiedRequest("PUT", "/b/k", "uploadId=one&partNumber=3&X-Amz-Date=1", {})
    other = ProxiedRequest("PUT", "/b/k", "partNumber=3&uploadId=two&X-Amz-Date=2", {"host": "x"})
    next_part = ProxiedRequest("PUT", "/b/k", "uploadId=one&partNumber=4&X-Amz-Date=1", {})
    assert request_class(one) == request_class(other) != request_class(next_part)


@pytest.mark.parametrize(
    "url", ["http://example.com:80", "https://127.0.0.1:443", "http://10.0.0.1:9000", "http://127.0.0.1"]
)
def test_only_stores_on_this_machine_are_asked(url: str):
    with pytest.raises(ValueError, match="not a store on this machine"):
        FaultProxy(url)


def test_what_the_policy_fails_with_is_raised(server: S3Server):
    def broken(_: ProxiedRequest) -> Kind | None:
        raise LookupError("no fault of the client's")

    with pytest.raises(LookupError), through(server, broken) as (client, _), pytest.raises(BotoCoreError):
        client.list_buckets()

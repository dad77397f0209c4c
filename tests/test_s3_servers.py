"""The S3 servers of the tests are what their names promise: they check keys, keep conditions, and leave nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.s3_servers import S3Server, ceph_server, ministack_server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[1]
STARTS = {"ministack": ministack_server, "ceph": ceph_server}
LOGS = {"ministack": "log", "ceph": "client.rgw.log"}
BOTH = ["ministack", pytest.param("ceph", marks=pytest.mark.slow)]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> S3Server:
    return request.getfixturevalue(request.param)


@pytest.fixture
def s3(server: S3Server) -> Iterator[S3Client]:
    with closing(server.client()) as client:
        yield client


@pytest.fixture
def bucket(s3: S3Client) -> str:
    name = f"test-{uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    """Return the HTTP status and the S3 error code."""
    answer: Any = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


@pytest.mark.parametrize("server", BOTH, indirect=True)
def test_what_is_stored_comes_back(s3: S3Client, bucket: str):
    content = os.urandom(300_000)
    stored = s3.put_object(Bucket=bucket, Key="a b+ü%/k.mp4", Body=content)
    answer = s3.get_object(Bucket=bucket, Key="a b+ü%/k.mp4")
    assert answer["ETag"] == stored["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert answer["Body"].read() == content


@pytest.mark.parametrize("server", BOTH, indirect=True)
def test_other_keys_and_no_key_are_refused(server: S3Server, s3: S3Client, bucket: str):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    codes: list[tuple[int, str]] = []
    for other in (replace(server, secret_key="wrong"), replace(server, access_key="AKIAWRONG")):
        with closing(other.client()) as client, pytest.raises(ClientError) as error:
            client.get_object(Bucket=bucket, Key="k")
        codes.append(refused(error))
    assert codes == [(403, "SignatureDoesNotMatch"), (403, "InvalidAccessKeyId")]


@pytest.mark.parametrize("server", BOTH, indirect=True)
def test_conditions_are_kept(s3: S3Client, bucket: str):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    with pytest.raises(ClientError) as exists:
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    with pytest.raises(ClientError) as overwritten:
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch="0" * 32)
    with pytest.raises(ClientError) as changed:
        s3.get_object(Bucket=bucket, Key="k", IfMatch="0" * 32)
    assert [refused(error) for error in (exists, overwritten, changed)] == [(412, "PreconditionFailed")] * 3
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"one"
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=etag.strip('"'))  # Ceph knows no ETag in quotes here
    s3.put_object(Bucket=bucket, Key="new", Body=b"two", IfNoneMatch="*")


@pytest.mark.parametrize("server", BOTH, indirect=True)
def test_a_body_with_another_digest_is_refused(s3: S3Client, bucket: str):
    other = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"one", ContentMD5=other)
    assert refused(error) == (400, "BadDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("name", BOTH)
def test_a_server_listens_on_this_machine_only_and_leaves_nothing(name: str, request: pytest.FixtureRequest):
    if name == "ceph":
        request.getfixturevalue("ceph_installed")
    with STARTS[name]() as server:
        processes = [psutil.Process(pid) for pid in server.pids]
        listening = [each.laddr for of in processes for each in of.net_connections() if each.status == "LISTEN"]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        assert server.endpoint_url in {f"http://{address.ip}:{address.port}" for address in listening}
        written = {Path(each.path) for of in processes for each in of.open_files() if each.mode != "r"}
        assert server.folder / LOGS[name] in written
        assert [path for path in written if not path.is_relative_to(server.folder)] == []
    assert [each for each in processes if each.is_running()] == []
    assert not server.folder.exists()


@pytest.mark.parametrize("name", BOTH)
def test_a_server_dies_with_its_tests(name: str, request: pytest.FixtureRequest, tmp_path: Path):
    if name == "ceph":
        request.getfixturevalue("ceph_installed")
    code = f"""
        from tests.s3_servers import {name}_server as start

        with start() as server:
            print(*server.pids, flush=True)
            input()
    """
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    env = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        processes = [psutil.Process(int(pid)) for pid in tests.stdout.readline().split()]
        tests.kill()
    assert processes
    assert psutil.wait_procs(processes, timeout=10)[1] == []

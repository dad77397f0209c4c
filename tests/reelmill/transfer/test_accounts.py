"""Two accounts of one server: what one may not read of the other's comes by way of this machine."""

from __future__ import annotations

import json
import subprocess
import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from reelmill.storage.location import S3Location
from tests.s3_servers import S3Server
from tests.two_stores import MIB, clients_of, noise, transfer, two_stores

CONTENT = noise(6 * MIB)


def with_user_of(server: S3Server, bucket: str) -> S3Server:
    """Return the server as somebody sees it who may do everything in one bucket, and nothing elsewhere."""
    if (conf := server.folder / "ceph.conf").exists():
        name, secret = f"user-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        made = ["user", "create", f"--uid={name}", f"--display-name={name}"]
        keys = [f"--access-key={name}", f"--secret-key={secret}"]
        subprocess.run(["radosgw-admin", "-c", str(conf), *made, *keys], check=True, capture_output=True)
        return replace(server, access_key=name, secret_key=secret)
    name, mine = f"user-{uuid.uuid4().hex[:8]}", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": mine}}
    with closing(server.client(service="iam")) as iam:
        iam.create_user(UserName=name)  # pyright: ignore[reportAttributeAccessIssue]
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))  # pyright: ignore
        key = iam.create_access_key(UserName=name)["AccessKey"]  # pyright: ignore[reportAttributeAccessIssue]
    return replace(server, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])


@pytest.fixture(params=["ministack", pytest.param("ceph", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> S3Server:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("is_other", [True, False])
def test_store_copies_by_itself_only_for_one_account(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_other: bool
):
    bucket = f"theirs-{uuid.uuid4().hex[:8]}"
    other = with_user_of(server, bucket) if is_other else server
    with (
        clients_of(server, other) as clients,
        two_stores(server, other, tmp_path, monkeypatch, clients) as stores,
    ):
        source = stores.put(stores.bucket(f"ours-{uuid.uuid4().hex[:8]}") / "a", CONTENT)
        stores.bucket(bucket, far=True)
        [made] = transfer(source, S3Location(bucket, "b", "far")).objects
        assert (made.outcome, made.by_store) == ("copied", not is_other)
        assert stores.content(S3Location(bucket, "b", "far")) == CONTENT

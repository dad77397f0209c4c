"""Two accounts of one server: what one may not read of the other's comes by way of this machine."""

from __future__ import annotations

import json
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
    name, mine = f"user-{uuid.uuid4().hex[:8]}", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": mine}}
    with closing(server.client(service="iam")) as iam:
        iam.create_user(UserName=name)  # pyright: ignore[reportAttributeAccessIssue]
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))  # pyright: ignore
        key = iam.create_access_key(UserName=name)["AccessKey"]  # pyright: ignore[reportAttributeAccessIssue]
    return replace(server, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])


@pytest.mark.parametrize("is_other", [True, False])
def test_store_copies_by_itself_only_for_one_account(
    ministack: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_other: bool
):
    bucket = f"theirs-{uuid.uuid4().hex[:8]}"
    other = with_user_of(ministack, bucket) if is_other else ministack
    with (
        clients_of(ministack, other) as clients,
        two_stores(ministack, other, tmp_path, monkeypatch, clients) as stores,
    ):
        source = stores.put(stores.bucket(f"ours-{uuid.uuid4().hex[:8]}") / "a", CONTENT)
        stores.bucket(bucket)
        [made] = transfer(source, S3Location(bucket, "b", "far")).objects
        assert (made.outcome, made.by_store) == ("copied", not is_other)
        assert stores.content(S3Location(bucket, "b", "far")) == CONTENT

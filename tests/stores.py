"""Folders and buckets for tests: places of their own, and a process that is set to use a server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from reelmill.settings import settings
from reelmill.storage import s3
from reelmill.storage.location import S3Location
from reelmill.storage.s3_client import forget_client
from reelmill.storage.s3_source import forget_blocks
from tests.s3_servers import S3Server


@contextmanager
def using(server: S3Server, monkeypatch: pytest.MonkeyPatch, **env: str) -> Iterator[None]:
    """Have this process use the server, or what `env` says in its place, for as long as the block runs."""
    with monkeypatch.context() as patched:
        for name, value in (server.env() | env).items():
            patched.setenv(name, value)
        _forget()
        try:
            yield
        finally:
            forget_blocks()
            _forget()


def _forget() -> None:
    settings.cache_clear()
    forget_client()
    s3._known_buckets.clear()


def new_bucket(server: S3Server, *, versions: bool = False) -> S3Location:
    """Make a bucket and return its root."""
    name = f"test-{uuid.uuid4().hex[:16]}"
    with closing(server.client()) as client:
        client.create_bucket(Bucket=name)
        if versions:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return S3Location(name, "")


def keys_in(server: S3Server, place: S3Location) -> dict[str, int]:
    """Return the keys that begin with the place's, whole, with the sizes of the objects."""
    with closing(server.client()) as client:
        pages: Any = client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key)
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", ())}


def content_of(server: S3Server, where: S3Location) -> bytes:
    with (
        closing(server.client()) as client,
        closing(client.get_object(Bucket=where.bucket, Key=where.key)["Body"]) as body,
    ):
        return body.read()


def put(server: S3Server, where: S3Location, content: bytes) -> S3Location:
    with closing(server.client()) as client:
        client.put_object(Bucket=where.bucket, Key=where.key, Body=content)
    return where


def open_uploads(server: S3Server, place: S3Location) -> list[str]:
    """Return the keys of the multipart uploads that are open in the place's bucket."""
    with closing(server.client()) as client:
        answer: Any = client.list_multipart_uploads(Bucket=place.bucket)
        return [each["Key"] for each in answer.get("Uploads", ())]


def notify(server: S3Server, queue_url: str, bucket: S3Location, *, prefix: str = "") -> None:
    """Have a bucket tell a queue of new objects whose keys begin with the prefix."""
    with closing(server.client(service="sqs")) as client, closing(server.client()) as s3:
        sqs: Any = client
        arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        s3_may = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": s3_may | {"Resource": arn}}
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps(policy)})
        only: Any = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}
        told: Any = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": only}
        s3.put_bucket_notification_configuration(
            Bucket=bucket.bucket, NotificationConfiguration={"QueueConfigurations": [told]}
        )

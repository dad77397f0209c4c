"""Two stores with credentials of their own, set up for this process as a transfer would have them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reelmill.settings import settings
from reelmill.storage.location import S3Location
from reelmill.storage.s3_client import forget_client
from reelmill.transfer.job import TransferJob, accept_transfer
from reelmill.transfer.plan import plan_transfer
from reelmill.transfer.report import TransferReport
from reelmill.transfer.running import run_here
from tests.s3_servers import S3Server

MIB = 1 << 20
FAR = "far"
"""Name of the second store in the settings."""


@dataclass(frozen=True)
class Stores:
    """The default store, another one named `far`, and what sets a process up to use both."""

    near: S3Server
    far: S3Server
    env: dict[str, str]
    clients: Mapping[str, Any]
    """A client for each store by its name: making one takes longer than what most tests do with it."""

    def bucket(self, name: str, *, far: bool = False) -> S3Location:
        """Return a bucket's root, which is made when it isn't there."""
        where = S3Location(name, "", FAR if far else "")
        self.clients[where.store].create_bucket(Bucket=name)
        return where

    def content(self, where: S3Location) -> bytes | None:
        """Return an object's content; None when there is none."""
        if where.key not in self.keys(where):
            return None
        with closing(self.clients[where.store].get_object(Bucket=where.bucket, Key=where.key)["Body"]) as body:
            return body.read()

    def head(self, where: S3Location, **said: Any) -> dict[str, Any]:
        return self.clients[where.store].head_object(Bucket=where.bucket, Key=where.key, **said)

    def tags(self, where: S3Location) -> dict[str, str]:
        found = self.clients[where.store].get_object_tagging(Bucket=where.bucket, Key=where.key)
        return {each["Key"]: each["Value"] for each in found["TagSet"]}

    def keys(self, where: S3Location) -> list[str]:
        """Return all keys of a location's bucket."""
        pages = self.clients[where.store].get_paginator("list_objects_v2").paginate(Bucket=where.bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def uploads(self, where: S3Location) -> list[str]:
        """Return the ids of the uploads that are open in a bucket."""
        found = self.clients[where.store].list_multipart_uploads(Bucket=where.bucket)
        return [each["UploadId"] for each in found.get("Uploads", ())]

    def put(self, where: S3Location, content: bytes, *, part_bytes: int | None = None, **said: Any) -> S3Location:
        """Put an object, whole or in parts of a size."""
        client, named = self.clients[where.store], {"Bucket": where.bucket, "Key": where.key}
        if part_bytes is None:
            client.put_object(**named, Body=content, **said)
            return where
        upload = client.create_multipart_upload(**named, **said)["UploadId"]
        parts: list[Any] = []
        for number, at in enumerate(range(0, len(content), part_bytes), 1):
            body = content[at : at + part_bytes]
            sent = client.upload_part(**named, UploadId=upload, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        client.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})
        return where


def keys_file(folder: Path, far: S3Server) -> Path:
    """Write the keys to the second store where boto3 looks for a profile's, and return the file."""
    keys = folder / "credentials"
    keys.write_text(f"[{FAR}]\naws_access_key_id = {far.access_key}\naws_secret_access_key = {far.secret_key}\n")
    keys.chmod(0o600)
    return keys


def stores_setting(far: S3Server, *, url: str | None = None) -> str:
    """Return the setting that names the second store, or a proxy before it."""
    store = {"endpoint_url": url or far.endpoint_url, "region": far.region, "profile": FAR, "addressing": "path"}
    return json.dumps({FAR: store})


@contextmanager
def two_stores(
    near: S3Server,
    far: S3Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    clients: Mapping[str, Any],
    *,
    near_url: str | None = None,
    far_url: str | None = None,
    **env: str,
) -> Iterator[Stores]:
    """Have this process use both, or proxies before them, for as long as the block runs."""
    keys = keys_file(folder, far)
    set_up = {
        "AWS_SHARED_CREDENTIALS_FILE": str(keys), "REELMILL_STORES": stores_setting(far, url=far_url),
        "REELMILL_S3_ENDPOINT_URL": near_url or near.endpoint_url, "REELMILL_S3_ADDRESSING": "path",
        "REELMILL_S3_TIMEOUT_S": "20", **env,
    }  # fmt: skip
    with monkeypatch.context() as patched:
        for name, value in (near.env() | set_up).items():
            patched.setenv(name, value)
        settings.cache_clear()
        forget_when_changed(*(near_url or near.endpoint_url, far_url or far.endpoint_url))
        yield Stores(near, far, near.env() | set_up, clients)
    settings.cache_clear()


_made_for: list[tuple[str, ...]] = []


def forget_when_changed(*urls: str) -> None:
    """Have this process make new clients only when they are for other addresses than those it has."""
    if _made_for != [urls]:
        forget_client()
    _made_for[:] = [urls]


@contextmanager
def clients_of(near: S3Server, far: S3Server) -> Iterator[Mapping[str, Any]]:
    """Give the tests' own clients, by the names of the stores. The process's are forgotten in the end."""
    with closing(near.client()) as first, closing(far.client()) as second:
        yield {"": first, FAR: second}
    forget_when_changed()


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that no two ranges of are alike, the same in every run."""
    return random.Random(seed).randbytes(size_bytes)


def transfer(source: object, destination: object, **choices: Any) -> TransferReport:
    """Do a whole transfer by the threads of this process."""
    accepted = accept_transfer(TransferJob(source=str(source), destination=str(destination), **choices))
    return run_here(accepted, plan_transfer(accepted), f"attempt-{random.random()}", lambda _: None)

"""Metadata and headers that other clients wrote beyond ASCII are those of the copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.handlers import validate_ascii_metadata

from reelmill.storage.location import S3Location
from reelmill.storage.s3_headers import as_meant
from tests.s3_servers import S3Server
from tests.two_stores import MIB, Stores, clients_of, noise, transfer, two_stores

NAME = "Müller 日本"
SAID: dict[str, Any] = {"Metadata": {"title": NAME}, "ContentDisposition": f'attachment; filename="{NAME}"'}


@pytest.fixture(params=["other_ministack", pytest.param("ceph", marks=pytest.mark.slow)])
def stores(
    request: pytest.FixtureRequest, ministack: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stores]:
    far: S3Server = request.getfixturevalue(request.param)
    with clients_of(ministack, far) as clients, two_stores(ministack, far, tmp_path, monkeypatch, clients) as both:
        for each in clients.values():
            for operation in ("PutObject", "CreateMultipartUpload"):
                each.meta.events.unregister(f"before-parameter-build.s3.{operation}", validate_ascii_metadata)
        yield both


def said(stores: Stores, where: S3Location) -> tuple[str, str]:
    found = stores.head(where)
    return as_meant(found["Metadata"]["title"]), as_meant(found["ContentDisposition"])


@pytest.mark.parametrize("size", [100, 6 * MIB])
def test_texts_beyond_ascii_are_those_of_the_source(stores: Stores, source: S3Location, far: S3Location, size: int):
    stores.put(source / "a", noise(size), **SAID)
    transfer(source / "a", far / "b")
    transfer(far / "b", far / "c")
    assert said(stores, source / "a") == (NAME, SAID["ContentDisposition"])
    assert said(stores, far / "b") == said(stores, source / "a")
    assert stores.head(far / "b")["Metadata"]["title"] == stores.head(far / "c")["Metadata"]["title"]

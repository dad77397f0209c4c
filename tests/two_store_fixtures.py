"""Fixtures of two quick servers, of which one is a named store: for the tests of transfers, in whatever folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reelmill.storage.location import S3Location
from tests.s3_servers import S3Server
from tests.shared_servers import SharedServers
from tests.two_stores import Stores, clients_of, two_stores


@pytest.fixture(scope="session")
def other_ministack(shared_servers: SharedServers) -> S3Server:
    """A second server, with keys of its own."""
    return shared_servers.get("other ministack")


@pytest.fixture(scope="module")
def s3_clients(ministack: S3Server, other_ministack: S3Server) -> Iterator[Mapping[str, Any]]:
    with clients_of(ministack, other_ministack) as clients:
        yield clients


@pytest.fixture
def stores(
    ministack: S3Server,
    other_ministack: S3Server,
    s3_clients: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stores]:
    with two_stores(ministack, other_ministack, tmp_path, monkeypatch, s3_clients) as both:
        yield both


@pytest.fixture
def source(stores: Stores) -> S3Location:
    """A new bucket of the default store."""
    return stores.bucket(f"from-{uuid.uuid4().hex[:16]}")


@pytest.fixture
def far(stores: Stores) -> S3Location:
    """A new bucket of the other store."""
    return stores.bucket(f"to-{uuid.uuid4().hex[:16]}", far=True)

"""Transfers from a store that speaks TLS: whom it trusts, and what it says when it doesn't."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from reelmill.errors import ReelmillError
from tests.fault_proxy import FaultProxy
from tests.s3_servers import S3Server
from tests.two_stores import MIB, Stores, noise, transfer, two_stores

LARGE = noise(12 * MIB + 5, seed=7)


@dataclass(frozen=True)
class Secure:
    """Two stores, the first behind TLS, and the certificate of who vouches for it."""

    stores: Stores
    authority: Path
    proxy: FaultProxy


@pytest.fixture
def secure(
    ministack: S3Server,
    other_ministack: S3Server,
    s3_clients: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Secure]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    with FaultProxy(ministack.endpoint_url, tls=context) as proxy:
        urls = {"near_url": proxy.endpoint_url}
        with two_stores(ministack, other_ministack, tmp_path, monkeypatch, s3_clients, **urls) as stores:
            yield Secure(stores, file, proxy)


@pytest.mark.parametrize("part_bytes", [None, 5 * MIB])
def test_it_is_copied_and_read_once(secure: Secure, part_bytes: int | None, monkeypatch: pytest.MonkeyPatch):
    """TLS guards the bytes on their way, so that nothing need be read twice, whatever the source's digest."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(secure.authority))
    source, far = (secure.stores.bucket(f"{name}-{uuid.uuid4().hex[:16]}", far=name == "to") for name in ("from", "to"))
    secure.stores.put(source / "a", LARGE, part_bytes=part_bytes)
    report = transfer(source / "a", far / "b", part_size="6MiB")
    assert secure.stores.content(far / "b") == LARGE
    assert report.objects[0].proof == "tls"
    assert sum(each.method == "GET" and "range" in each.headers for each in secure.proxy.requests) == 3
    back = transfer(far / "b", source / "c")
    assert secure.stores.content(source / "c") == LARGE
    assert back.objects[0].outcome == "copied"


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: Secure):
    source = secure.stores.bucket(f"from-{uuid.uuid4().hex[:16]}")
    with pytest.raises(ReelmillError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        transfer(source / "a", source / "b")
    assert caught.value.code == "StoreUnreachable"

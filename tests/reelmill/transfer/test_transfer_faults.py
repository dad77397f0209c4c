"""Requests of a transfer go wrong in every way that networks and stores have, on both sides; no wrong copy is seen.

FAULT_RUNS says how many seeds are run, from 0 on; when it is set each has 1,000 parts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reelmill.cleaning import find_leftovers, sweep
from reelmill.errors import JobRejected, SourceChanged, StoreFailed, VerifyFailed
from reelmill.storage.opening import open_store
from reelmill.storage.working import work_location
from reelmill.transfer import parts
from tests.fault_proxy import FaultProxy
from tests.faults import KINDS, Fault, Faults, ProxiedRequest
from tests.s3_servers import S3Server
from tests.two_stores import MIB, Stores, noise, transfer, two_stores

pytestmark = pytest.mark.slow

FAULT_RUNS = int(os.environ.get("FAULT_RUNS", "2"))
PARTS = 1000 if "FAULT_RUNS" in os.environ else 150
PART = 64 << 10
FAULT_RATE = 0.1


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 KiB, which ministack takes: a thousand of real size are more than it can hold."""
    monkeypatch.setattr(parts, "SMALLEST_PART", PART)


class Struck(list[str]):
    """The faults that really struck on both sides."""

    def take(self, *proxies: FaultProxy) -> None:
        self.extend(each.fault for proxy in proxies for each in proxy.requests if each.fault)


@pytest.mark.parametrize("seed", range(FAULT_RUNS))
@pytest.mark.timeout(900)
def test_no_fault_makes_a_wrong_copy(
    ministack: S3Server,
    other_ministack: S3Server,
    s3_clients: Mapping[str, Any],
    small_parts: None,
    seed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    content = noise(PARTS * PART - 1, seed)
    deadly = seed % 4 == 3  # more in a row than anyone tries again
    most = 100 if deadly else 2
    env = {"REELMILL_S3_TIMEOUT_S": "10"} | ({"REELMILL_S3_ATTEMPTS": "1"} if deadly else {})
    with two_stores(ministack, other_ministack, tmp_path, monkeypatch, s3_clients) as direct:
        source = direct.put(direct.bucket(f"faults-from-{seed}") / "a", content)
        target = direct.bucket(f"faults-to-{seed}", far=True) / "b"
    struck = Struck()
    with (
        FaultProxy(ministack.endpoint_url, Faults(seed, FAULT_RATE, KINDS, most_in_a_row=most)) as near,
        FaultProxy(other_ministack.endpoint_url, Faults(seed + 1000, FAULT_RATE, KINDS, most_in_a_row=most)) as far,
        two_stores(
            ministack, other_ministack, tmp_path, monkeypatch, s3_clients,
            near_url=near.endpoint_url, far_url=far.endpoint_url, **env,
        ) as stores,
    ):  # fmt: skip
        try:
            report = transfer(source, target, part_size="64KiB", keep_partial=deadly)
        except (StoreFailed, JobRejected, VerifyFailed):
            report = None
        struck.take(near, far)
    print(len(near.requests) + len(far.requests), "requests,", {each: struck.count(each) for each in set(struck)})
    assert struck
    copied = direct.content(target)
    assert copied in (None, content)
    if not deadly:
        assert report is not None
        assert report.objects[0].parts == PARTS
        assert copied == content
    with two_stores(ministack, other_ministack, tmp_path, monkeypatch, s3_clients) as stores:
        transfer(source, target, part_size="64KiB")  # without faults it goes on, or has nothing to do
        assert stores.content(target) == content
        for each in find_leftovers(-60, [target.root]):
            assert deadly, "something was left by a transfer that completed"
            sweep(each)
        assert stores.uploads(target) == []
        assert list(open_store(work_location()).list()) == []


@pytest.fixture
def flipping(
    ministack: S3Server, other_ministack: S3Server, s3_clients: Mapping[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:  # fmt: skip
    """Gives two stores, of which the source's is behind a proxy that flips a bit of what `strikes` says."""
    from contextlib import contextmanager

    @contextmanager
    def stores_with(strikes: Any) -> Any:
        with FaultProxy(ministack.endpoint_url, strikes) as near, two_stores(
            ministack, other_ministack, tmp_path, monkeypatch, s3_clients, near_url=near.endpoint_url
        ) as stores:  # fmt: skip
            yield stores

    return stores_with


class Nth:
    """Strikes the n-th ranged GET."""

    def __init__(self, number: int, fault: Fault | None, then: Any = None):
        self.seen, self.number, self.fault, self.then = 0, number, fault, then

    def __call__(self, request: ProxiedRequest) -> Fault | None:
        if request.method == "GET" and "range" in request.headers:
            self.seen += 1
            if self.seen == self.number:
                if self.then:
                    self.then()
                return self.fault
        return None


def test_bit_that_flips_on_the_way_here_is_found_by_the_sources_own_digest(flipping: Any):
    content = noise(21 * MIB)
    with flipping(Nth(3, Fault("flip"))) as stores:
        source = stores.put(stores.bucket("flip-from") / "a", content, part_bytes=5 * MIB)
        target = stores.bucket("flip-to", far=True) / "b"
        report = transfer(source, target)
        assert "its digest differed" in " ".join(report.warnings)
        assert report.objects[0].proof == "etag"
        assert stores.content(target) == content


def test_one_part_that_always_fails_is_an_error_and_leaves_nothing(flipping: Any, set_to: Any):
    content = noise(21 * MIB)
    broken = "bytes=5242880-10485759"
    with flipping(lambda request: Fault("500") if request.headers.get("range") == broken else None) as stores:
        set_to(s3_attempts=2)
        source = stores.put(stores.bucket("bad-from") / "a", content, part_bytes=5 * MIB)
        target = stores.bucket("bad-to", far=True) / "b"
        with pytest.raises(StoreFailed):
            transfer(source, target)
        assert stores.content(target) is None
        assert stores.uploads(target) == []


@pytest.mark.parametrize("size", [1 * MIB, 21 * MIB])
def test_source_that_is_overwritten_meanwhile_gives_no_mixture(flipping: Any, size: int):
    content, other = noise(size), noise(size, 1)
    held: list[Stores] = []

    def overwrite() -> None:
        held[0].clients[""].put_object(Bucket=f"over-from-{size}", Key="a", Body=other)

    with flipping(Nth(1, None, overwrite)) as stores:
        held.append(stores)
        source = stores.put(stores.bucket(f"over-from-{size}") / "a", content)
        target = stores.bucket(f"over-to-{size}", far=True) / "b"
        with pytest.raises(SourceChanged):
            transfer(source, target)
        assert stores.content(target) is None
        assert stores.uploads(target) == []

"""What a store keeps is compared with what was sent, and with `--verify full` read again, however it came there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import StoreFailed, VerifyFailed
from reelmill.storage import s3_objects
from reelmill.storage.location import S3Location
from reelmill.transfer import finishing, running
from tests.fault_proxy import FaultProxy
from tests.faults import ProxiedRequest
from tests.s3_servers import S3Server
from tests.two_stores import MIB, Stores, noise, transfer, two_stores

CONTENT = noise(12 * MIB)
Put = Callable[[S3Location, bytes], None]


def spoilt(content: bytes) -> bytes:
    """Return it with the bit flipped that a proxy flips in the middle."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.fixture
def untrue(
    ministack: S3Server,
    other_ministack: S3Server,
    s3_clients: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Stores, list[int]]]:
    """Two stores, of which the far one keeps something else than it is sent whole, so many times as the list has."""
    times: list[int] = []
    sent: list[bytes] = []

    def spoil(asked: ProxiedRequest) -> Any:
        return "flip" if asked.method == "PUT" and times and times.pop() else None

    def md5_of_what_will_be_kept(content: bytes) -> str:
        kept = spoilt(content) if times else content
        sent.append(kept)
        return base64.b64encode(hashlib.md5(kept).digest()).decode()

    with (
        FaultProxy(other_ministack.endpoint_url, spoil) as proxy,
        two_stores(
            ministack, other_ministack, tmp_path, monkeypatch, s3_clients, far_url=proxy.endpoint_url
        ) as stores,
    ):  # fmt: skip
        monkeypatch.setattr(s3_objects, "content_md5", md5_of_what_will_be_kept)
        yield stores, times


def ends(stores: Stores, name: str, size: int) -> tuple[S3Location, S3Location]:
    source = stores.put(stores.bucket(f"{name}-from-{size}") / "a", CONTENT[:size])
    return source, stores.bucket(f"{name}-to-{size}", far=True) / "b"


def test_small_object_that_a_store_keeps_wrong_is_put_again(untrue: tuple[Stores, list[int]]):
    stores, times = untrue
    source, target = ends(stores, "untrue", 1000)
    times.append(1)
    transfer(source, target)
    assert not times
    assert stores.content(target) == CONTENT[:1000]


def test_small_object_that_a_store_always_keeps_wrong_does_not_stay(untrue: tuple[Stores, list[int]]):
    stores, times = untrue
    source, target = ends(stores, "untrue", 2000)
    times += [1] * 20
    with pytest.raises(StoreFailed, match="what was stored is not what was sent"):
        transfer(source, target)
    assert stores.content(target) is None


@pytest.fixture
def watched(
    ministack: S3Server,
    other_ministack: S3Server,
    s3_clients: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Stores, Callable[[], int]]]:
    """Two stores, and what says how often the far one was asked for content."""
    with (
        FaultProxy(other_ministack.endpoint_url) as proxy,
        two_stores(
            ministack, other_ministack, tmp_path, monkeypatch, s3_clients, far_url=proxy.endpoint_url
        ) as stores,
    ):  # fmt: skip
        yield stores, lambda: sum("range" in each.headers for each in proxy.requests)


@pytest.mark.parametrize("size", [0, 1000])
def test_small_copy_is_read_again_when_told_to(watched: tuple[Stores, Callable[[], int]], size: int):
    stores, reads = watched
    source, target = ends(stores, "small", size)
    [made] = transfer(source, target, verify="full").objects
    assert (made.outcome, made.read_again, reads()) == ("copied", True, min(size, 1))


@pytest.mark.parametrize("size", [1000, len(CONTENT)])
def test_copy_that_is_there_already_is_read_when_told_to(watched: tuple[Stores, Callable[[], int]], size: int):
    stores, reads = watched
    source, target = ends(stores, "there", size)
    transfer(source, target)
    assert not reads()
    [again] = transfer(source, target, verify="full").objects
    assert (again.outcome, again.read_again, reads()) == ("same already", True, 1)


@pytest.mark.parametrize("size", [1000, len(CONTENT)])
def test_wrong_copy_that_is_there_already_is_removed_when_it_is_read(
    stores: Stores, source: S3Location, far: S3Location, size: int
):
    stores.put(source / "a", CONTENT[:size], part_bytes=5 * MIB)
    transfer(source / "a", far / "b")
    stores.put(far / "b", spoilt(CONTENT[:size]), Metadata=stores.head(far / "b")["Metadata"])
    with pytest.raises(VerifyFailed, match="read again, 1 of 1 parts differ; it was removed"):
        transfer(source / "a", far / "b", verify="full")
    assert stores.content(far / "b") is None
    transfer(source / "a", far / "b", verify="full")
    assert stores.content(far / "b") == CONTENT[:size]


def test_wrong_copy_of_a_killed_run_is_found_by_the_next_without_being_told_to(
    stores: Stores, source: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch
):
    stores.put(source / "a", CONTENT, part_bytes=5 * MIB)

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(finishing, "read_again", kill)
        patched.setattr(running.Transfer, "abandon", lambda self, *, keep: None)
        with pytest.raises(Killed):
            transfer(source / "a", far / "b", verify="full")
    stores.put(far / "b", spoilt(CONTENT), Metadata=stores.head(far / "b")["Metadata"])
    with pytest.raises(VerifyFailed, match="it was removed"):
        transfer(source / "a", far / "b")
    assert stores.content(far / "b") is None


def test_copy_that_somebody_else_put_is_left_when_it_reads_otherwise(
    ministack: S3Server,
    other_ministack: S3Server,
    s3_clients: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def spoil(asked: ProxiedRequest) -> Any:
        return "flip" if "range" in asked.headers else None

    with (
        FaultProxy(other_ministack.endpoint_url, spoil) as proxy,
        two_stores(
            ministack, other_ministack, tmp_path, monkeypatch, s3_clients, far_url=proxy.endpoint_url
        ) as stores,
    ):  # fmt: skip
        source, target = ends(stores, "theirs", 1000)
        stores.put(target, CONTENT[:1000])
        with pytest.raises(VerifyFailed, match="it was left"):
            transfer(source, target, verify="full")
        assert stores.content(target) == CONTENT[:1000]

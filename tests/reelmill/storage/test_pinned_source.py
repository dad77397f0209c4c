"""A source in a bucket is read by range, once, and never as a mixture of what it was and what it became."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reelmill.errors import BucketNotFound, SourceChanged, SourceNotFound, StoreFailed
from reelmill.settings import settings
from reelmill.storage.blocks import BLOCK_BYTES, READ_AHEAD_BLOCKS, BlockReader, ReadRange
from reelmill.storage.location import S3Location
from reelmill.storage.pinning import opened, pin
from reelmill.storage.readable import Loopback
from tests.fault_proxy import FaultProxy
from tests.faults import Kind, ProxiedRequest
from tests.s3_servers import S3Server
from tests.stores import new_bucket, put, using

CONTENT = os.urandom(7 * BLOCK_BYTES + 12_345)


@pytest.fixture(params=["ministack", pytest.param("ceph", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = request.getfixturevalue(request.param)
    with using(server, monkeypatch):
        yield server


def test_source_reads_as_it_is(server: S3Server):
    pinned = pin(put(server, new_bucket(server) / "lectures" / "a b+c%20ü.mp4", CONTENT))
    assert pinned.size_bytes == len(CONTENT)
    with opened(pinned) as media, media.open() as file:
        assert file.read() == CONTENT
        file.seek(3 * BLOCK_BYTES - 5)
        assert file.read(10) == CONTENT[3 * BLOCK_BYTES - 5 : 3 * BLOCK_BYTES + 5]
        file.seek(-7, os.SEEK_END)
        assert file.read() == CONTENT[-7:]
        assert file.read() == b""


def test_missing_source_is_told_from_a_missing_bucket(server: S3Server):
    with pytest.raises(SourceNotFound):
        pin(new_bucket(server) / "nothing.mp4")
    with pytest.raises(BucketNotFound):
        pin(S3Location("there-is-no-such-bucket", "a.mp4"))


def test_identity_follows_the_content(server: S3Server):
    where = put(server, new_bucket(server) / "a.mp4", CONTENT)
    first = pin(where)
    assert pin(put(server, where, CONTENT)).identity == first.identity
    assert pin(put(server, where, b"other")).identity != first.identity


def test_source_overwritten_meanwhile_is_never_mixed(server: S3Server):
    where = put(server, new_bucket(server) / "a.mp4", CONTENT)

    def read_around_a_change() -> None:
        with opened(pin(where)) as media, media.open() as file:
            assert file.read(10) == CONTENT[:10]
            put(server, where, bytes(len(CONTENT)))
            file.seek(6 * BLOCK_BYTES)
            file.read()

    with pytest.raises(SourceChanged):
        read_around_a_change()


def test_source_removed_meanwhile_is_said_so(server: S3Server):
    where = put(server, new_bucket(server) / "a.mp4", CONTENT)
    pinned = pin(where)
    with closing(server.client()) as client:
        client.delete_object(Bucket=where.bucket, Key=where.key)
    with pytest.raises(SourceChanged), opened(pinned) as media, media.open() as file:
        file.read(10)


@pytest.mark.slow
def test_overwritten_source_goes_on_in_its_pinned_version(ceph: S3Server, monkeypatch: pytest.MonkeyPatch):
    """Asked of Ceph only: ministack ignores the range of a request that names a version."""
    with using(ceph, monkeypatch):
        where = put(ceph, new_bucket(ceph, versions=True) / "a.mp4", CONTENT)
        pinned = pin(where)
        put(ceph, where, bytes(len(CONTENT)))
        with opened(pinned) as media, media.open() as file:
            assert file.read() == CONTENT


def test_tools_get_no_more_than_the_object_at_an_address_of_this_machine(server: S3Server):
    pinned = pin(put(server, new_bucket(server) / "a.mp4", CONTENT))
    with opened(pinned) as media:
        assert isinstance(media, Loopback)
        assert media.address.startswith("http://127.0.0.1:")
        assert "a.mp4" not in media.address
        asked = urllib.request.Request(media.address, headers={"Range": "bytes=100-199"})
        with urllib.request.urlopen(asked) as answer:
            assert answer.read() == CONTENT[100:200]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(media.address[:-1])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(media.address)


def test_flipped_bit_is_found_by_reading_twice(ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    """S3 gives no checksum with a range, and plain HTTP guards nothing."""
    flipped: list[str] = []

    def flip_once(request: ProxiedRequest) -> Kind | None:
        wanted = request.headers.get("range", "")
        if wanted in flipped or not wanted:
            return None
        flipped.append(wanted)
        return "flip"

    where = put(ministack, new_bucket(ministack) / "a.mp4", CONTENT)
    with (
        FaultProxy(ministack.endpoint_url, flip_once) as proxy,
        using(ministack, monkeypatch, REELMILL_S3_ENDPOINT_URL=proxy.endpoint_url),
        opened(pin(where)) as media,
        media.open() as file,
    ):
        assert file.read() == CONTENT
    assert flipped


def test_range_that_is_always_cut_short_fails_at_last(ministack: S3Server, monkeypatch: pytest.MonkeyPatch):
    where = put(ministack, new_bucket(ministack) / "a.mp4", CONTENT)
    with (
        FaultProxy(ministack.endpoint_url, lambda asked: "truncate" if "range" in asked.headers else None) as proxy,
        using(ministack, monkeypatch, REELMILL_S3_ENDPOINT_URL=proxy.endpoint_url, REELMILL_S3_ATTEMPTS="2"),
        pytest.raises(StoreFailed),
        opened(pin(where)) as media,
        media.open() as file,
    ):
        file.read()


def counting(content: bytes, asked: list[tuple[int, int]]) -> ReadRange:
    def read(start: int, end: int) -> bytes:
        asked.append((start, end))
        return content[start:end]

    return read


@pytest.mark.parametrize("kept_blocks", [100, 1])
def test_blocks_are_right_whatever_is_kept(tmp_path: Path, kept_blocks: int):
    asked: list[tuple[int, int]] = []
    blocks = BlockReader(
        counting(CONTENT, asked), len(CONTENT), folder=tmp_path, keep_bytes=kept_blocks * BLOCK_BYTES, streams=2,
    )  # fmt: skip
    try:
        for _ in range(2):
            whole = b"".join(blocks.block(number, ahead=READ_AHEAD_BLOCKS) for number in range(blocks.blocks))
            assert whole == CONTENT
        assert len(asked) == blocks.blocks
        assert blocks.bytes_read == len(CONTENT)
    finally:
        blocks.close()


def test_more_blocks_than_are_kept_are_read_again(tmp_path: Path):
    content = os.urandom(64 * BLOCK_BYTES)
    asked: list[tuple[int, int]] = []
    blocks = BlockReader(
        counting(content, asked), len(content), folder=tmp_path, keep_bytes=1, streams=2,
    )  # fmt: skip
    try:
        for _ in range(2):
            assert b"".join(blocks.block(number) for number in range(blocks.blocks)) == content
        assert len(asked) > blocks.blocks
    finally:
        blocks.close()


def test_nothing_of_a_source_stays_in_the_scratch_folder(server: S3Server):
    pinned = pin(put(server, new_bucket(server) / "a.mp4", CONTENT))
    with opened(pinned) as media, media.open() as file:
        file.read()
        assert list(settings().scratch_dir.iterdir()) == []

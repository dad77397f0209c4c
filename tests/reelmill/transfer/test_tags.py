"""Tags of a copy are those of the source, on servers that keep, ignore or spoil what an upload says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from reelmill.storage.location import S3Location
from tests.s3_servers import S3Server
from tests.two_stores import MIB, Stores, clients_of, noise, transfer, two_stores

TAGS = {"plain": "v", "with space": "a b+c", "ümlaut": "é/=:@ x", "empty": ""}


@pytest.fixture(params=["other_ministack", pytest.param("ceph", marks=pytest.mark.slow)])
def stores(
    request: pytest.FixtureRequest, ministack: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stores]:
    far: S3Server = request.getfixturevalue(request.param)
    with clients_of(ministack, far) as clients, two_stores(ministack, far, tmp_path, monkeypatch, clients) as both:
        yield both


def tagged(stores: Stores, where: S3Location, size: int) -> S3Location:
    return stores.put(where, noise(size), Tagging=urlencode(TAGS, quote_via=quote))


@pytest.mark.parametrize("size", [100, 6 * MIB])
def test_tags_are_those_of_the_source(stores: Stores, source: S3Location, far: S3Location, size: int):
    transfer(tagged(stores, source / "a", size), far / "b")
    assert stores.tags(far / "b") == TAGS


def test_tags_with_spaces_are_kept_when_a_store_copies_by_itself(stores: Stores, far: S3Location):
    transfer(tagged(stores, far / "a", 100), far / "b")
    assert stores.tags(far / "b") == TAGS


def test_object_without_tags_that_was_uploaded_in_parts_is_copied(stores: Stores, source: S3Location, far: S3Location):
    stores.put(far / "a", noise(6 * MIB), part_bytes=6 * MIB)
    transfer(far / "a", source / "b")
    assert stores.tags(source / "b") == {}


@pytest.mark.parametrize("size", [100, 6 * MIB])
def test_tags_that_an_earlier_run_did_not_get_to_are_put_by_the_next(
    stores: Stores, source: S3Location, far: S3Location, size: int
):
    tagged(stores, source / "a", size)
    transfer(source / "a", far / "b")
    stores.clients[far.store].delete_object_tagging(Bucket=far.bucket, Key="b")
    [again] = transfer(source / "a", far / "b").objects
    assert again.outcome == "same already"
    assert stores.tags(far / "b") == TAGS


def test_object_that_somebody_else_put_is_left_without_tags(stores: Stores, source: S3Location, far: S3Location):
    tagged(stores, source / "a", 100)
    stores.put(far / "b", noise(100))
    [again] = transfer(source / "a", far / "b").objects
    assert again.outcome == "same already"
    found = stores.clients[far.store].get_object_tagging(Bucket=far.bucket, Key="b")
    assert not found.get("TagSet")

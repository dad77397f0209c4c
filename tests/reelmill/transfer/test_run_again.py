"""A folder that was filled from a bucket is known again, whatever the store has said of the objects."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import OutputCollision, VerifyFailed
from reelmill.storage.location import S3Location
from reelmill.transfer import ends
from tests.two_stores import MIB, Stores, noise, transfer

UNEVEN = (6 * MIB, 7 * MIB, 1 * MIB)
CONTENT = noise(sum(UNEVEN))


def put_uneven(stores: Stores, where: S3Location) -> S3Location:
    """Upload it in parts of which nothing that a store says of the object tells the sizes."""
    client, named = stores.clients[where.store], {"Bucket": where.bucket, "Key": where.key}
    upload, at, parts = client.create_multipart_upload(**named)["UploadId"], 0, list[Any]()
    for number, size in enumerate(UNEVEN, 1):
        sent = client.upload_part(**named, UploadId=upload, PartNumber=number, Body=CONTENT[at : at + size])
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        at += size
    client.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})
    return where


@pytest.fixture
def without_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that keeps no extended attributes, as some of networks don't."""

    def refuse(*_: Any) -> Any:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    monkeypatch.setattr(os, "getxattr", refuse)


def test_folder_is_completed_by_the_same_command(stores: Stores, source: S3Location, tmp_path: Path):
    for key in ("in/a", "in/b"):
        put_uneven(stores, source / key)
    transfer(source / "in", tmp_path / "out", recursive=True)
    (tmp_path / "out/b").unlink()
    again = transfer(source / "in", tmp_path / "out", recursive=True)
    assert [each.outcome for each in again.objects] == ["same already", "copied"]
    assert (tmp_path / "out/b").read_bytes() == CONTENT


def test_small_file_is_known_by_the_note_with_it(stores: Stores, source: S3Location, tmp_path: Path):
    stores.put(source / "a", CONTENT[:1000], part_bytes=1000)
    transfer(source / "a", tmp_path / "a")
    assert os.listxattr(tmp_path / "a") == ["user.reelmill-source"]
    assert transfer(source / "a", tmp_path / "a").copied == 0


def test_file_that_was_written_to_since_is_not_taken_for_the_copy(stores: Stores, source: S3Location, tmp_path: Path):
    put_uneven(stores, source / "a")
    transfer(source / "a", tmp_path / "a")
    with (tmp_path / "a").open("r+b") as file:
        file.write(b"theirs")
    with pytest.raises(OutputCollision, match=r"can't be compared.*--replace"):
        transfer(source / "a", tmp_path / "a")
    transfer(source / "a", tmp_path / "a", replace=True)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_file_is_read_all_the_same_when_told_to(stores: Stores, source: S3Location, tmp_path: Path):
    put_uneven(stores, source / "a")
    transfer(source / "a", tmp_path / "a")
    assert transfer(source / "a", tmp_path / "a", verify="full").objects[0].outcome == "same already"
    written = (tmp_path / "a").stat().st_mtime_ns
    with (tmp_path / "a").open("r+b") as file:
        file.write(b"a sector that was lost")
    os.utime(tmp_path / "a", ns=(written, written))
    with pytest.raises(VerifyFailed, match="read again, 1 of 1 parts differ; it was removed"):
        transfer(source / "a", tmp_path / "a", verify="full")
    assert not (tmp_path / "a").exists()


@pytest.mark.usefixtures("without_attributes")
def test_where_nothing_can_tell_it_is_said_so(stores: Stores, source: S3Location, tmp_path: Path):
    put_uneven(stores, source / "a")
    transfer(source / "a", tmp_path / "a")
    with pytest.raises(OutputCollision, match=r"can't be compared.*--replace"):
        transfer(source / "a", tmp_path / "a")


@pytest.mark.usefixtures("without_attributes")
def test_crc32_of_the_store_tells_where_its_etag_is_no_md5(stores: Stores, source: S3Location, tmp_path: Path):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    stores.clients[""].put_bucket_encryption(Bucket=source.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    stores.put(source / "a", CONTENT, ChecksumAlgorithm="CRC32")
    transfer(source / "a", tmp_path / "a")
    assert transfer(source / "a", tmp_path / "a").copied == 0
    (tmp_path / "a").write_bytes(noise(len(CONTENT), 1))
    with pytest.raises(OutputCollision, match="another content"):
        transfer(source / "a", tmp_path / "a")


@pytest.mark.usefixtures("without_attributes")
def test_parts_of_any_usual_size_are_tried(
    stores: Stores, source: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ends, "first_part_bytes", lambda where, facts: None)  # as of Ceph 16
    stores.put(source / "a", CONTENT[: 12 * MIB], part_bytes=8 * MIB)
    transfer(source / "a", tmp_path / "a")
    assert transfer(source / "a", tmp_path / "a").copied == 0


def test_objects_that_have_no_digest_in_common_are_said_to_have_none(
    stores: Stores, source: S3Location, far: S3Location
):
    stores.put(far / "b", CONTENT)
    with pytest.raises(OutputCollision, match="can't be compared"):
        transfer(put_uneven(stores, source / "a"), far / "b")

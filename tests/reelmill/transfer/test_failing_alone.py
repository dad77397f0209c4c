"""Of many objects one that can't be copied holds up no other, and is told of in the end."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import (
    InvalidParameter,
    InvalidUri,
    NotEnoughSpace,
    SourceArchived,
    StoreAccessDenied,
    StoreUnreachable,
    TransferIncomplete,
)
from reelmill.storage.location import S3Location
from reelmill.transfer import failing, running, small
from reelmill.transfer.failing import refuse_incomplete
from reelmill.transfer.ledger import PartRecord
from reelmill.transfer.report import TransferReport
from tests.live_jobs import files_below
from tests.two_stores import MIB, Stores, noise, transfer

PART = 5 * MIB
LARGE = noise(3 * PART)


def failed(report: TransferReport) -> dict[str, str]:
    return {each.source.rpartition("/")[2]: each.code for each in report.failed}


@pytest.fixture
def several(stores: Stores, source: S3Location) -> S3Location:
    """Two large objects, and six small ones."""
    for name in ("large1", "large2"):
        stores.put(source / "in" / name, LARGE)
    for number in range(6):
        stores.put(source / f"in/{number}", b"x" * number)
    return source / "in"


def test_collisions_hold_up_no_other_object(stores: Stores, several: S3Location, far: S3Location):
    for name in ("3", "large1"):
        stores.put(far / name, b"theirs")
    for _ in range(2):
        report = transfer(several, far, recursive=True)
        assert failed(report) == {"3": "OutputCollision", "large1": "OutputCollision"}
        assert len(report.objects) == 6
    assert report.copied == 0
    assert len(stores.keys(far)) == 8
    assert stores.content(far / "3") == stores.content(far / "large1") == b"theirs"
    assert stores.content(far / "large2") == LARGE
    assert stores.uploads(far) == []
    with pytest.raises(TransferIncomplete, match=r"2 of 8 were not copied: .*/in/3: OutputCollision: "):
        refuse_incomplete(report)


def test_objects_that_are_gone_since_they_were_listed_hold_up_no_other(
    stores: Stores, several: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch
):
    opened = running.open_ledger

    def remove_and_open(*given: Any, **said: Any) -> Any:
        for name in ("2", "large2"):
            stores.clients[""].delete_object(Bucket=several.bucket, Key=f"in/{name}")
        return opened(*given, **said)

    monkeypatch.setattr(running, "open_ledger", remove_and_open)
    report = transfer(several, far, recursive=True)
    assert failed(report) == {"2": "SourceNotFound", "large2": "SourceNotFound"}
    assert report.copied == 6


@pytest.mark.parametrize("keep", [False, True])
def test_only_of_the_object_that_was_changed_nothing_is_kept(
    stores: Stores, several: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch, keep: bool
):
    note, noted = running.Ledger.note_part, dict[str, int]()

    def change_one_and_break_the_other(self: Any, name: str, record: PartRecord) -> None:
        note(self, name, record)
        noted[name] = noted.get(name, 0) + 1
        if len(noted) == 1 and record.number == 2:
            stores.put(several / "large1", noise(len(LARGE), 1))
        if len(noted) == 2 and record.number == 2:
            raise StoreUnreachable("the cable is out")

    with monkeypatch.context() as patched:
        patched.setattr(running.Ledger, "note_part", change_one_and_break_the_other)
        with pytest.raises(StoreUnreachable):
            transfer(several, far, recursive=True, concurrency=1, part_size="5MiB", keep_partial=keep)
    found = stores.clients["far"].list_multipart_uploads(Bucket=far.bucket).get("Uploads", ())
    assert [each["Key"] for each in found] == (["large2"] if keep else [])
    report = transfer(several, far, recursive=True, part_size="5MiB")
    assert (report.copied, report.kept_parts, report.failed) == (8, 2 if keep else 0, ())


def test_object_that_changes_meanwhile_holds_up_no_other(
    stores: Stores, several: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch
):
    note = running.Ledger.note_part

    def change(self: Any, name: str, record: PartRecord) -> None:
        note(self, name, record)
        if record.number == 1:
            stores.put(several / "large1", noise(len(LARGE), 1))

    monkeypatch.setattr(running.Ledger, "note_part", change)
    report = transfer(several, far, recursive=True, concurrency=1, part_size="5MiB", keep_partial=True)
    assert failed(report) == {"large1": "SourceChanged"}
    assert report.copied == 7
    assert stores.uploads(far) == []


@pytest.mark.parametrize(
    ("error", "expected"), [(SourceArchived, {"4": "SourceArchived"}), (InvalidParameter, {"4": "InvalidParameter"})]
)
def test_object_that_cannot_be_read_as_it_is_holds_up_no_other(
    stores: Stores, several: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch, error: Any, expected: Any
):
    """Archived ones can't be made on the servers of these tests."""
    look = small.look_at_source

    def refuse(location: S3Location) -> Any:
        if location.name == "4":
            raise error("not this one")
        return look(location)

    monkeypatch.setattr(small, "look_at_source", refuse)
    report = transfer(several, far, recursive=True)
    assert (failed(report), report.copied) == (expected, 7)


def test_refusals_without_end_end_the_transfer(
    stores: Stores, several: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch
):
    def refuse(location: S3Location) -> Any:
        raise StoreAccessDenied("ExpiredToken")

    monkeypatch.setattr(small, "look_at_source", refuse)
    monkeypatch.setattr(running, "MOST_DENIED", 7)
    assert len(transfer(several, far, recursive=True).failed) == 6
    monkeypatch.setattr(running, "MOST_DENIED", 6)
    with pytest.raises(StoreAccessDenied, match="the 5 before it"):
        transfer(several, far, recursive=True)
    assert failing.MOST_DENIED > 6


def test_what_a_folder_has_besides_files_is_told(
    stores: Stores, far: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "closed").mkdir()
    for name in ("a", "sub/b", "closed/c"):
        (folder / name).write_bytes(b"x")
    (folder / "link").symlink_to("a")
    (folder / "folder").symlink_to("sub")
    (folder / "dangling").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    scandir = os.scandir

    def refuse(path: Any) -> Any:  # the superuser may enter any
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = transfer(folder, far, recursive=True)
    assert sorted(stores.keys(far)) == ["a", "link", "sub/b"]
    assert failed(report) == {"closed": "StoreAccessDenied"}
    left_out = sorted(each.partition(":")[0].rpartition("/")[2] for each in report.warnings)
    assert left_out == ["dangling", "folder", "pipe"]


def test_names_that_no_file_can_have_hold_up_no_other(stores: Stores, source: S3Location, tmp_path: Path):
    for key, size in {"a": 1, "a/b": 2, "n" * 256: 3, f"{'m' * 256}/x": 5 * MIB, "ok": 1}.items():
        stores.put(source / key, noise(size))
    report = transfer(source, tmp_path / "out", recursive=True)
    assert {each.code for each in report.failed} <= {"InvalidKey", "OutputCollision", "StoreConflict"}
    assert len(report.failed) == 3
    assert "ok" in files_below(tmp_path / "out")
    with pytest.raises(InvalidUri, match="more than the 255 bytes of a name"):
        transfer(source / "ok", tmp_path / ("n" * 256))


@pytest.mark.parametrize("size", [100, 5 * MIB])
def test_full_disk_ends_the_transfer_at_once(
    stores: Stores, source: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
):
    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for key in "ab":
        stores.put(source / key, noise(size))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        with pytest.raises(NotEnoughSpace):
            transfer(source, tmp_path / "out", recursive=True)
    assert files_below(tmp_path / "out") == []


def test_folder_that_may_not_be_entered_is_an_error_of_the_tree(
    stores: Stores, source: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Put as the system would, since the superuser may enter any."""
    stat = os.stat

    def refuse(path: Any, **said: Any) -> Any:
        if "closed" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **said)

    stores.put(source / "a", b"x")
    stores.put(source / "closed/b", b"x")
    monkeypatch.setattr(os, "stat", refuse)
    assert failed(transfer(source, tmp_path / "out", recursive=True)) == {"b": "StoreAccessDenied"}
    with pytest.raises(StoreAccessDenied, match="Permission denied"):
        transfer(source / "a", tmp_path / "closed/a")


def test_collision_in_a_folder_holds_up_no_other_file(stores: Stores, several: S3Location, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1").write_bytes(b"y")
    report = transfer(several, tmp_path / "out", recursive=True)
    assert failed(report) == {"1": "OutputCollision"}
    assert len(files_below(tmp_path / "out")) == 8

"""A transfer that broke off goes on where it was, and one that nobody goes on with leaves nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reelmill.cleaning import find_leftovers, sweep
from reelmill.errors import JobCancelled, SourceChanged, UploadGone
from reelmill.storage import s3_lease
from reelmill.storage.location import S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.working import work_location
from reelmill.transfer import copying, running
from reelmill.transfer.job import TransferJob, accept_transfer
from reelmill.transfer.ledger import PartRecord, object_name, open_ledger
from tests.live_jobs import files_below
from tests.two_stores import MIB, Stores, noise, transfer

PART = 5 * MIB
CONTENT = noise(6 * PART + 1)


@contextmanager
def killed_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a transfer end like one that is killed, which can't clear up, when so many parts have arrived."""
    with monkeypatch.context() as patched:
        note, noted = running.Ledger.note_part, 0

        def note_until(self: Any, name: str, record: PartRecord) -> None:
            nonlocal noted
            note(self, name, record)
            noted += 1
            if noted >= parts:
                raise JobCancelled("killed")

        patched.setattr(running.Ledger, "note_part", note_until)
        patched.setattr(running.Transfer, "abandon", lambda self, *, keep: None)
        with pytest.raises(JobCancelled):
            yield


def work_left() -> list[str]:
    return [each.key for each in open_store(work_location()).list()]


@pytest.fixture
def begun(stores: Stores, source: S3Location, far: S3Location) -> tuple[S3Location, S3Location]:
    stores.put(source / "a", CONTENT, part_bytes=PART)
    return source / "a", far / "b"


def test_killed_transfer_goes_on_with_what_has_arrived(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch
):
    with killed_after(4, monkeypatch):
        transfer(*begun, concurrency=1)
    [upload] = stores.uploads(begun[1])
    report = transfer(*begun)
    assert (report.kept_parts, report.objects[0].parts, report.moved_bytes) == (4, 7, len(CONTENT) - 4 * PART)
    assert stores.content(begun[1]) == CONTENT
    assert stores.head(begun[1])["ETag"] == stores.head(begun[0])["ETag"]
    assert upload not in stores.uploads(begun[1])
    assert work_left() == []


@pytest.mark.parametrize("damage", ["part replaced", "record lost", "record of something else"])
def test_part_is_kept_only_where_ledger_and_store_agree(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch, damage: str
):
    with killed_after(3, monkeypatch):
        transfer(*begun, concurrency=1)
    [upload] = stores.uploads(begun[1])
    key = accept_transfer(TransferJob(source=str(begun[0]), destination=str(begun[1]))).key
    record = f"jobs/{key}/records/{object_name(begun[1])}/00002.json"
    store = open_store(work_location())
    if damage == "part replaced":
        named: Any = {"Bucket": begun[1].bucket, "Key": begun[1].key, "UploadId": upload, "PartNumber": 2}
        stores.clients["far"].upload_part(**named, Body=noise(PART, 7))
    elif damage == "record lost":
        store.delete(record)
    else:
        store.write(record, json.dumps(json.loads(store.read(record) or b"") | {"size_bytes": 1}).encode())
    assert transfer(*begun).kept_parts == 2
    assert stores.content(begun[1]) == CONTENT


def test_changed_source_is_begun_anew_and_says_so(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch
):
    with killed_after(3, monkeypatch):
        transfer(*begun)
    other = noise(len(CONTENT), 1)
    stores.put(begun[0], other, part_bytes=PART)
    report = transfer(*begun)
    assert report.kept_parts == 0
    assert "the source was changed" in " ".join(report.warnings)
    assert stores.content(begun[1]) == other
    assert stores.uploads(begun[1]) == []


def test_upload_that_is_gone_is_begun_anew(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch
):
    with killed_after(3, monkeypatch):
        transfer(*begun)
    [upload] = stores.uploads(begun[1])
    stores.clients["far"].abort_multipart_upload(Bucket=begun[1].bucket, Key=begun[1].key, UploadId=upload)
    assert transfer(*begun).kept_parts == 0
    assert stores.content(begun[1]) == CONTENT


def test_upload_that_was_opened_when_the_run_was_killed_is_aborted_by_the_next(
    stores: Stores, begun: tuple[S3Location, S3Location]
):
    accepted = accept_transfer(TransferJob(source=str(begun[0]), destination=str(begun[1])))
    with open_ledger(accepted.key, on_lost=lambda: None) as (ledger, _):
        nothing = {"source": str(begun[0]), "identity": "x", "part_bytes": PART, "twice": False, "token": ""}
        ledger.store.write(f"records/{object_name(begun[1])}.json", json.dumps(nothing).encode())
    stores.clients["far"].create_multipart_upload(Bucket=begun[1].bucket, Key=begun[1].key)
    stores.clients["far"].create_multipart_upload(Bucket=begun[1].bucket, Key="somebody else's")
    transfer(*begun)
    assert len(stores.uploads(begun[1])) == 1
    assert stores.content(begun[1]) == CONTENT


def test_killed_download_goes_on_with_the_parts_that_are_intact(
    stores: Stores, begun: tuple[S3Location, S3Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "out" / "a.bin"
    with killed_after(4, monkeypatch):
        transfer(begun[0], target, concurrency=1)
    [draft] = files_below(tmp_path / "out")
    with (tmp_path / "out" / draft).open("r+b") as file:
        file.seek(PART + 3)
        file.write(b"damage")
    report = transfer(begun[0], target)
    assert report.kept_parts == 3
    assert target.read_bytes() == CONTENT
    assert files_below(tmp_path / "out") == ["a.bin"]


@pytest.mark.parametrize("keep", [True, False])
def test_failure_keeps_what_has_arrived_only_when_asked(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch, keep: bool
):
    def fail(*given: Any, **options: Any) -> PartRecord:
        if given[2].number == 4:
            raise JobCancelled("enough")
        return often(*given, **options)

    often = copying._copy_often
    with monkeypatch.context() as patched:
        patched.setattr(copying, "_copy_often", fail)
        with pytest.raises(JobCancelled):
            transfer(*begun, concurrency=1, keep_partial=keep)
    assert len(stores.uploads(begun[1])) == keep
    assert bool(work_left()) == keep
    assert transfer(*begun).kept_parts == (3 if keep else 0)
    assert stores.content(begun[1]) == CONTENT


def test_source_that_changes_meanwhile_is_refused_and_nothing_is_kept(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch
):
    note = running.Ledger.note_part

    def overwrite(self: Any, name: str, record: PartRecord) -> None:
        note(self, name, record)
        if record.number == 2:
            stores.put(begun[0], noise(len(CONTENT), 2), part_bytes=PART)

    monkeypatch.setattr(running.Ledger, "note_part", overwrite)
    with pytest.raises(SourceChanged):
        transfer(*begun, concurrency=1, keep_partial=True)
    assert stores.content(begun[1]) is None
    assert stores.uploads(begun[1]) == []
    assert work_left() == []


def test_file_that_changes_meanwhile_is_refused(
    stores: Stores, far: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "in.bin"
    file.write_bytes(CONTENT)
    note = running.Ledger.note_part

    def overwrite(self: Any, name: str, record: PartRecord) -> None:
        note(self, name, record)
        if record.number == 2:
            file.write_bytes(noise(len(CONTENT), 3))

    monkeypatch.setattr(running.Ledger, "note_part", overwrite)
    with pytest.raises(SourceChanged):
        transfer(file, far / "b", concurrency=1, part_size="5MiB")
    assert stores.content(far / "b") is None
    assert stores.uploads(far) == []


def test_clean_finds_what_a_killed_transfer_left_and_removes_it(
    stores: Stores, begun: tuple[S3Location, S3Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with killed_after(2, monkeypatch):
        transfer(*begun)
    with killed_after(2, monkeypatch):
        transfer(begun[0], tmp_path / "out" / "a.bin")
    found = list(find_leftovers(-60, [begun[1].root, tmp_path / "out"]))
    assert {each.kind for each in found} == {"work", "upload", "draft"}
    assert all(sweep(each) for each in found)
    assert stores.uploads(begun[1]) == []
    assert files_below(tmp_path / "out") == []
    assert work_left() == []


def test_object_that_is_gone_since_leaves_no_upload(
    stores: Stores, source: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch
):
    stores.put(source / "in/a", CONTENT, part_bytes=PART)
    stores.put(source / "in/b", b"small")
    with killed_after(2, monkeypatch):
        transfer(source / "in", far / "out", recursive=True)
    assert len(stores.uploads(far)) == 1
    stores.clients[""].delete_object(Bucket=source.bucket, Key="in/a")
    assert transfer(source / "in", far / "out", recursive=True).copied <= 1
    assert stores.keys(far) == ["out/b"]
    assert stores.uploads(far) == []
    assert work_left() == []


def test_upload_that_cannot_be_noted_is_aborted(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch
):
    begin = running.Ledger.begin

    def fail_to_note(self: Any, name: str, beginning: Any, note: Any) -> None:
        if beginning.token:
            raise JobCancelled("no")
        begin(self, name, beginning, note)

    monkeypatch.setattr(running.Ledger, "begin", fail_to_note)
    with pytest.raises(JobCancelled):
        transfer(*begun)
    assert stores.uploads(begun[1]) == []
    assert work_left() == []


def after_part(number: int, do: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something done as soon as the part of that number has been noted."""
    note = running.Ledger.note_part

    def note_and_do(self: Any, name: str, record: PartRecord) -> None:
        note(self, name, record)
        if record.number == number:
            do()

    monkeypatch.setattr(running.Ledger, "note_part", note_and_do)


@pytest.mark.parametrize("is_noticed", [True, False])
def test_run_that_lost_its_lease_leaves_everything_to_the_one_that_took_it(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch, set_to: Any, is_noticed: bool
):
    """Also when it fails before its next beat, at which it would notice."""
    work = stores.bucket(f"work-{uuid.uuid4().hex[:16]}")
    set_to(work_dir=work)
    monkeypatch.setattr(s3_lease, "BEAT_S", 0.1 if is_noticed else 60)
    key = accept_transfer(TransferJob(source=str(begun[0]), destination=str(begun[1]))).key
    theirs = json.dumps({"host": "another", "pid": 1, "started": "1 x", "id": "1"}).encode()

    def take_over() -> None:
        stores.put(work / f"jobs/{key}/lock", theirs)
        if not is_noticed:
            raise JobCancelled("interrupted")

    after_part(2, take_over, monkeypatch)
    with pytest.raises(JobCancelled, match="took this transfer over" if is_noticed else "interrupted"):
        transfer(*begun, concurrency=1, rate_limit="10MiB")
    assert len(stores.uploads(begun[1])) == 1
    assert f"jobs/{key}/records/{object_name(begun[1])}/00002.json" in stores.keys(work)
    assert stores.content(work / f"jobs/{key}/lock") == theirs


@pytest.mark.parametrize("by_store", [True, False])
def test_upload_that_somebody_ended_meanwhile_is_an_error_that_a_second_run_mends(
    stores: Stores, begun: tuple[S3Location, S3Location], monkeypatch: pytest.MonkeyPatch, by_store: bool
):
    target = begun[0].root / "copy" if by_store else begun[1]

    def end_upload() -> None:
        [upload] = stores.uploads(target)
        stores.clients[target.store].abort_multipart_upload(Bucket=target.bucket, Key=target.key, UploadId=upload)

    with monkeypatch.context() as patched:
        after_part(2, end_upload, patched)
        with pytest.raises(UploadGone):
            transfer(begun[0], target, concurrency=1)
    assert transfer(begun[0], target).copied == 1
    assert stores.content(target) == CONTENT

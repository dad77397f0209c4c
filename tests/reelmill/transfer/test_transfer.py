"""Whole transfers over the wire, between two stores, into one and out of one: the copy is the source."""

from __future__ import annotations

import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import (
    InvalidParameter,
    InvalidUri,
    JobCancelled,
    JobRunning,
    OutputCollision,
    PathEscape,
    SourceChanged,
    SourceNotFound,
    StoreAccessDenied,
    TriggerLoop,
)
from reelmill.media.tool_jobs import cancel_job
from reelmill.storage.digests import composite_crc32, crc32_text
from reelmill.storage.location import S3Location, known_location, parse_location
from reelmill.storage.opening import open_store
from reelmill.storage.working import work_location
from reelmill.transfer.job import TransferJob, accept_transfer
from reelmill.transfer.ledger import open_ledger
from reelmill.transfer.plan import plan_transfer
from reelmill.transfer.running import run_here
from tests.live_jobs import files_below
from tests.two_stores import MIB, Stores, noise, transfer

LARGE = noise(21 * MIB + 3)
KEYS = ["plain.bin", "über/日本 語.bin", "100%41+a b.bin", "a?b#c&d=e.bin", "a//b.bin", "-version"]


def nothing_is_left(stores: Stores, *buckets: S3Location) -> bool:
    return not any(stores.uploads(each) for each in buckets) and list(open_store(work_location()).list()) == []


@pytest.mark.parametrize(
    ("size", "verify"),
    [(0, "parts"), (1, "full"), (4 * MIB, "parts"), (4 * MIB + 1, "full"), (len(LARGE), "parts"), (len(LARGE), "full")],
)
def test_copy_between_two_stores_is_the_source(
    stores: Stores, source: S3Location, far: S3Location, size: int, verify: str
):
    stores.put(source / "a", LARGE[:size])
    report = transfer(source / "a", far / "b", verify=verify, part_size="5MiB")
    assert stores.content(far / "b") == LARGE[:size]
    [made] = report.objects
    assert (made.outcome, made.size_bytes) == ("copied", size)
    assert made.crc32 == crc32_text(zlib.crc32(LARGE[:size]))
    assert nothing_is_left(stores, source, far)


def test_keys_are_taken_literally(stores: Stores, source: S3Location, far: S3Location):
    for number, key in enumerate(KEYS):
        size = (100, 5 * MIB)[number % 2]
        stores.put(source / key, LARGE[:size])
        transfer(source / key, far / f"x/{key}")
        assert stores.content(far / f"x/{key}") == LARGE[:size]
    assert sorted(stores.keys(far)) == sorted(f"x/{key}" for key in KEYS)


def test_next_transfer_knows_how_fast_the_last_one_was(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", noise(65 * MIB))

    def measured(start: S3Location, end: S3Location) -> float | None:
        return plan_transfer(accept_transfer(TransferJob(source=str(start), destination=str(end)))).rates.measured

    transfer(source / "a", far / "a", rate_limit="1GB")
    assert measured(source / "a", far / "b") is None
    transfer(source / "a", far / "b")
    assert (measured(source / "a", far / "c") or 0) > 0
    assert measured(far / "b", source / "b") is None


def test_object_that_was_small_when_it_was_listed_is_not_read_whole(
    stores: Stores, source: S3Location, far: S3Location
):
    stores.put(source / "in/a", b"small")
    accepted = accept_transfer(TransferJob(source=str(source / "in/a"), destination=str(far / "b")))
    plan = plan_transfer(accepted)
    stores.put(source / "in/a", LARGE)
    with pytest.raises(SourceChanged, match="has 22,020,099 bytes now; the same command again copies it in parts"):
        run_here(accepted, plan, "grown", lambda _: None)
    assert transfer(source / "in/a", far / "b").copied_bytes == len(LARGE)


@pytest.mark.parametrize("size", [100, 6 * MIB])
def test_metadata_content_type_and_tags_are_kept(stores: Stores, source: S3Location, far: S3Location, size: int):
    said: Any = {
        "ContentType": "video/x-matroska", "CacheControl": "max-age=60", "ContentDisposition": "attachment",
        "ContentLanguage": "de", "Metadata": {"title": "a b", "n": "1"},
    }  # fmt: skip
    stores.put(source / "a", LARGE[:size], **said, Tagging="kind=film&of=%C3%BC")
    transfer(source / "a", far / "b")
    found = stores.head(far / "b")
    assert {name: found[name] for name in said if name != "Metadata"} == {
        k: v for k, v in said.items() if k != "Metadata"
    }
    assert said["Metadata"].items() < found["Metadata"].items()
    assert stores.tags(far / "b") == {"kind": "film", "of": "ü"}


def test_parts_of_the_source_are_kept_so_that_both_have_one_etag(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", LARGE, part_bytes=5 * MIB)
    [made] = transfer(source / "a", far / "b").objects
    assert (made.parts, made.part_bytes, made.proof) == (5, 5 * MIB, "etag")
    assert stores.head(far / "b")["ETag"] == stores.head(source / "a")["ETag"] == f'"{made.etag}"'


def test_server_that_checks_a_crc32_gets_one_with_every_part(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", LARGE)
    transfer(source / "a", far / "b", part_size="5MiB")
    crcs = [zlib.crc32(LARGE[at : at + 5 * MIB]) for at in range(0, len(LARGE), 5 * MIB)]
    assert stores.head(far / "b", ChecksumMode="ENABLED")["ChecksumCRC32"] == composite_crc32(crcs)


def test_copy_that_has_no_md5_is_not_read_again_where_the_server_checks_a_crc32(
    stores: Stores, source: S3Location, far: S3Location
):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    stores.clients[far.store].put_bucket_encryption(
        Bucket=far.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    stores.put(source / "a", LARGE)
    [made] = transfer(source / "a", far / "b").objects
    assert stores.head(far / "b")["ServerSideEncryption"] == "aws:kms"
    assert (made.read_again, made.crc32) == (False, crc32_text(zlib.crc32(LARGE)))


def test_source_without_a_comparable_digest_is_read_twice_where_there_is_no_tls(
    stores: Stores, source: S3Location, far: S3Location
):
    stores.put(source / "a", LARGE)
    report = transfer(source / "a", far / "b")
    assert report.objects[0].proof == "read twice"
    assert report.cost.read_bytes == 2 * len(LARGE)


def test_one_store_copies_by_itself(stores: Stores, source: S3Location):
    stores.put(source / "a", LARGE, part_bytes=5 * MIB)
    report = transfer(source / "a", source / "copies/")
    [made] = report.objects
    assert made.by_store
    assert (made.proof, made.crc32) == ("etag", None)
    assert (report.cost.read_bytes, report.cost.written_bytes) == (0, 0)
    assert stores.content(source / "copies/a") == LARGE


def test_reading_all_of_it_again_gives_the_digest_that_a_store_does_not(stores: Stores, source: S3Location):
    stores.put(source / "a", LARGE)
    [made] = transfer(source / "a", source / "b", verify="full").objects
    assert (made.by_store, made.read_again, made.crc32) == (True, True, crc32_text(zlib.crc32(LARGE)))


@pytest.mark.parametrize("size", [0, 1, len(LARGE)])
def test_file_goes_into_a_bucket_and_comes_out_again(stores: Stores, far: S3Location, tmp_path: Path, size: int):
    file = tmp_path / "in.mp4"
    file.write_bytes(LARGE[:size])
    transfer(file, far / "up/", part_size="5MiB")
    assert stores.content(far / "up/in.mp4") == LARGE[:size]
    assert stores.head(far / "up/in.mp4")["ContentType"] == "video/mp4"
    folder = tmp_path / "out"
    folder.mkdir()
    transfer(far / "up/in.mp4", folder, verify="full")
    assert (folder / "in.mp4").read_bytes() == LARGE[:size]
    assert files_below(folder) == ["in.mp4"]
    assert transfer(far / "up/in.mp4", folder).objects[0].outcome == "same already"
    assert transfer(file, far / "up/").objects[0].outcome == "same already"


@pytest.mark.parametrize("size", [100, len(LARGE)])
def test_other_content_is_replaced_only_when_told_to(stores: Stores, source: S3Location, far: S3Location, size: int):
    stores.put(source / "a", LARGE[:size])
    stores.put(far / "b", b"theirs")
    with pytest.raises(OutputCollision, match="--replace"):
        transfer(source / "a", far / "b")
    assert stores.content(far / "b") == b"theirs"
    transfer(source / "a", far / "b", replace=True)
    assert stores.content(far / "b") == LARGE[:size]
    assert nothing_is_left(stores, far)


@pytest.mark.parametrize("size", [100, len(LARGE)])
def test_file_with_other_content_is_replaced_only_when_told_to(
    stores: Stores, source: S3Location, tmp_path: Path, size: int
):
    stores.put(source / "a", LARGE[:size])
    target = tmp_path / "a"
    target.write_bytes(LARGE[1 : size + 1])
    with pytest.raises(OutputCollision):
        transfer(source / "a", target)
    assert target.read_bytes() == LARGE[1 : size + 1]
    transfer(source / "a", target, replace=True)
    assert target.read_bytes() == LARGE[:size]


@pytest.mark.parametrize("put", [{}, {"part_bytes": 5 * MIB}])
def test_same_content_is_not_copied_again(stores: Stores, source: S3Location, far: S3Location, put: dict[str, int]):
    stores.put(source / "a", LARGE, **put)
    assert transfer(source / "a", far / "b").copied == 1
    written = stores.head(far / "b")["LastModified"]
    again = transfer(source / "a", far / "b")
    assert (again.copied, again.moved_bytes, again.objects[0].outcome) == (0, 0, "same already")
    assert stores.head(far / "b")["LastModified"] == written


def test_prefix_is_one_run_with_one_report(stores: Stores, source: S3Location, far: S3Location):
    content = {f"in/{name}": noise(size, seed) for seed, (name, size) in enumerate(
        [("0", 0), ("1", 1), ("sub/ü+ %.bin", 70_000), ("big", 12 * MIB), ("sub/bigger", 17 * MIB)]
    )} | {f"in/many/{n:03d}": noise(n, n) for n in range(70)}  # fmt: skip
    for key, body in content.items():
        stores.put(source / key, body)
    stores.put(source / "inside-out", b"not below the prefix")
    report = transfer(source / "in", far / "out", recursive=True)
    assert (report.copied, report.copied_bytes) == (75, sum(map(len, content.values())))
    assert {key.removeprefix("out/") for key in stores.keys(far)} == {key.removeprefix("in/") for key in content}
    assert all(stores.content(far / f"out/{key[3:]}") == body for key, body in content.items())
    assert nothing_is_left(stores, source, far)
    stores.put(source / "in/one more", b"new")
    again = transfer(source / "in", far / "out", recursive=True)
    assert (again.copied, len(again.objects)) == (1, 76)


def test_folder_goes_into_a_bucket_and_comes_out_again(stores: Stores, far: S3Location, tmp_path: Path):
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/sub/a b.txt").write_bytes(b"x")
    (tmp_path / "in/big").write_bytes(LARGE)
    transfer(tmp_path / "in", far / "up", recursive=True)
    transfer(far / "up", tmp_path / "out", recursive=True)
    assert files_below(tmp_path / "out") == ["big", "sub/a b.txt"]
    assert (tmp_path / "out/big").read_bytes() == LARGE


def test_keys_that_would_leave_the_folder_are_refused_before_anything_is_copied(
    stores: Stores, source: S3Location, tmp_path: Path
):
    stores.put(source / "in/a", b"x")
    stores.put(source / "in/../../b", b"x")
    with pytest.raises(PathEscape, match="would lead out"):
        transfer(source / "in", tmp_path / "out", recursive=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("link", ["in/d/x", "in/d/sub"])
def test_link_out_of_the_root_of_sources_is_refused_in_a_folder_too(
    stores: Stores, far: S3Location, tmp_path: Path, set_to: Any, link: str
):
    (tmp_path / "in/d").mkdir(parents=True)
    (tmp_path / "in/d/a").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / link).symlink_to(tmp_path / "secret")
    set_to(source_root=tmp_path / "in")
    with pytest.raises(PathEscape, match="source"):
        transfer("d", far / "up", recursive=True)
    assert stores.keys(far) == []
    set_to(source_root=tmp_path)
    assert transfer("in/d", far / "up", recursive=True).copied == 2


def test_link_out_of_the_root_of_outputs_is_refused_in_a_folder_too(
    stores: Stores, source: S3Location, tmp_path: Path, set_to: Any
):
    stores.put(source / "in/link/deep/evil", b"x")
    (tmp_path / "out/d").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/d/link").symlink_to(tmp_path / "elsewhere")
    set_to(output_root=tmp_path / "out")
    with pytest.raises(PathEscape, match="destination"):
        transfer(source / "in", "d", recursive=True)
    assert files_below(tmp_path / "elsewhere") == []


def test_two_keys_that_would_be_one_file_are_refused(stores: Stores, source: S3Location, tmp_path: Path):
    stores.put(source / "in/a/b", b"x")
    stores.put(source / "in/a//b", b"y")
    with pytest.raises(OutputCollision, match="two objects"):
        transfer(source / "in", tmp_path / "out", recursive=True)


def test_what_is_not_there_is_said(stores: Stores, source: S3Location, far: S3Location, tmp_path: Path):
    with pytest.raises(SourceNotFound, match="there is no object"):
        transfer(source / "nothing", far / "b")
    with pytest.raises(SourceNotFound, match="nothing below"):
        transfer(source / "nothing", far / "b", recursive=True)
    with pytest.raises(SourceNotFound, match="no file"):
        transfer(tmp_path / "nothing", far / "b")


def test_what_cannot_be_is_refused_before_anything_is_asked(stores: Stores, tmp_path: Path):
    def refusal(source: str, destination: str, **choices: Any) -> str:
        with pytest.raises((InvalidParameter, InvalidUri, OutputCollision)) as caught:
            accept_transfer(TransferJob(source=source, destination=destination, **choices))
        return str(caught.value)

    assert "use cp" in refusal(str(tmp_path / "a"), str(tmp_path / "b"))
    assert "--recursive" in refusal("s3://bucket", "s3://other/a")
    assert "the source itself" in refusal("s3://bucket/a", "s3://bucket/")
    assert "part_size" in refusal("s3://bucket/a", "s3://other/a", part_size="big")
    assert "rate_limit" in refusal("s3://bucket/a", "s3://other/a", rate_limit="0")
    assert "concurrency" in refusal("s3://bucket/a", "s3://other/a", concurrency=0)
    assert "has no 'nowhere'; it has far" in refusal("s3+nowhere://bucket/a", "s3://other/a")


def test_copies_that_the_next_run_would_copy_are_refused(stores: Stores):
    def accept(source: str, destination: str) -> object:
        return accept_transfer(TransferJob(source=source, destination=destination, recursive=True))

    for source, destination in [("s3://bkt/w", "s3://bkt/w/copy"), ("s3+far://bkt", "s3+far://bkt/copies/")]:
        with pytest.raises(TriggerLoop, match="is in the source"):
            accept(source, destination)
    assert accept("s3://bkt/w", "s3://bkt/w2")
    assert accept("s3://bkt/w", "s3+far://bkt/w/copy")
    assert accept("s3://bkt/w/up", "s3://bkt/w")


def test_address_in_a_named_store_is_read_as_it_is_written(stores: Stores):
    location = parse_location("s3+far://bucket/a b%+", "x")
    assert location == S3Location("bucket", "a b%+", "far")
    assert known_location(str(location)) == location
    assert location != parse_location("s3://bucket/a b%+", "x")


def test_store_that_refuses_the_keys_says_so(
    stores: Stores, source: S3Location, far: S3Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from tests.stores import using

    stores.put(source / "a", LARGE)
    (tmp_path / "credentials").write_text("[far]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n")
    with using(stores.near, monkeypatch, REELMILL_STORES=stores.env["REELMILL_STORES"]), \
            pytest.raises(StoreAccessDenied, match="check the credentials"):  # fmt: skip
        transfer(source / "a", far / "b")


def test_two_transfers_to_one_place_exclude_each_other(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", LARGE)
    accepted = accept_transfer(TransferJob(source=str(source / "a"), destination=str(far / "b")))
    with open_ledger(accepted.key, on_lost=lambda: None), pytest.raises(JobRunning):
        transfer(source / "a", far / "b")
    assert stores.uploads(far) == []


def test_rate_limit_holds_for_all_streams_together(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", LARGE[: 12 * MIB], part_bytes=5 * MIB)
    began = time.monotonic()
    transfer(source / "a", far / "b", rate_limit="6MiB")
    assert 1.6 <= time.monotonic() - began <= 6
    assert stores.content(far / "b") == LARGE[: 12 * MIB]


def test_cancelled_transfer_leaves_nothing_open(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", LARGE, part_bytes=5 * MIB)
    accepted = accept_transfer(TransferJob(source=str(source / "a"), destination=str(far / "b"), rate_limit="1MiB"))
    threading.Timer(1.0, cancel_job, ["to-be-cancelled"]).start()
    with pytest.raises(JobCancelled):
        run_here(accepted, plan_transfer(accepted), "to-be-cancelled", lambda _: None)
    assert stores.content(far / "b") is None
    assert nothing_is_left(stores, far)


def test_progress_counts_bytes_to_the_last(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", LARGE, part_bytes=5 * MIB)
    accepted = accept_transfer(TransferJob(source=str(source / "a"), destination=str(far / "b")))
    seen: list[Any] = []
    run_here(accepted, plan_transfer(accepted), "watched", seen.append)
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (len(LARGE), len(LARGE), "bytes")
    assert seen[-1].tasks_done == 5


def test_cost_is_told_before_and_after(stores: Stores, source: S3Location, far: S3Location, set_to: Any):
    set_to(price_moved_gb="0.02", price_requests_1000="0.005")
    stores.put(source / "a", LARGE, part_bytes=5 * MIB)
    report = transfer(source / "a", far / "b")
    assert report.estimate == report.cost
    assert float(report.cost.amount) == pytest.approx(2 * len(LARGE) * 0.02e-9 + report.cost.requests * 0.005e-3)

"""`reelmill transfer` as people run it: what it prints, and that kill -9 at any moment costs little and leaves nothing.

KILL_RUNS says at how many moments it is killed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reelmill.settings import settings
from reelmill.storage.location import S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.working import work_location
from tests.two_store_fixtures import far, other_ministack, s3_clients, source, stores
from tests.two_stores import FAR, MIB, Stores, noise

__all__ = ["far", "other_ministack", "s3_clients", "source", "stores"]

KILL_RUNS = int(os.environ.get("KILL_RUNS", "2"))
STREAMS = 4
PART = 5 * MIB
PARTS = 12
CONTENT = noise(PARTS * PART)


def start(stores: Stores, *args: object) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("REELMILL_", "AWS_", "PATH", "HOME"))}
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "transfer", *map(str, args)],
        env=kept | stores.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(stores: Stores, *args: object, exit_code: int = 0) -> tuple[str, str]:
    process = start(stores, *args)
    printed = process.communicate(timeout=120)
    assert process.returncode == exit_code, printed
    return printed


def test_plan_and_report_are_printed_and_nothing_is_done_by_a_dry_run(
    stores: Stores, source: S3Location, far: S3Location
):
    stores.put(source / "a", CONTENT, part_bytes=PART)
    printed, _ = run(stores, source / "a", far / "b", "--dry-run")
    assert "1 objects, 62.9 MB, through this machine" in printed
    assert "expected: 32 requests" in printed
    assert stores.keys(far) == []
    plan: dict[str, Any] = json.loads(run(stores, source / "a", far / "b", "--dry-run", "--json")[0])
    assert (plan["parts"], plan["objects"][0]["part_bytes"]) == (PARTS, PART)
    printed, told = run(stores, source / "a", far / "b", "--json")
    report = json.loads(printed)
    assert (report["copied"], report["objects"][0]["proof"]) == (1, "etag")
    assert "copy: " in told
    secrets = (stores.near.secret_key, stores.far.secret_key, "X-Amz-")
    assert not any(each in printed + told for each in secrets)
    again, _ = run(stores, source / "a", far / "b")
    assert "0 of 1 copied" in again


def test_refusal_is_one_line_and_exit_code_2(stores: Stores, source: S3Location, far: S3Location, tmp_path: Path):
    printed, told = run(stores, source / "nothing", far / "b", exit_code=2)
    assert printed == ""
    assert told.splitlines() == [f"error: SourceNotFound: source: there is no object {source / 'nothing'}"]
    error = json.loads(run(stores, tmp_path, tmp_path / "b", "--json", exit_code=2)[0])
    assert error["error"]["code"] == "InvalidParameter"


def test_dry_run_refuses_what_is_certain_to_fail(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", b"ours")
    stores.put(far / "a", b"theirs")
    _, told = run(stores, source / "a", far / "a", "--dry-run", exit_code=2)
    assert told.startswith("error: OutputCollision: ")
    for missing in (["s3+far://nowhere-at-all/a"], ["s3+far://nowhere-at-all", "--recursive"]):
        _, told = run(stores, source / "a" if len(missing) == 1 else source, *missing, "--dry-run", exit_code=2)
        assert told.startswith("error: BucketNotFound: ")
    run(stores, source / "a", far / "a", "--dry-run", "--replace")


def test_object_that_failed_alone_is_named_and_the_exit_code_says_so(
    stores: Stores, source: S3Location, far: S3Location
):
    for name in "abc":
        stores.put(source / name, name.encode())
    stores.put(far / "b", b"theirs")
    printed, told = run(stores, source, far, "--recursive", exit_code=4)
    assert "2 of 3 copied" in printed
    assert f"failed: {source / 'b'}: OutputCollision: " in printed
    assert told.splitlines()[-1].startswith("error: TransferIncomplete: 1 of 3 were not copied: ")
    report = json.loads(run(stores, source, far, "--recursive", "--json", exit_code=4)[0])
    assert [(each["source"], each["code"]) for each in report["failed"]] == [(str(source / "b"), "OutputCollision")]


def test_interrupt_leaves_nothing_open(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", CONTENT, part_bytes=PART)
    process = start(stores, source / "a", far / "b", "--rate-limit", "1MiB", "--concurrency", "1")
    wait_for_parts(stores, far, 1)
    process.send_signal(2)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert stores.uploads(far) == []
    assert stores.keys(far) == []
    assert list(open_store(work_location()).list()) == []


def stored_parts(stores: Stores, bucket: S3Location) -> int:
    count = 0
    for upload in stores.uploads(bucket):
        found = stores.clients[FAR].list_parts(Bucket=bucket.bucket, Key="b", UploadId=upload)
        count += len(found.get("Parts", ()))
    return count


def wait_for_parts(stores: Stores, bucket: S3Location, parts: int) -> None:
    give_up = time.monotonic() + 60
    while stored_parts(stores, bucket) < parts:
        assert time.monotonic() < give_up, "nothing arrives"
        time.sleep(0.05)


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", range(KILL_RUNS))
def test_killed_command_moves_little_twice_and_leaves_nothing(
    stores: Stores, source: S3Location, far: S3Location, moment: int, set_to: Any
):
    """Moments lie all over the run: before the upload is opened, between any two parts, and near the end."""
    stores.put(source / "a", CONTENT, part_bytes=PART)
    process = start(stores, source / "a", far / "b", "--concurrency", STREAMS, "--rate-limit", "30MiB")
    draw = random.Random(moment)
    if moment % 5:
        wait_for_parts(stores, far, draw.randrange(1, PARTS - STREAMS))
        time.sleep(draw.random() / 4)
    else:
        time.sleep(draw.uniform(0.5, 3))
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode in (0, -9)
    arrived = stored_parts(stores, far) if not stores.keys(far) else PARTS
    report = json.loads(run(stores, source / "a", far / "b", "--json")[0])
    moved = report["objects"][0]["parts"] - report["kept_parts"] if report["copied"] else 0
    print(f"moment {moment}: {arrived} of {PARTS} parts had arrived, {moved} were moved by the next run")
    assert moved <= PARTS - arrived + STREAMS
    assert stores.content(far / "b") == CONTENT
    assert stores.uploads(far) == []
    settings.cache_clear()
    assert list(open_store(work_location()).list()) == []

"""A rate limit is that of everything that passes, and no stream waits for long with its requests open."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reelmill.storage.location import S3Location
from reelmill.transfer.job import TransferJob, accept_transfer
from reelmill.transfer.pacing import Pacer, streams_at
from tests.two_stores import MIB, Stores, noise, transfer

CONTENT = noise(9 * MIB)
TWICE_S = 2 * len(CONTENT) / (6 * MIB)
BURSTS_S = 0.5


def test_rate_limit_holds_for_reading_the_copy_again(stores: Stores, far: S3Location, tmp_path: Path):
    (tmp_path / "a").write_bytes(CONTENT)
    began = time.monotonic()
    transfer(tmp_path / "a", far / "b", rate_limit="6MiB", verify="full")
    assert time.monotonic() - began >= TWICE_S - BURSTS_S
    assert stores.content(far / "b") == CONTENT


def test_rate_limit_holds_for_reading_the_source_twice(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", CONTENT)
    began = time.monotonic()
    [made] = transfer(source / "a", far / "b", rate_limit="6MiB", part_size="5MiB").objects
    assert time.monotonic() - began >= TWICE_S - BURSTS_S
    assert made.proof == "read twice"


@pytest.mark.parametrize(
    ("bytes_per_s", "streams", "expected"),
    [(None, 64, 64), (50_000_000, 64, 64), (200_000, 64, 3), (1000, 64, 1), (200_000, 2, 2)],
)
def test_streams_are_fewer_where_each_would_wait_for_long(bytes_per_s: int | None, streams: int, expected: int):
    assert streams_at(bytes_per_s, streams) == expected


def test_job_has_no_more_streams_than_its_rate_feeds():
    job = TransferJob(source="s3://from/a", destination="s3://elsewhere/b", concurrency=64, rate_limit="200kB")
    assert accept_transfer(job).streams == 3


def test_block_is_what_passes_in_a_second_at_most():
    assert Pacer(None).block_bytes is None
    assert Pacer(10_000).block_bytes == 10_000
    assert Pacer(1).block_bytes == 4096


def test_slow_copy_is_the_source(stores: Stores, source: S3Location, far: S3Location):
    stores.put(source / "a", CONTENT[:30_000])
    began = time.monotonic()
    transfer(source / "a", far / "b", rate_limit="10kB", concurrency=64)
    assert time.monotonic() - began >= 2
    assert stores.content(far / "b") == CONTENT[:30_000]

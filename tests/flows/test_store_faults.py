"""Requests go wrong in every way that networks and stores have. By a seed: the same seed has the same faults again.

FAULT_RUNS says how many seeds are run, from 0 on.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace

import pytest

from reelmill.cleaning import find_leftovers, sweep
from reelmill.errors import JobRejected, StoreFailed
from reelmill.job import TranscodeJob
from reelmill.storage import s3_lease
from reelmill.storage.location import S3Location
from tests.bucket_jobs import SECONDS, Buckets, run
from tests.fault_proxy import FaultProxy
from tests.faults import KINDS, Faults
from tests.live_jobs import FRAME_RATE, make_clip
from tests.s3_servers import S3Server
from tests.stores import keys_in, open_uploads, put, using

pytestmark = pytest.mark.end_to_end

FAULT_RUNS = int(os.environ.get("FAULT_RUNS", "4"))
FAULT_RATE = 0.1


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SECONDS).read_bytes()


@pytest.fixture(scope="module")
def places(ministack: S3Server, clip: bytes) -> Buckets:
    """Buckets of fixed names: what goes wrong depends on the path."""
    with closing(ministack.client()) as client:
        for name in ("faults-in", "faults-work", "faults-out"):
            client.create_bucket(Bucket=name)
    source = put(ministack, S3Location("faults-in", "clip.mp4"), clip)
    return Buckets(ministack, source, S3Location("faults-work", "work"), S3Location("faults-out", "out"))


@pytest.mark.parametrize("seed", range(FAULT_RUNS))
def test_no_fault_makes_a_wrong_or_partial_result_visible(
    places: Buckets, seed: int, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    places = replace(places, output=places.output / str(seed))
    deadly = seed % 4 == 3  # more in a row than anyone tries again
    faults = Faults(seed, FAULT_RATE, KINDS, most_in_a_row=100 if deadly else 2)
    env = {"REELMILL_WORK_DIR": str(places.work), "REELMILL_S3_TIMEOUT_S": "10"}
    if deadly:
        env |= {"REELMILL_S3_ATTEMPTS": "1", "REELMILL_RETRIES": "0"}
    with (
        FaultProxy(places.server.endpoint_url, faults) as proxy,
        using(places.server, monkeypatch, REELMILL_S3_ENDPOINT_URL=proxy.endpoint_url, **env),
    ):
        finished = finishes(places.job())
    struck = [each.fault for each in proxy.requests if each.fault]
    print(len(proxy.requests), "requests,", struck)
    assert struck
    manifest = places.published()
    if finished:
        assert manifest is not None
        assert [each.frames for each in manifest.outputs] == [SECONDS * FRAME_RATE] * 2
    if manifest is None:
        assert keys_in(places.server, places.output) == {} or deadly
    if not deadly:
        assert finished
        assert open_uploads(places.server, places.output) == []
    sweep_up(places, monkeypatch)


def finishes(job: TranscodeJob) -> bool:
    try:
        run(job)
    except (StoreFailed, JobRejected):
        return False
    return True


def sweep_up(places: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be cleared in the middle of faults is what `reelmill clean` finds, all of it.

    Once a lock that could not be given back is old: until then it may be that of a job that is being worked on.
    """
    monkeypatch.setattr(s3_lease, "DEAD_AFTER_S", -3600.0)
    with using(places.server, monkeypatch, REELMILL_WORK_DIR=str(places.work)):
        for each in find_leftovers(-60, [places.output, places.work]):
            sweep(each)
        assert keys_in(places.server, places.work) == {}
        assert open_uploads(places.server, places.work) == []
        assert open_uploads(places.server, places.output) == []
        if places.published() is None:
            assert keys_in(places.server, places.output) == {}

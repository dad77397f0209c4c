"""The second kind of work: divided, mapped, combined, resumed and published by what carries video jobs, too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import measure_fastq as flow_module
from flows.measure_fastq import measure_fastq
from reelmill.errors import OutputCollision, RecordsInvalid, StoreFailed
from reelmill.fastq import Counts, FastqQuality, count_range
from reelmill.publishing import RESULT_FILE
from reelmill.ranges import Range, RangesJob
from reelmill.settings import settings
from reelmill.storage.location import S3Location
from tests.fastq_files import plainly, write_fastq
from tests.live_jobs import files_below, wait_until
from tests.s3_servers import S3Server
from tests.stores import content_of, keys_in, new_bucket, put, using

pytestmark = pytest.mark.end_to_end

MIB = 1 << 20


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fastq(tmp_path_factory.mktemp("reads") / "reads.fastq", 6 * MIB)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the ranges that are counted from now on, in this process."""
    labels: list[str] = []

    def count(portion: Range, on_bytes: Any) -> Counts:
        labels.append(portion.label)
        return count_range(portion, on_bytes)

    monkeypatch.setattr(flow_module, "count_range", count)
    return labels


def job(source: object, output: object) -> RangesJob:
    return RangesJob(source=str(source), output=str(output), range_mib=1)


def same(one: FastqQuality, other: FastqQuality) -> bool:
    return one.model_copy(update={"job_key": ""}) == other.model_copy(update={"job_key": ""})


def left_over() -> list[str]:
    return files_below(Path(settings().work_dir))


def test_result_is_that_of_a_plain_pass_and_is_not_made_twice(
    reads: Path, tmp_path: Path, prefect_server: str, counted: list[str]
):
    result = measure_fastq(job(reads, tmp_path / "out"))
    assert same(result, plainly(reads))
    assert sorted(counted) == [f"fastq-{number:05d}" for number in range(7)]
    assert files_below(tmp_path / "out") == [RESULT_FILE]
    assert FastqQuality.model_validate_json((tmp_path / "out" / RESULT_FILE).read_text()) == result
    assert left_over() == []
    assert measure_fastq(job(reads, tmp_path / "out")) == result
    assert len(counted) == 7


def test_result_of_somebody_else_is_not_overwritten(reads: Path, tmp_path: Path, prefect_server: str):
    (tmp_path / RESULT_FILE).write_text("mine")
    with pytest.raises(OutputCollision):
        measure_fastq(job(reads, tmp_path))
    assert (tmp_path / RESULT_FILE).read_text() == "mine"


def test_truncated_file_ends_the_job_and_nothing_is_published(reads: Path, tmp_path: Path, prefect_server: str):
    cut_off = tmp_path / "reads.fastq"
    cut_off.write_bytes(reads.read_bytes()[:-100])
    with pytest.raises(RecordsInvalid, match="is not a whole FASTQ record"):
        measure_fastq(job(cut_off, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_range_that_fails_for_once_is_tried_again(
    reads: Path, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    tries: list[str] = []

    def count(portion: Range, on_bytes: Any) -> Counts:
        tries.append(portion.label)
        if tries.count("fastq-00003") == 1 and portion.label == "fastq-00003":
            raise StoreFailed("once")
        return count_range(portion, on_bytes)

    monkeypatch.setattr(flow_module, "count_range", count)
    assert same(measure_fastq(job(reads, tmp_path / "out")), plainly(reads))
    assert {each: tries.count(each) for each in tries if tries.count(each) > 1} == {"fastq-00003": 2}


SLOWLY = """
import sys, time
import flows.measure_fastq as flow
from reelmill.ranges import RangesJob
count = flow.count_range
def slowly(portion, on_bytes):
    made = count(portion, on_bytes)
    time.sleep(0.5)
    return made
flow.count_range = slowly
flow.measure_fastq(RangesJob.model_validate_json(sys.argv[1]))
"""


def test_killed_run_is_gone_on_with(reads: Path, tmp_path: Path, prefect_server: str, counted: list[str]):
    asked = job(reads, tmp_path / "out")
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "REELMILL_WORKERS": "2"}
    child = subprocess.Popen([sys.executable, "-c", SLOWLY, asked.model_dump_json()], env=environment)
    try:
        wait_until(lambda: len([each for each in left_over() if "/records/" in each]) >= 3, 60, "three records")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(30)
    kept = [each for each in left_over() if "/records/" in each and each.endswith(".json")]
    assert 3 <= len(kept) < 7
    assert not (tmp_path / "out").exists() or files_below(tmp_path / "out") == []
    assert same(measure_fastq(asked), plainly(reads))
    assert len(counted) == 7 - len(kept)
    assert left_over() == []


def test_object_is_read_by_range_and_the_result_is_put_into_a_bucket(
    reads: Path, ministack: S3Server, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    bucket = new_bucket(ministack)
    work, where = bucket / "work", bucket / "in/reads.fastq"
    with using(ministack, monkeypatch, REELMILL_WORK_DIR=str(work)):
        put(ministack, where, reads.read_bytes())
        result = measure_fastq(job(where, bucket / "out"))
        assert same(result, plainly(reads))
        assert json.loads(content_of(ministack, bucket / "out" / RESULT_FILE)) == json.loads(result.model_dump_json())
        assert sorted(keys_in(ministack, S3Location(bucket.bucket, ""))) == ["in/reads.fastq", "out/result.json"]

"""A task that hangs is done by its second try, wherever tasks run: same result, nothing left over, all of it paid."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flows import measure_fastq as fastq_flow
from reelmill.fastq import Counts, count_range
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.planning import stragglers
from reelmill.ranges import Range, RangesJob
from reelmill.settings import settings
from tests.conftest import Set
from tests.fastq_files import write_fastq
from tests.job_runs import latest_run, log_of, task_runs_of
from tests.live_jobs import LoggedTool, alive_with, files_below, make_clip, use_tool, wait_until

pytestmark = [
    pytest.mark.end_to_end,
    # Dask leaves sockets of workers to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

SEGMENTS = 8
MIB = 1 << 20
OTHER_WAS_FIRST = {
    "threads": "another try of {} was first",
    "dask": "nobody waits for it any more: its job has ended, or another try of it was first",
}


def run_job(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    return transcode_video(job)


def tried_twice() -> tuple[str, list[tuple[str | None, str | None]]]:
    """The task with the most runs, and how they ended, by state and message, as far as the server knows."""
    runs = [each for each in task_runs_of(latest_run()) if each.state is not None]
    name, _ = Counter(each.name for each in runs).most_common(1)[0]
    mine = [each for each in runs if each.name == name]
    return name, sorted((each.state_name, each.state.message if each.state else None) for each in mine)


@pytest.mark.parametrize("fan_out", ["threads", "dask"])
def test_segment_whose_ffmpeg_hangs_is_done_by_its_second_try(
    fan_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_to: Set, prefect_server: str
):
    clip = make_clip(tmp_path / "clip.mp4", seconds=SEGMENTS, size="160x90")
    job = TranscodeJob(
        source=str(clip), formats=("mp4",), output=str(tmp_path / "plain"), name="out", segment_s=1, workers=3
    )  # fmt: skip
    plain = run_job(job)
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    tool.hang_once(" -c:v lib")
    set_to(fan_out=fan_out, straggler_factor=2, dask_minimum=3, dask_maximum=3)
    manifest = run_job(job.model_copy(update={"output": str(tmp_path / "out")}))
    assert alive_with(tool.path) == []
    assert manifest.outputs[0].sha256 == plain.outputs[0].sha256
    assert len(tool.encodes()) == SEGMENTS + 1
    assert (manifest.cost.runs, manifest.cost.failed_runs) == (plain.cost.runs + 1, 1)
    assert manifest.renditions[0].segments == SEGMENTS
    assert files_below(Path(settings().work_dir)) == []

    def one_was_first() -> bool:
        name, ends = tried_twice()
        return ends == [("Cancelled", OTHER_WAS_FIRST[fan_out].format(name)), ("Completed", "")]

    wait_until(one_was_first, 60, "a task run that was cancelled, and one that completed")
    told = f"{tried_twice()[0]}: its second try was first"
    wait_until(lambda: told in log_of(latest_run()), 30, "the log")


def test_portion_that_hangs_is_done_by_its_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_to: Set, prefect_server: str
):
    begun: list[str] = []

    def count(portion: Range, on_bytes: Any) -> Counts:
        begun.append(portion.label)
        while begun.count(portion.label) == 1 and portion.label == first:
            on_bytes(0)  # which ends it when it is cancelled
            time.sleep(0.05)
        return count_range(portion, on_bytes)

    reads = write_fastq(tmp_path / "reads.fastq", 6 * MIB)
    plain = fastq_flow.measure_fastq(RangesJob(source=str(reads), output=str(tmp_path / "plain"), range_mib=1))
    monkeypatch.setattr(fastq_flow, "count_range", count)
    monkeypatch.setattr(stragglers, "LEAST_S", 0.5)
    set_to(straggler_factor=2, workers=3)
    first = "fastq-00001"
    measured = fastq_flow.measure_fastq(RangesJob(source=str(reads), output=str(tmp_path / "out"), range_mib=1))
    assert begun.count(first) == 2
    assert measured.model_copy(update={"job_key": plain.job_key}) == plain

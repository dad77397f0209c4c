"""How good the reads of a FASTQ file are: divide into ranges of bytes -> count each -> combine -> publish."""

from __future__ import annotations

from prefect import flow

from reelmill.fastq import Counts, FastqQuality, combine_counts, count_range
from reelmill.ranges import RangesJob, divide_file
from tasks.fan_out import FanOut
from tasks.mapping import map_and_combine
from tasks.runs import run_name


@flow(name="measure-fastq", flow_run_name=run_name("measure"), persist_result=False, task_runner=FanOut())
def measure_fastq(job: RangesJob) -> FastqQuality:
    """Count qualities and bases at each position of the reads, and publish the result."""
    return map_and_combine(
        job, divide_file(job, "fastq"), count_range, combine_counts, made=Counts, result=FastqQuality
    )

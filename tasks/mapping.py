"""Maps a function over the portions of work that was divided, and combines what it gives.

The whole of a job whose parts need nothing of each other: what a killed run finished is kept, what fails is tried
again, and the result is to be seen when it is whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Protocol, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from reelmill.media.tool_jobs import cancel_job, refuse_cancelled
from reelmill.progress import board
from reelmill.publishing import finished_result, publish_result
from reelmill.records import Portion, Record, Result
from reelmill.settings import settings
from reelmill.storage.digests import content_key
from reelmill.storage.location import Location
from reelmill.workspace import Workspace, open_workspace
from tasks import s3_credentials as s3_credentials
from tasks.cancelling import cancelled_when_told
from tasks.dispatch import dispatching
from tasks.fan_out import check_fan_out
from tasks.retrying import RETRY
from tasks.runs import lock_wait_s
from tasks.second_tries import Mapped

Part = TypeVar("Part", bound=Portion)
Made = TypeVar("Made", bound=Record)
Whole = TypeVar("Whole", bound=Result)

OnBytes = Callable[[int], None]
"""What a function of the domain tells, now and then, how many bytes of its portion it has done. Ends it on a cancel."""


@task(name="map", task_run_name="map-{portion.label}", cache_policy=NO_CACHE, **RETRY)
@cancelled_when_told
def map_portion(
    work: Callable[[Any, OnBytes], Record], made: type[Record], portion: Portion, workspace: Workspace, attempt: str
) -> Record:
    """Return what an earlier run or try has kept of a portion, or else do the work on it and keep that."""

    def on_bytes(done: int) -> None:
        refuse_cancelled(attempt)
        board(attempt).report(portion.label, done)

    on_bytes(0)
    return workspace.kept(made, portion.key) or workspace.note(work(portion, on_bytes))


class DividedJob(Protocol):
    """What must be known of a job, whatever is divided."""

    @property
    def source(self) -> str: ...

    @property
    def output_location(self) -> Location: ...


def map_and_combine(
    job: DividedJob,
    portions: Sequence[Part],
    work: Callable[[Part, OnBytes], Made],
    combine: Callable[[str, Sequence[Part], Sequence[Made]], Whole],
    *,
    made: type[Made],
    result: type[Whole],
) -> Whole:
    """Do `work` on every portion, as many at once as there are workers, and publish what `combine` makes of it all.

    `combine` is given the key of the job, and portions and records in the order of `portions`. `made` and `result` are
    what the two functions return. The same portions again, for the same output, are the same job: it goes on where it
    was, and one that is finished is not done again. OutputCollision, JobRunning, and what the functions raise.
    """
    check_fan_out()
    attempt, key, output = uuid.uuid4().hex, content_key(*(each.key for each in portions)), job.output_location
    if (whole := finished_result(result, output, key)) is not None:
        return whole
    with open_workspace(key, on_lost=partial(cancel_job, attempt), wait_s=lock_wait_s()) as workspace:
        whole = finished_result(result, output, key)  # by a run that had the workspace until now
        if whole is None:
            whole = combine(key, portions, _map_all(job.source, portions, work, made, workspace, attempt))
            refuse_cancelled(attempt)
            publish_result(whole, output, workspace, attempt)
        workspace.remove()
    return whole


def _map_all(
    source: str,
    portions: Sequence[Part],
    work: Callable[[Part, OnBytes], Made],
    made: type[Made],
    workspace: Workspace,
    attempt: str,
) -> list[Made]:
    """Return what came of each portion, in their order. What is largest is begun first."""
    progress, records = board(attempt), dict[int, Made]()
    progress.begin(sum(each.size_bytes for each in portions), len(portions), step="map", unit="bytes")
    submit = map_portion.with_options(retries=settings().retries).submit
    with dispatching(attempt, PurePosixPath(source).name, settings().tasks_at_once) as tasks:
        for number, portion in sorted(enumerate(portions), key=lambda each: -each[1].size_bytes):
            begin = partial(submit, work, made, portion, workspace)
            tasks.add_mapped(number, Mapped(f"map-{portion.label}", "map", portion.size_bytes, begin))
        for number, future in tasks:
            records[number] = future.result()
            progress.finish(portions[number].label, portions[number].size_bytes, kept=records[number].reused)
    return [records[number] for number in range(len(portions))]

"""A huge object, or everything below a prefix, from one store to another, in parts, with every digest compared.

plan -> begin -> copy (batches of parts, mapped) -> complete and verify, object by object -> report
"""

from __future__ import annotations

import itertools
import uuid
from functools import partial
from pathlib import PurePosixPath

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from reelmill.media.tool_jobs import cancel_job
from reelmill.settings import settings
from reelmill.transfer.job import TransferJob, accept_transfer
from reelmill.transfer.report import TransferReport
from reelmill.transfer.running import Transfer, open_transfer
from tasks.dispatch import Dispatcher
from tasks.reporting import ProgressReporter
from tasks.transferring import complete_and_verify, copy_batch, plan_parts, show_report

_KILLED_RUNS_LOCK_S = 90.0
"""A run that is taken up again, because its process was killed, finds its own lock: it is old enough after this."""


def _run_name() -> str:
    job = flow_run.parameters["job"]
    source = job["source"] if isinstance(job, dict) else job.source
    return f"transfer {PurePosixPath(source).name}"


@flow(name="transfer-object", flow_run_name=_run_name, persist_result=False)
def transfer_object(job: TransferJob) -> TransferReport:
    """Copy an object, or everything below a prefix, and prove that the copy is the source."""
    attempt = uuid.uuid4().hex
    accepted = accept_transfer(job)
    plan = plan_parts(accepted)
    wait_s = _KILLED_RUNS_LOCK_S if (flow_run.run_count or 0) > 1 else 0.0
    complete = complete_and_verify.with_options(retries=settings().retries)
    with open_transfer(accepted, plan, attempt, finish=complete, wait_s=wait_s) as transfer:
        _copy_all(transfer)
        report = transfer.report()
    for warning in report.warnings:
        get_run_logger().warning(warning)
    show_report(report)
    return report


def _copy_all(transfer: Transfer) -> None:
    """Run every batch, as many at a time as there are streams; objects are completed as their last part comes."""
    reporter = ProgressReporter(transfer.progress, str(transfer.accepted.source))
    streams, copy = transfer.accepted.streams, copy_batch.with_options(retries=settings().retries)
    work: Dispatcher[int] = Dispatcher(streams, on_wait=reporter.update)
    numbers = itertools.count()
    under_way = 0
    try:
        while True:
            while under_way < streams and (batch := transfer.next_batch()) is not None:
                submit = partial(copy.submit, batch, transfer.accepted, transfer.ledger, transfer.attempt)
                work.add(next(numbers), submit)
                under_way += 1
            if not under_way:
                break
            _, future = next(iter(work))
            under_way -= 1
            transfer.take(future.result())
            reporter.update()
    except BaseException:
        cancel_job(transfer.attempt)
        work.drain()
        raise
    reporter.update(at_once=True)

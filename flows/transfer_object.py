"""A huge object, or everything below a prefix, from one store to another, in parts, with every digest compared.

plan -> begin -> copy (batches of parts, mapped) -> complete and verify, object by object -> report
"""

from __future__ import annotations

import itertools
import uuid
from functools import partial

from prefect import flow
from prefect.logging import get_run_logger

from reelmill.settings import settings
from reelmill.transfer.failing import refuse_incomplete
from reelmill.transfer.job import TransferJob, accept_transfer
from reelmill.transfer.report import TransferReport
from reelmill.transfer.running import Transfer, open_transfer
from tasks.dispatch import dispatching
from tasks.fan_out import FanOut, check_fan_out
from tasks.runs import lock_wait_s, run_name
from tasks.transferring import complete_and_verify, copy_batch, plan_parts, show_report


@flow(name="transfer-object", flow_run_name=run_name("transfer"), persist_result=False, task_runner=FanOut())
def transfer_object(job: TransferJob) -> TransferReport:
    """Copy an object, or everything below a prefix, and prove that the copy is the source.

    TransferIncomplete when some of many could not be copied; the others are.
    """
    attempt = uuid.uuid4().hex
    check_fan_out()
    accepted = accept_transfer(job)
    plan = plan_parts(accepted)
    complete = complete_and_verify.with_options(retries=settings().retries)
    with open_transfer(accepted, plan, attempt, finish=complete, wait_s=lock_wait_s()) as transfer:
        _copy_all(transfer)
        report = transfer.report()
    for warning in report.warnings:
        get_run_logger().warning(warning)
    show_report(report)
    refuse_incomplete(report)
    return report


def _copy_all(transfer: Transfer) -> None:
    """Run every batch, as many at a time as there are streams; objects are completed as their last part comes."""
    accepted, numbers = transfer.accepted, itertools.count()
    copy = copy_batch.with_options(retries=settings().retries)
    if settings().fan_out == "dask":
        accepted = accepted.one_of(accepted.streams)

    def add_more() -> None:
        while work.has_room and (batch := transfer.next_batch()) is not None:
            work.add(next(numbers), partial(copy.submit, batch, accepted, transfer.ledger, transfer.attempt))

    with dispatching(transfer.attempt, str(accepted.source), accepted.streams) as work:
        add_more()
        for _, future in work:
            transfer.take(future.result())
            add_more()

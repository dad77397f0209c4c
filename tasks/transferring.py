"""The steps of a transfer: plan, copy a batch of parts, complete and verify, report."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from reelmill.transfer.batch import Batch, Done, do_batch
from reelmill.transfer.copying import Begun
from reelmill.transfer.cost import cost_text
from reelmill.transfer.finishing import finish_object
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.ledger import Ledger, PartRecord
from reelmill.transfer.plan import TransferPlan, plan_transfer
from reelmill.transfer.report import ObjectReport, Proof, TransferReport
from tasks import s3_credentials as s3_credentials
from tasks.retrying import RETRY

_MOST_SHOWN = 200


@task(name="plan", cache_policy=NO_CACHE, **RETRY)
def plan_parts(accepted: AcceptedTransfer) -> TransferPlan:
    """Return what there is to copy, in which parts, and what it is expected to cost."""
    return plan_transfer(accepted)


@task(name="copy", task_run_name="copy-{batch.label}", cache_policy=NO_CACHE, **RETRY)
def copy_batch(batch: Batch, accepted: AcceptedTransfer, ledger: Ledger, attempt: str) -> Done:
    """Copy one batch; tried again, without what has arrived."""
    return do_batch(batch, accepted, ledger, attempt, is_retry=(task_run.run_count or 0) > 1)


@task(name="complete", task_run_name="complete-{begun.name}", cache_policy=NO_CACHE, **RETRY)
def complete_and_verify(
    begun: Begun, records: dict[int, PartRecord], proof: Proof, accepted: AcceptedTransfer, attempt: str
) -> ObjectReport:
    """Compare every digest, make the copy visible, and read it again where that is wanted."""
    return finish_object(begun, records, proof, accepted, attempt)


def show_report(report: TransferReport) -> None:
    """Put what came of a transfer among the artifacts of its run."""
    create_table_artifact(
        key="transfer",
        description=f"{report.copied} of {len(report.objects) + len(report.failed)} objects copied from "
        f"{report.source} to {report.destination}, {report.bytes_per_s / 1e6:,.1f} MB/s. "
        f"Expected: {cost_text(report.estimate)}. Cost: {cost_text(report.cost)}",
        table=[
            {
                "object": each.destination, "bytes": each.size_bytes, "outcome": each.outcome, "parts": each.parts,
                "kept": each.kept_parts, "compared with": each.proof or "", "CRC-32": each.crc32 or "",
                "ETag": each.etag, "read again": each.read_again,
            }
            for each in report.objects[:_MOST_SHOWN]
        ]
        + [{"object": each.source, "outcome": f"{each.code}: {each.message}"} for each in report.failed[:_MOST_SHOWN]],
    )  # fmt: skip

"""`reelmill transfer`: copies an object, or everything below a prefix, here and now or by the workers of a server."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cli.console import plain_console
from cli.prefect_server import refuse_without_server
from cli.progress_bar import progress_bar
from cli.transfer_view import plan_as_json, print_plan, print_report

if TYPE_CHECKING:
    from reelmill.transfer.job import TransferJob

_FLAG = Parameter(negative="")


@Parameter(name="*")
@dataclass(frozen=True)
class TransferOptions:
    """How to copy.

    Parameters
    ----------
    recursive
        Take everything below the source, which is a prefix or a folder.
    replace
        Replace what is there with another content; refused otherwise.
    verify
        parts: compare the digest of each part with what the store says it has. full: read all of the copy again, too.
    part_size
        Such as 64MiB, from 5 MiB to 5 GiB; auto chooses for the source.
    concurrency
        How many parts are under way at once; REELMILL_S3_STREAMS when not given.
    rate_limit
        Bytes a second, such as 50MB or 20MiB.
    keep_partial
        Keep the parts that have arrived when it fails or is interrupted, for the same command run again.
    """

    recursive: Annotated[bool, Parameter(name=["--recursive", "-r"], negative="")] = False
    replace: Annotated[bool, _FLAG] = False
    verify: Literal["parts", "full"] = "parts"
    part_size: str = "auto"
    concurrency: int | None = None
    rate_limit: str | None = None
    keep_partial: Annotated[bool, _FLAG] = False

    def job(self, source: str, destination: str) -> TransferJob:
        """Return the job that copies so."""
        from reelmill.transfer.job import TransferJob

        return TransferJob(
            source=source, destination=destination, recursive=self.recursive, replace=self.replace, verify=self.verify,
            part_size=self.part_size, concurrency=self.concurrency, rate_limit=self.rate_limit,
            keep_partial=self.keep_partial,
        )  # fmt: skip


_NO_OPTIONS = TransferOptions()


def transfer(
    source: str,
    destination: str,
    /,
    *,
    options: TransferOptions = _NO_OPTIONS,
    queue: Literal["high", "normal", "bulk"] | None = None,
    dry_run: Annotated[bool, _FLAG] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Copy a huge object between two stores, into one or out of one, in parts, with every digest compared.

    It runs here and now, without a Prefect server. With --queue the workers of the server that is up do it.

    Parameters
    ----------
    source
        s3://bucket/key, s3+NAME://bucket/key in a store of REELMILL_STORES, or a path.
    destination
        The same; one that ends in / is a folder, into which the source's name goes.
    queue
        Have the workers of a server do it: high before normal before bulk.
    dry_run
        Print the plan with its parts and what it is expected to cost, and do nothing. Refused where the destination is
        certain to fail: its bucket is missing, or the one object's place is taken.
    json_output
        Print the plan or the report as JSON on standard output.
    """
    from reelmill.errors import TransferIncomplete
    from reelmill.transfer.beginning import refuse_foreseen
    from reelmill.transfer.failing import refuse_incomplete
    from reelmill.transfer.job import accept_transfer  # boto3 takes its time to load
    from reelmill.transfer.plan import plan_transfer
    from reelmill.transfer.running import run_here

    accepted = accept_transfer(options.job(source, destination))
    if queue is not None and not dry_run:
        return _submit(accepted.portable(), queue, json_output=json_output)
    planned = plan_transfer(accepted)
    if dry_run:
        refuse_foreseen(accepted, planned)
        if json_output:
            print(json.dumps(plan_as_json(planned), indent=2))
        else:
            print_plan(plain_console(), planned)
        return 0
    with progress_bar(plain_console(stderr=True)) as show:
        report = run_here(accepted, planned, uuid.uuid4().hex, show)
    if json_output:
        print(report.model_dump_json(indent=2))
        return TransferIncomplete.exit_code if report.failed else 0
    print_report(plain_console(), report)
    refuse_incomplete(report)
    return 0


def _submit(job: TransferJob, queue: Literal["high", "normal", "bulk"], *, json_output: bool) -> int:
    refuse_without_server()
    from tasks.starting import start_transfer  # Prefect reads its settings when it is imported

    run, is_new = start_transfer(job, queue=queue)
    if json_output:
        print(json.dumps({"run": str(run.id), "state": run.state_name, "new": is_new}))
    else:
        already = "" if is_new else f" already, it is {(run.state_name or 'unknown').lower()}"
        print(f"{job.source}: submitted{already}, run {run.id}")
    return 0

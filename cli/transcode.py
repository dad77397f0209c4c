"""`reelmill transcode` and `reelmill plan`: prepare a job, run the flow, show what came of it."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cli.job_options import JobOptions
from cli.plan_view import plan_as_json, print_commands, print_plan
from cli.prefect_server import prefect_server
from cli.result_view import print_result
from reelmill.cost.estimate import Estimate
from reelmill.manifest import Manifest
from reelmill.planning.plan import Plan
from reelmill.preparing import AcceptedJob, accept_job, plan_job, probe_job, with_subtitles
from reelmill.pricing import estimate_job, refuse_over_budget
from reelmill.publishing import finished_manifest, refuse_taken
from reelmill.workspace import refuse_full_disk

_NO_OPTIONS = JobOptions()


def transcode(
    source: str,
    /,
    *,
    options: JobOptions = _NO_OPTIONS,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative="")] = False,
) -> int:
    """Turn one video into every format asked for.

    Parameters
    ----------
    source
        Path of the video, or s3://bucket/key.
    dry_run
        Print the plan with every ffmpeg command, and do nothing.
    json_output
        Print the plan or the manifest as JSON on standard output.
    verbose
        Show Prefect's log.
    """
    accepted = accept_job(options.job(source))
    planned, estimate, manifest = _prepare(accepted)
    if dry_run:
        if json_output:
            print(json.dumps(plan_as_json(planned, accepted.output, estimate), indent=2))
        else:
            print_plan(Console(), planned, estimate)
            print_commands(Console(), planned, accepted.output)
        return 0
    if manifest is None:
        manifest = _run(accepted, verbose=verbose)
    else:
        print("finished already: nothing was encoded", file=sys.stderr)
    if json_output:
        print(manifest.model_dump_json(indent=2))
    else:
        print_result(Console(), manifest, accepted.output)
    return 0


def plan(
    source: str,
    /,
    *,
    options: JobOptions = _NO_OPTIONS,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Show what would be done and what it is expected to cost, and do nothing.

    Parameters
    ----------
    source
        Path of the video, or s3://bucket/key.
    json_output
        Print it as JSON on standard output, with every ffmpeg command.
    """
    accepted = accept_job(options.job(source))
    planned, estimate, _ = _prepare(accepted)
    if json_output:
        print(json.dumps(plan_as_json(planned, accepted.output, estimate), indent=2))
    else:
        print_plan(Console(), planned, estimate)
    return 0


def _prepare(accepted: AcceptedJob) -> tuple[Plan, Estimate, Manifest | None]:
    """Return the plan of a job, what it is expected to cost, and its manifest when it is finished.

    Raises JobRejected for all that can be known to fail.
    """
    probed = probe_job(accepted, "prepare")
    accepted = with_subtitles(accepted, probed[0].source, "prepare")
    planned = plan_job(accepted, probed)
    estimate = estimate_job(planned, accepted.output, accepted.profile.quality)
    manifest = finished_manifest(accepted.output, accepted.key)
    if manifest is None:
        refuse_taken(accepted.output, accepted.key, planned.public_names, replace=accepted.job.replace)
        refuse_full_disk(planned, accepted.output)
        refuse_over_budget(accepted.job, estimate)
    return planned, estimate, manifest


def _run(accepted: AcceptedJob, *, verbose: bool) -> Manifest:
    """Run the flow in this process, with a Prefect server that is up, or a temporary one."""
    with prefect_server(verbose=verbose):
        # Prefect reads its settings when it is imported.
        from cli.progress_view import lasting_interrupt, shown_progress
        from flows.transcode_video import transcode_video

        with shown_progress(Console(stderr=True)), lasting_interrupt():
            return transcode_video(accepted.portable())

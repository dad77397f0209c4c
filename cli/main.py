"""The `reelmill` command: parses, prepares, runs the flow, shows what came of it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, NoReturn

from cyclopts import App, Parameter
from pydantic import ValidationError
from rich.console import Console

import reelmill
from cli import catalog, jobs, profiles, service
from cli.clean import clean
from cli.intake import intake
from cli.job_options import JobOptions
from cli.plan_view import plan_as_json, print_commands, print_plan
from cli.prefect_server import prefect_server, use_server
from cli.result_view import print_result
from cli.submit import submit
from cli.transfer import transfer
from reelmill.cost.estimate import Estimate
from reelmill.errors import InvalidParameter, ReelmillError, one_line
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.planning.plan import Plan
from reelmill.preparing import AcceptedJob, accept_job, plan_job, probe_job
from reelmill.pricing import estimate_job, refuse_over_budget
from reelmill.profiles.problems import explain
from reelmill.publishing import finished_manifest, refuse_taken
from reelmill.settings import Settings, settings
from reelmill.workspace import refuse_full_disk

app = App(
    name="reelmill",
    help="One video in, every format out, encoded in parallel, and proof that nothing was lost.",
    version=reelmill.__version__,
    suppress_keyboard_interrupt=False,  # `main` tells it
)
app.command(profiles.app)
app.command(submit)
app.command(transfer)
app.command(jobs.app)
app.command(catalog.app)
app.command(intake)
app.command(clean)
app.command(service.up)
app.command(service.down)
app.command(service.status)
_INTERRUPTED = 130
_NO_OPTIONS = JobOptions()


@app.command
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


@app.command
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
    found, index = probe_job(accepted, "prepare")
    planned = plan_job(accepted, found, index)
    estimate = estimate_job(planned, accepted.output)
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


def main() -> NoReturn:
    """Run the command line; errors that were expected are one line and a stable exit code."""
    try:
        if settings().s3_credentials_block or any(each.credentials_block for each in settings().stores.values()):
            use_server()
            from tasks import s3_credentials as s3_credentials  # loads Prefect, and lets the block be loaded
        code = app(result_action="return_value") or 0
    except ReelmillError as error:
        _report(error.code, str(error))
        code = error.exit_code
    except ValidationError as error:
        _report(InvalidParameter.__name__, _explained(error))
        code = InvalidParameter.exit_code
    except KeyboardInterrupt:
        _report("JobCancelled", "interrupted; what is kept of it, the same command takes up again")
        code = _INTERRUPTED
    sys.exit(code)


def _explained(error: ValidationError) -> str:
    if error.title != Settings.__name__:
        return explain(error, TranscodeJob)
    prefix = Settings.model_config.get("env_prefix", "")
    return "; ".join(f"{prefix}{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())


def _report(code: str, message: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"code": code, "message": message}}))
    print(f"error: {code}: {one_line(message)}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""`reelmill submit`: has the workers of a server do jobs, and waits for them when told to."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cli.console import plain_console
from cli.job_options import JobOptions
from cli.prefect_server import refuse_without_server
from cli.result_view import print_result
from reelmill.errors import InvalidParameter, ReelmillError
from reelmill.publishing import finished_manifest

if TYPE_CHECKING:
    from tasks.starting import Started

_NO_OPTIONS = JobOptions()


def submit(
    *sources: str,
    options: JobOptions = _NO_OPTIONS,
    queue: Literal["high", "normal", "bulk"] | None = None,
    wait: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Have the workers of the Prefect server that is up do a job for each source.

    A job that is done, or was submitted already, is not done twice; one that failed is tried again.

    Parameters
    ----------
    sources
        Paths of videos, or s3://bucket/key.
    queue
        Which jobs go first: high before normal before bulk. When not given, bulk for large sources, else normal.
    wait
        Show how the jobs go on, and end when all are over.
    json_output
        Print a JSON object for each job, on a line of its own.
    """
    if not sources:
        raise InvalidParameter("SOURCE: there is none to work on")
    for name, value in (("--output", options.output), ("--name", options.name)):
        if value is not None and len(sources) > 1:
            raise InvalidParameter(
                f"{name}: is for one source, and here are {len(sources)}; REELMILL_OUTPUT_ROOT is for many"
            )
    refuse_without_server()
    # Prefect reads its settings when it is imported.
    from tasks.starting import start_job

    code = 0
    submitted: list[Started] = []
    for source in sources:
        try:
            submitted.append(start_job(options.job(source), queue=queue, again=True))
        except ReelmillError as error:
            if len(sources) == 1:
                raise
            code = code or error.exit_code
            _tell({"source": source, "error": {"code": error.code, "message": str(error)}}, json_output)
            continue
        _tell_of(submitted[-1], json_output=json_output)
    if wait:
        for each in submitted:
            code = _wait_for(each, json_output=json_output) or code
    return code


def _wait_for(started: Started, *, json_output: bool) -> int:
    from cli.runs import failure_of, follow
    from tasks.starting import server_client

    accepted, manifest = started.accepted, started.manifest
    if started.run is not None:
        console = plain_console(stderr=True)
        said = ""

        def show(state: str, progress: str) -> None:
            nonlocal said
            now = progress or f"{accepted.source.location.name}: {state.lower()}"
            if now != said:
                console.print(now, soft_wrap=True)
            said = now

        with server_client() as client:
            run = follow(client, started.run, show)
        if failure := failure_of(run):
            error = {"code": failure.code, "message": failure.message}
            _tell({"source": accepted.job.source, "run": str(run.id), "error": error}, json_output)
            return failure.exit_code
        manifest = finished_manifest(accepted.output, accepted.key)
    if json_output:
        print(manifest.model_dump_json() if manifest else json.dumps({"output": str(accepted.output)}), flush=True)
    elif manifest is not None:
        print_result(plain_console(), manifest, accepted.output)
    else:
        print(f"finished; its result in {accepted.output} can't be seen from here")
    return 0


def _tell_of(started: Started, *, json_output: bool) -> None:
    told: dict[str, object] = {"source": started.accepted.job.source, "output": str(started.accepted.output)}
    if started.run is not None:
        told |= {"run": str(started.run.id), "state": started.run.state_name, "new": started.is_new}
    else:
        told |= {"run": None, "state": "Completed", "new": False}
    _tell(told, json_output)


def _tell(told: dict[str, object], json_output: bool) -> None:
    if json_output:
        print(json.dumps(told), flush=True)
        return
    error = told.get("error")
    if isinstance(error, dict):
        print(f"error: {error['code']}: {told['source']}: {error['message']}", file=sys.stderr, flush=True)
    elif told["run"] is None:
        print(f"{told['source']}: finished already, in {told['output']}", flush=True)
    else:
        already = "" if told["new"] else f" already, it is {str(told['state']).lower()}"
        print(f"{told['source']}: submitted{already}, run {told['run']}", flush=True)

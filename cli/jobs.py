"""`reelmill jobs`: what became of jobs, by the Prefect server and the catalog; cancels them, has them tried again."""

from __future__ import annotations

import json
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from cli.prefect_server import has_server, refuse_without_server
from reelmill.errors import CatalogFailed, InvalidParameter, RunNotFound, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

app = App(name="jobs", help="List and show jobs, live and past; cancel and retry those of a Prefect server.")

StateName = Literal[
    "scheduled", "pending", "running", "completed", "failed", "crashed", "cancelling", "cancelled", "paused"
]
_Json = Annotated[bool, Parameter(name="--json", negative="")]
_CANCELLED_WITHIN_S = 60.0
_IN_A_LIST = ("run", "state", "source", "output", "queue", "began", "took_s", "error")


@app.command(name="list")
def list_jobs(
    *,
    state: Annotated[tuple[StateName, ...], Parameter(negative="", consume_multiple=False)] = (),
    limit: int = 20,
    json_output: _Json = False,
) -> int:
    """List the latest jobs: those of the Prefect server that is up, and those that only the catalog knows.

    Parameters
    ----------
    state
        Only jobs in this state; may be given many times.
    limit
        How many, 200 at most.
    json_output
        Print them as JSON on standard output.
    """
    if not 1 <= limit <= 200:
        raise InvalidParameter(f"--limit: {limit} is not allowed; allowed: 1 to 200")
    live = has_server()
    past = _catalogued(state, limit, needed=not live)
    told = sorted([*(_live_jobs(state, limit, past) if live else ()), *past], key=_when, reverse=True)[:limit]
    if json_output:
        print(json.dumps(told, indent=2))
        return 0
    rows = [_row(each) for each in told]
    table = Table(box=None, pad_edge=False)
    for n, name in enumerate(("run", "state", "queue", "began", "took", "source", "")):
        # Where the terminal is narrow, it is the source's name that is shortened.
        width = None if name == "source" else max((len(row[n]) for row in rows), default=0)
        table.add_column(name, no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(*row)
    Console().print(table if told else "no jobs")
    return 0


@app.command
def show(run: str, /, *, json_output: _Json = False) -> int:
    """Show one job: what it was asked, where it stands, what it made, and why it failed.

    Parameters
    ----------
    run
        The run's id, or how it begins.
    json_output
        Print it as JSON on standard output.
    """
    told = _live_job(run) if has_server() else None
    attempts = _attempts(told["run"] if told else run, needed=told is None)
    if told is None:
        if len({each["run"] for each in attempts}) != 1:
            many = f"{len(attempts)} attempts begin" if attempts else "no run begins"
            raise RunNotFound(f"{many} with {one_line(run)[:60]!r}; `reelmill jobs list` shows them")
        told = {name: attempts[0][name] for name in attempts[0] if name in _IN_A_LIST}
    if json_output:
        print(json.dumps(told | {"attempts": attempts}, indent=2))
        return 0
    asked = told.pop("parameters", {}).get("job", {})
    for name, value in told.items():
        if name == "error" and value:
            value = f"{value['code']}: {value['message']}"
        if value not in (None, ""):
            _say(name.removesuffix("_s"), f"{value}{' s' if name == 'took_s' else ''}")
    for name, value in asked.items():
        if name not in told:
            _say(name, ", ".join(value) if isinstance(value, list) else value)
    from cli.catalog_view import result_lines

    for name, value in result_lines(attempts[0]) if attempts else ():
        _say(name, value)
    return 0


@app.command
def cancel(*runs: str) -> int:
    """Cancel jobs, running or not, and wait until their ffmpeg is gone. What is kept, a retry takes up.

    Parameters
    ----------
    runs
        The runs' ids, or how they begin.
    """

    def end(client: SyncPrefectClient, found: FlowRun) -> tuple[str, bool]:
        from cli.runs import cancel_run

        if found.state and found.state.is_final():
            return f"is {(found.state_name or '').lower()} already", True
        if found.deployment_id is None:
            return "was begun by hand, not by a worker: ^C where it was begun ends it", False
        after = cancel_run(client, found, _CANCELLED_WITHIN_S)
        return (after.state_name or "unknown").lower(), bool(after.state and after.state.is_final())

    return _do(runs, end)


@app.command
def retry(*runs: str) -> int:
    """Have jobs that failed, crashed or were cancelled tried again. What they had finished is not done again.

    Parameters
    ----------
    runs
        The runs' ids, or how they begin.
    """

    def again(client: SyncPrefectClient, found: FlowRun) -> tuple[str, bool]:
        from cli.runs import retry_run

        state = (found.state_name or "unknown").lower()
        if not (found.state and found.state.is_final()) or found.state.is_completed():
            return f"is {state}", False
        retry_run(client, found)
        return f"was {state}, and is tried again", True

    return _do(runs, again)


def _do(runs: tuple[str, ...], act: Callable[[SyncPrefectClient, FlowRun], tuple[str, bool]]) -> int:
    """Print what came of each run, and return 1 where it was not what was wanted of one."""
    refuse_without_server()
    from cli.runs import find_run  # Prefect reads its settings when it is imported
    from tasks.starting import server_client

    code = 0
    with server_client() as client:
        for found in [find_run(client, each) for each in runs]:
            said, is_done = act(client, found)
            print(f"{found.id}: {said}")
            code = code if is_done else 1
    return code


def _say(name: str, value: object) -> None:
    print(f"{name:<10}{value}")


def _live_jobs(states: tuple[StateName, ...], limit: int, past: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the server's jobs, and take those that it knows out of `past`: it knows better where they stand."""
    from cli.runs import known_runs, list_runs
    from tasks.starting import server_client

    with server_client() as client:
        runs = list_runs(client, states, limit)
        known = known_runs(client, [each["run"] for each in past])
    past[:] = [each for each in past if each["run"] not in known]
    return [_told(run) for run in runs]


def _live_job(run: str) -> dict[str, Any] | None:
    """Return what the server knows of a job; None when it knows no such."""
    from cli.runs import find_run, progress_of
    from tasks.starting import server_client

    with server_client() as client:
        try:
            found = find_run(client, run)
        except RunNotFound:
            return None
        return _told(found) | {"progress": progress_of(client, found), "parameters": found.parameters}


def _catalogued(states: tuple[StateName, ...], limit: int, *, needed: bool) -> list[dict[str, Any]]:
    from cli.catalog_view import catalogued_jobs  # SQLAlchemy takes its time to load

    try:
        return catalogued_jobs(states, limit)
    except CatalogFailed as error:
        return _without_catalog(error, needed)


def _attempts(run: str, *, needed: bool) -> list[dict[str, Any]]:
    from cli.catalog_view import catalogued_attempts

    try:
        return catalogued_attempts(run)
    except CatalogFailed as error:
        return _without_catalog(error, needed)


def _without_catalog(error: CatalogFailed, needed: bool) -> list[dict[str, Any]]:
    if needed:
        raise error
    print(f"warning: {error}", file=sys.stderr)
    return []


def _when(told: dict[str, Any]) -> str:
    return told["began"] or ""


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    took = f"{told['took_s']:.0f} s" if told["took_s"] else ""
    error = told["error"]["code"] if told["error"] else ""
    name = PurePosixPath(told["source"]).name
    return told["run"][:8], told["state"].lower(), told["queue"] or "", (told["began"] or "")[:16], took, name, error


def _told(run: FlowRun) -> dict[str, Any]:
    """Return what is told of a run in a list."""
    from cli.catalog_view import local_time
    from cli.runs import failure_of

    job = run.parameters.get("job", {})
    failure = failure_of(run)
    output = job.get("output")
    began = run.start_time or run.expected_start_time
    return {
        "run": str(run.id),
        "state": run.state_name or "unknown",
        "source": job.get("source", ""),
        "output": output,
        "queue": run.work_queue_name,
        "began": local_time(began) if began else None,
        "took_s": round(run.estimated_run_time.total_seconds(), 1),
        "error": {"code": failure.code, "message": failure.message} if failure else None,
    }

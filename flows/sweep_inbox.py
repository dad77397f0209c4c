"""Looks through the inboxes for uploads without a result, and starts a job for each: what no notification told of."""

from __future__ import annotations

from collections import Counter

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from reelmill.errors import InvalidParameter, JobRejected, ReelmillError
from reelmill.intake.inbox import unfinished_uploads
from reelmill.intake.rules import inboxes
from reelmill.storage.location import Location, parse_location
from tasks import s3_credentials as s3_credentials
from tasks.starting import Queue, Started, start_upload

_MOST_SHOWN = 200


@flow(name="sweep-inbox", persist_result=False)
def sweep_inbox(inbox: str = "", queue: Queue = "bulk") -> dict[str, int]:
    """Start a job for each upload in the inboxes that has no result, unless it has a run already.

    Args:
        inbox: One of the inboxes of REELMILL_INTAKE_INBOX; all of them when empty
        queue: Work queue that the jobs go to

    Returns how many uploads were `started`, are `known` to have a run, and were `refused`, each logged. A run that
    failed is not started again by a sweep. Raises InvalidParameter when there is no such inbox, and, after the others
    were started, what kept one from being started.
    """
    log = get_run_logger()
    rows: list[dict[str, str]] = []
    counts = Counter(started=0, known=0, refused=0)
    failure: ReelmillError | None = None
    for job in unfinished_uploads(_place(inbox) if inbox else None):
        try:
            started = start_upload(job, queue=queue)
            outcome, row = _outcome(started)
        except ReelmillError as error:
            log.warning("%s: %s: %s", job.source, error.code, error)
            outcome, row = "refused", {"outcome": f"{error.code}: {error}"}
            if not isinstance(error, JobRejected):
                failure = error
        counts[outcome] += 1
        if len(rows) < _MOST_SHOWN:
            rows.append({"upload": job.source, **row})
    log.info("%(started)d uploads started, %(known)d known already, %(refused)d refused", counts)
    if rows:
        create_table_artifact(key="sweep", table=rows, description="Uploads without a result")
    if failure is not None:
        raise failure
    return dict(counts)


def _place(inbox: str) -> Location:
    wanted = parse_location(inbox, "inbox")
    places = inboxes()
    if wanted not in places:
        raise InvalidParameter(
            f"inbox: {inbox} is none of {', '.join(map(str, places)) or 'those set: there are none'}"
        )
    return wanted


def _outcome(started: Started) -> tuple[str, dict[str, str]]:
    run = started.run
    if run is None:
        return "known", {"outcome": "finished meanwhile"}
    if started.is_new:
        return "started", {"outcome": "started", "run": str(run.id)}
    return "known", {"outcome": f"has a run, {(run.state_name or 'unknown').lower()}", "run": str(run.id)}

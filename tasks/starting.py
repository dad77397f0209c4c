"""Starts jobs on a Prefect server: one run for one request, however often and by however many it is asked for."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, get_args

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from reelmill.errors import NotDeployed, ServerUnreachable
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.preparing import AcceptedJob, accept_job
from reelmill.publishing import finished_manifest
from reelmill.settings import settings
from reelmill.storage.digests import content_key
from reelmill.transfer.job import TransferJob, accept_transfer

Deployment = Literal["transcode", "on-upload"]
Queue = Literal["high", "normal", "bulk"]
QUEUES: tuple[Queue, ...] = get_args(Queue)

FLOW = "transcode-video"
TRANSFER_FLOW = "transfer-object"
UPLOAD_TAKEN = "reelmill.object.created"
_KEYS_AT_ONCE = 200
"""Runs of one request that are asked for in one go: the first, and those after a failure that are wanted again."""
_REQUEST = "reelmill.request"


@dataclass(frozen=True)
class Started:
    """What became of a request: its run, which may be an earlier one, or the result, when that is there already."""

    accepted: AcceptedJob
    run: FlowRun | None = None
    is_new: bool = False
    manifest: Manifest | None = None


def start_job(
    job: TranscodeJob, *, deployment: Deployment = "transcode", queue: Queue | None = None, again: bool = False
) -> Started:
    """Have a worker do a job, unless it is done, or was asked for already.

    Equal requests for the same content have one run, which the server sees to. When that run failed, crashed or was
    cancelled it is left at that, unless it is wanted `again`; when its result is gone it is made anew. Without a queue
    a long job goes to `bulk`, and any other to the deployment's own. Raises JobRejected, StoreFailed,
    ServerUnreachable, NotDeployed.
    """
    accepted = accept_job(job)
    try:
        manifest = finished_manifest(accepted.output, accepted.key)
        if manifest is not None:
            return Started(accepted, manifest=manifest)
        parameters = accepted.portable().model_dump(mode="json", exclude_defaults=True)
        wanted = _Request(
            accepted.submission_key, f"{FLOW}/{deployment}", parameters, f"transcode {accepted.source.location.name}"
        )
        with server_client() as client:
            run, is_new = _start(client, wanted, queue or _queue_of_its_size(accepted), again=again)
        return Started(accepted, run, is_new)
    finally:
        accepted.release()


def start_upload(job: TranscodeJob, *, queue: Queue | None = None) -> Started:
    """Start the job that an upload makes. Of each new run Prefect is told by an event, for those who want to know."""
    started = start_job(job, deployment="on-upload", queue=queue)
    if started.run is not None and started.is_new:
        source = started.accepted.source
        emit_event(
            UPLOAD_TAKEN,
            resource={"prefect.resource.id": f"reelmill.upload.{source.location}", "prefect.resource.name": job.source},
            related=[
                {"prefect.resource.id": f"prefect.flow-run.{started.run.id}", "prefect.resource.role": "flow-run"}
            ],
            payload={"source": str(source.location), "size_bytes": source.size_bytes, "identity": source.identity},
        )
    return started


def start_transfer(job: TransferJob, *, queue: Queue | None = None) -> tuple[FlowRun, bool]:
    """Have a worker do a transfer; return its run, and whether it is a new one.

    Equal requests of one day have one run for as long as it is not over. Raises JobRejected, ServerUnreachable and
    NotDeployed.
    """
    accepted = accept_transfer(job)
    parameters = accepted.portable().model_dump(mode="json", exclude_defaults=True)
    name = f"transfer {accepted.source.name}"
    key = content_key(TRANSFER_FLOW, str(parameters), datetime.now(UTC).date().isoformat())
    wanted = _Request(key, f"{TRANSFER_FLOW}/transfer", parameters, name)
    with server_client() as client:
        return _start(client, wanted, queue, again=True)


@contextmanager
def server_client() -> Generator[SyncPrefectClient]:
    """Give a client of the Prefect server. ServerUnreachable when it does not answer, or not to us."""
    with get_client(sync_client=True) as client:
        try:
            yield client
        except httpx.TransportError as error:
            raise ServerUnreachable(
                f"the Prefect server at {client.api_url} does not answer ({error}); `reelmill up` starts one"
            ) from error
        except PrefectHTTPStatusError as error:
            if error.response.status_code == HTTPStatus.UNAUTHORIZED:
                raise ServerUnreachable(
                    f"the Prefect server at {client.api_url} wants another PREFECT_API_AUTH_STRING than is set here"
                ) from error
            raise ServerUnreachable(f"the Prefect server at {client.api_url} says no: {error}") from error


@dataclass(frozen=True)
class _Request:
    """What is asked of a deployment; requests with equal keys are one."""

    key: str
    deployment: str
    job: dict[str, Any]
    run_name: str


def _start(client: SyncPrefectClient, wanted: _Request, queue: Queue | None, *, again: bool) -> tuple[FlowRun, bool]:
    """Return the run of a request, and whether it is new."""
    latest, next_key = _latest(client, wanted.key)
    if latest is not None and not _is_over(latest, again):
        return latest, False
    try:
        deployed = client.read_deployment_by_name(wanted.deployment)
    except ObjectNotFound as error:
        raise NotDeployed(
            f"the Prefect server at {client.api_url} has no deployment {wanted.deployment}; `reelmill up` makes it"
        ) from error
    request = uuid.uuid4().hex
    run = client.create_flow_run_from_deployment(
        deployed.id,
        parameters={"job": wanted.job},
        name=wanted.run_name,
        idempotency_key=next_key,
        work_queue_name=queue,
        labels={_REQUEST: request},
    )
    return run, run.labels.get(_REQUEST) == request


def _latest(client: SyncPrefectClient, key: str) -> tuple[FlowRun | None, str]:
    """Return the latest run of a request, and the idempotency key of one that follows it."""
    latest, next_key = None, key
    for first in itertools.count(1, _KEYS_AT_ONCE):
        keys = [f"{key}/{n}" if n > 1 else key for n in range(first, first + _KEYS_AT_ONCE + 1)]
        asked = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys[:-1]))
        runs = client.read_flow_runs(flow_run_filter=asked, limit=_KEYS_AT_ONCE)
        if not runs:
            break
        latest = max(runs, key=lambda run: keys.index(run.idempotency_key or ""))
        next_key = keys[keys.index(latest.idempotency_key or "") + 1]
        if next_key != keys[-1]:
            break
    return latest, next_key


def _queue_of_its_size(accepted: AcceptedJob) -> Queue | None:
    """Return `bulk` for a job that may take hours. Its size is all that is known before its source is opened."""
    size_bytes = sum(each.size_bytes for each in accepted.sources)
    return "bulk" if size_bytes >= settings().bulk_from_gb * 1e9 else None


def _is_over(run: FlowRun, again: bool) -> bool:
    """Whether another run may follow it."""
    if run.state is None or not run.state.is_final():
        return False
    return again or run.state.is_completed()

"""Writes the catalog as a job goes on. A catalog that fails never fails a job: the manifest is what counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from reelmill.catalog import writing
from reelmill.catalog.writing import Attempt
from reelmill.cost.ledger import Ledger
from reelmill.errors import CatalogFailed
from reelmill.manifest import Manifest
from reelmill.media.tool import ffmpeg_version
from reelmill.planning.plan import Plan
from reelmill.preparing import AcceptedJob
from reelmill.records import PieceRecord
from reelmill.settings import settings
from tasks.retrying import RETRY_DELAYS_S, is_worth_retrying

Pieces = Mapping[str, Sequence[PieceRecord]]


@task(
    name="catalog", cache_policy=NO_CACHE, retries=len(RETRY_DELAYS_S), retry_delay_seconds=RETRY_DELAYS_S,
    retry_jitter_factor=0.3, retry_condition_fn=is_worth_retrying,
)  # fmt: skip
def record_result(manifest: Manifest, attempt: Attempt, plan: Plan | None, pieces: Pieces | None) -> None:
    """Note what was published."""
    mine = attempt if attempt.name == manifest.attempt else None  # else it was finished by another run
    writing.record_result(manifest, attempt.output, attempt=mine, plan=plan, pieces=pieces)


class JobLog:
    """What one run of a job tells the catalog."""

    def __init__(self, accepted: AcceptedJob, attempt: str, ledger: Ledger):
        self._ledger = ledger
        self._attempt = Attempt(
            name=attempt, job_key=accepted.key, source=accepted.source, output=accepted.portable().output_location,
            profile=accepted.profile.name, run=flow_run.id, began=datetime.now(UTC), ffmpeg_version=ffmpeg_version(),
        )  # fmt: skip

    def begin(self) -> None:
        """Note that the job is at work; its lock must be held."""
        try:
            writing.begin_job(self._attempt)
        except CatalogFailed as error:
            get_run_logger().warning("%s; the job goes on without it", error)

    def finish(self, manifest: Manifest, plan: Plan | None = None, pieces: Pieces | None = None) -> Manifest:
        """Note what was published, and return the manifest; with a warning in it when it is not in the catalog.

        The warning is for whoever waits for the job: the manifest beside the outputs stays what it is.
        """
        retries = min(settings().retries, len(RETRY_DELAYS_S))
        try:
            record_result.with_options(retries=retries)(manifest, self._attempt, plan, pieces)
        except CatalogFailed as error:
            warning = f"CatalogFailed: {error}; `reelmill catalog rebuild` reads the manifest again"
            get_run_logger().warning(warning)
            return manifest.model_copy(update={"warnings": (*manifest.warnings, warning)})
        return manifest

    def fail(self, error: BaseException) -> None:
        """Note why there is no result."""
        try:
            writing.record_failure(self._attempt, error, self._ledger)
        except CatalogFailed as failure:
            get_run_logger().warning("%s; why the job failed is not in it", failure)

"""Writes what becomes of a job. Whatever is called again with the same arguments changes nothing then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from reelmill import __version__
from reelmill.catalog import tables
from reelmill.catalog.database import write
from reelmill.cost.ledger import Ledger
from reelmill.cost.prices import nanos_of, seconds_of
from reelmill.cost.report import JobCost
from reelmill.errors import JobCancelled, ReelmillError, one_line
from reelmill.manifest import Manifest
from reelmill.planning.plan import Plan
from reelmill.records import PieceRecord
from reelmill.storage.location import Location
from reelmill.storage.readable import Pinned

_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Attempt:
    """One run of a job, as it is known when it begins. `run` is its id in Prefect."""

    name: str
    job_key: str
    source: Pinned
    output: Location
    profile: str
    run: str | None
    began: datetime
    ffmpeg_version: str

    def row(self, state: tables.State) -> tables.Job:
        source, location = self.source, str(self.source.location)
        return tables.Job(
            attempt=self.name, job_key=self.job_key, state=state, run=self.run, profile=self.profile,
            output=str(self.output), began=self.began, reelmill_version=__version__, ffmpeg_version=self.ffmpeg_version,
            source=tables.Source(
                identity=source.identity, file_name=source.location.name, location=location,
                size_bytes=source.size_bytes,
            ),
        )  # fmt: skip


def begin_job(attempt: Attempt) -> None:
    """Note that a job is at work. To be called by who has its lock: no other attempt at it is alive. CatalogFailed."""

    def change(session: Session) -> None:
        others = (tables.Job.job_key == attempt.job_key, tables.Job.attempt != attempt.name)
        session.execute(
            update(tables.Job)
            .where(*others, tables.Job.state == "running")
            .values(state="crashed", ended=datetime.now(UTC))
        )
        session.merge(attempt.row("running"))

    write(change)


def record_failure(attempt: Attempt, error: BaseException, ledger: Ledger | None = None) -> None:
    """Note why a job has no result, and what was spent on it. What interrupts a program is a cancel. CatalogFailed."""
    at = datetime.now(UTC)
    cancelled = isinstance(error, JobCancelled) or not isinstance(error, Exception)
    code = error.code if isinstance(error, ReelmillError) else type(error).__name__
    message = one_line(str(error))[:_LONGEST_MESSAGE].encode(errors="replace").decode()

    def change(session: Session) -> None:
        row = attempt.row("cancelled" if cancelled else "failed")
        row.ended, row.wall_s = at, (at - attempt.began).total_seconds()
        if ledger is not None:
            row.currency, row.cost_nanos = ledger.prices.currency, ledger.nanos
            row.billed_cpu_s = seconds_of(sum(each.cpu_tenths for each in ledger.runs))
        row.error = tables.Error(code=code[:64], message=message, at=at)
        session.merge(row)

    write(change)


def record_result(
    manifest: Manifest,
    output: Location,
    *,
    attempt: Attempt | None = None,
    plan: Plan | None = None,
    pieces: Mapping[str, Sequence[PieceRecord]] | None = None,
) -> None:
    """Note what a published manifest says, and, where they are given, the segments. Raises CatalogFailed.

    Without them, as when the catalog is made anew from manifests, what is known of the segments is left as it is.
    """
    ended, cost = datetime.fromisoformat(manifest.created), manifest.cost

    def change(session: Session) -> None:
        known = session.get(tables.Job, manifest.attempt)
        if known is None and attempt is not None:
            known = attempt.row("running")
        row = tables.Job(
            attempt=manifest.attempt, job_key=manifest.job_key, state="completed", profile=manifest.profile,
            output=str(output), began=known.began if known else ended - timedelta(seconds=manifest.wall_s),
            ended=ended, wall_s=manifest.wall_s, reelmill_version=manifest.reelmill_version,
            ffmpeg_version=manifest.ffmpeg_version, source=_source(manifest), outputs=_outputs(manifest),
            renditions=_renditions(manifest), error=None, currency=cost.prices.currency,
            cost_nanos=nanos_of(cost.amount), estimated_nanos=nanos_of(cost.estimated), billed_cpu_s=cost.cpu_s,
            estimated_cpu_s=cost.estimated_cpu_s, speeds=_speeds(manifest, ended),
        )  # fmt: skip
        if attempt is not None:
            row.run, row.source.location = attempt.run, str(attempt.source.location)
        if plan is not None and pieces is not None:
            row.segments = _segments(plan, pieces, cost)
        session.merge(row)

    write(change)


def _source(manifest: Manifest) -> tables.Source:
    source = manifest.source
    return tables.Source(
        identity=source.identity, file_name=source.file_name, size_bytes=source.size_bytes, format=source.format,
        duration_s=source.duration_s, frames=source.frames,
    )  # fmt: skip


def _outputs(manifest: Manifest) -> list[tables.Output]:
    costs = {each.format: nanos_of(each.amount) for each in manifest.cost.formats}
    return [
        tables.Output(
            attempt=manifest.attempt, format=each.format, file_name=each.file_name, size_bytes=each.size_bytes,
            sha256=each.sha256, duration_s=each.duration_s, frames=each.frames, width=each.width, height=each.height,
            cost_nanos=costs.get(each.format),
        )
        for each in manifest.outputs
    ]  # fmt: skip


def _renditions(manifest: Manifest) -> list[tables.Rendition]:
    costs = {each.work: nanos_of(each.amount) for each in manifest.cost.renditions}
    return [
        tables.Rendition(
            attempt=manifest.attempt, id=each.id, kind=each.kind, codec=each.codec, segments=each.segments,
            reused_segments=each.reused_segments, frames=each.frames, cpu_s=each.cpu_s, wall_s=each.wall_s,
            cost_nanos=costs.get(each.id),
        )
        for each in manifest.renditions
    ]  # fmt: skip


def _speeds(manifest: Manifest, at: datetime) -> list[tables.SpeedSample]:
    return [
        tables.SpeedSample(
            attempt=manifest.attempt, rendition=each.rendition, codec=each.kind.codec, preset=each.kind.preset,
            size=each.kind.size, source_size=each.kind.source_size, cpu_class=each.cpu_class, work=each.work,
            cpu_ms=each.cpu_ms, size_bytes=each.size_bytes, at=at,
        )
        for each in manifest.cost.samples
    ]  # fmt: skip


def _segments(plan: Plan, pieces: Mapping[str, Sequence[PieceRecord]], cost: JobCost) -> list[tables.Segment]:
    costs = {(each.rendition, each.segment): nanos_of(each.amount) for each in cost.segments}
    rows: list[tables.Segment] = []
    for video in plan.video:
        starts = {each.number: float(each.start * video.time_base) for each in video.segments}
        rows += [
            tables.Segment(
                rendition=video.id, number=each.segment, start_s=starts[each.segment], frames=each.frames,
                size_bytes=each.size_bytes, sha256=each.sha256, cpu_s=each.cpu_s, wall_s=each.wall_s,
                reused=each.reused, cost_nanos=costs.get((video.id, each.segment), 0),
            )
            for each in pieces.get(video.id, ())
        ]  # fmt: skip
    return rows

"""The steps of a transcode: probe, encode a segment, make a track, merge and verify, post-process, publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

import reelmill
from reelmill.cost.prices import money_text, nanos_of
from reelmill.cost.report import JobCost
from reelmill.encoding.merge import merge_output as merge_files
from reelmill.encoding.pieces import encode_segment as encode_pieces
from reelmill.encoding.quality import Measured, measure_segment, quality_reports
from reelmill.encoding.verify import verify_output
from reelmill.encoding.whole_tracks import make_track as make_whole_track
from reelmill.manifest import ClipReport, Manifest, OutputReport, PictureReport, RenditionReport, SourceReport
from reelmill.media.frame_index import unpack_times
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_version
from reelmill.packaging.making import make_package
from reelmill.packaging.verify import verify_package
from reelmill.planning.joining import Probed
from reelmill.planning.plan import Encode, OutputPlan, Plan, TrackRendition
from reelmill.preparing import AcceptedJob, probe_job, refuse_outdated, with_subtitles
from reelmill.profiles.quality import QualitySettings
from reelmill.progress import board
from reelmill.publishing import draft_at_hand
from reelmill.publishing import publish as publish_outputs
from reelmill.records import PieceRecord, QualityRecord, TrackRecord
from reelmill.storage.at_once import at_once
from reelmill.storage.store import Draft, Staged
from reelmill.workspace import Workspace
from tasks import s3_credentials as s3_credentials
from tasks.cancelling import cancelled_when_told
from tasks.retrying import RETRY


@task(name="probe", cache_policy=NO_CACHE, **RETRY)
def probe_source(accepted: AcceptedJob, attempt: str) -> tuple[Probed, ...]:
    """Return what each source is and when each of its frames is shown."""
    return probe_job(accepted, attempt)


@task(name="subtitles", cache_policy=NO_CACHE, **RETRY)
def read_subtitles(accepted: AcceptedJob, source: Source, attempt: str) -> AcceptedJob:
    """Return the job with the text of the track that is burned in."""
    return with_subtitles(accepted, source, attempt)


@task(name="encode", task_run_name="encode-{label}", cache_policy=NO_CACHE, **RETRY)
@cancelled_when_told
def encode_segment(
    label: str,
    source: Source,
    encodes: Sequence[Encode],
    workspace: Workspace,
    threads: int,
    strict: bool,
    attempt: str,
) -> tuple[PieceRecord, ...]:
    """Encode what an earlier run or try did not of one segment; the workspace keeps each piece with its record."""
    return encode_pieces(
        source, encodes, workspace=workspace, threads=threads, strict=strict, attempt=attempt,
        on_progress=board(attempt).report,
    )  # fmt: skip


@task(name="quality", task_run_name="quality-{encode.label}", cache_policy=NO_CACHE, **RETRY)
def measure_quality(
    source: Source,
    encode: Encode,
    piece: PieceRecord,
    wanted: QualitySettings,
    workspace: Workspace,
    threads: int,
    strict: bool,
    attempt: str,
) -> Measured:
    """Compare one segment with the source, unless an earlier run did, and encode it better where that is wanted."""
    return measure_segment(
        source, encode, piece, wanted, workspace=workspace, threads=threads, strict=strict, attempt=attempt
    )


@task(name="track", task_run_name="track-{track.id}", cache_policy=NO_CACHE, **RETRY)
def make_track(
    sources: tuple[Source, ...], track: TrackRendition, workspace: Workspace, strict: bool, attempt: str
) -> TrackRecord:
    """Make one audio or subtitle track whole, unless an earlier run did; the workspace keeps it with its record."""
    return make_whole_track(sources, track, workspace=workspace, strict=strict, attempt=attempt)


@task(name="merge", task_run_name="merge-{output.format}", cache_policy=NO_CACHE, **RETRY)
def merge_output(
    plan: Plan,
    output: OutputPlan,
    pieces: dict[str, list[PieceRecord]],
    tracks: dict[str, TrackRecord],
    workspace: Workspace,
    draft: Draft,
    attempt: str,
) -> tuple[OutputReport, tuple[Staged, ...]]:
    """Join one output, open it again, compare it with the plan, and have it ready to be published."""
    with draft_at_hand(draft) as mine:
        out = mine.folder / output.file_name
        report = (_package if output.package else _merge)(plan, output, pieces, tracks, workspace, out, attempt)
        return report, tuple(at_once(lambda each: mine.stage(each.file_name, each.sha256), report.stored))


def _merge(
    plan: Plan,
    output: OutputPlan,
    pieces: dict[str, list[PieceRecord]],
    tracks: dict[str, TrackRecord],
    workspace: Workspace,
    out: Path,
    attempt: str,
) -> OutputReport:
    merge_files(plan, output, pieces=pieces, tracks=tracks, workspace=workspace, out=out, attempt=attempt)
    rate = plan.rendition(output.video).frame_rate if output.video else None
    expected = unpack_times(workspace.load_frame_times(), rate) if output.video else None
    mine = pieces.get(output.video or "", [])
    return verify_output(plan, output, out, expected=expected, pieces=mine, tracks=tracks)


def _package(
    plan: Plan,
    output: OutputPlan,
    pieces: dict[str, list[PieceRecord]],
    tracks: dict[str, TrackRecord],
    workspace: Workspace,
    out: Path,
    attempt: str,
) -> OutputReport:
    made = make_package(
        plan, output, pieces=pieces, tracks=tracks, workspace=workspace, out=out, attempt=attempt
    )  # fmt: skip
    rates = {plan.rendition(each).frame_rate for each in output.videos}
    expected = unpack_times(workspace.load_frame_times(), rates.pop()) if rates else None
    return verify_package(
        plan, output, made, out, expected=expected, pieces=pieces, tracks=tracks, workspace=workspace
    )  # fmt: skip


@task(name="post-process", cache_policy=NO_CACHE)
def post_process(
    accepted: AcceptedJob,
    plan: Plan,
    reports: Sequence[OutputReport],
    pictures: Sequence[PictureReport],
    renditions: Sequence[RenditionReport],
    warnings: Sequence[str],
    quality: Sequence[QualityRecord],
    attempt: str,
    wall_s: float,
    cost: JobCost,
) -> Manifest:
    """Write the manifest of the finished outputs, and a table of them for the UI."""
    amounts = {each.format: money_text(nanos_of(each.amount), cost.prices.currency) for each in cost.formats}
    create_table_artifact(
        key="outputs",
        description=f"Outputs of {plan.source.name}. Cost: {cost.text}",
        table=[
            {
                "file": report.file_name, "codecs": ", ".join(stream.codec for stream in report.streams),
                "frames": report.frames, "seconds": report.duration_s, "bytes": report.size_bytes,
                "cost": amounts[report.format],
                "checks": f"{len(report.checks)} passed", "sha256": report.sha256,
            }
            for report in reports
        ],
    )  # fmt: skip
    source, *joined = _source_reports(plan)
    return Manifest(
        job_key=plan.job_key,
        attempt=attempt,
        reelmill_version=reelmill.__version__,
        ffmpeg_version=ffmpeg_version(),
        profile=accepted.profile.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_s=round(wall_s, 3),
        source=source,
        joined=tuple(joined),
        outputs=tuple(reports),
        pictures=tuple(pictures),
        renditions=tuple(renditions),
        quality=tuple(quality_reports(plan, quality)),
        cost=cost,
        reasons=plan.reasons,
        warnings=(*plan.warnings, *warnings),
    )  # fmt: skip


def _source_reports(plan: Plan) -> Iterator[SourceReport]:
    for source, video in ((each.source, each.video) for each in plan.parts or (plan,)):
        frames = plan.source_frames
        if plan.parts:
            frames = video[0].frames if video else None
        yield SourceReport(
            file_name=source.name, identity=source.identity, size_bytes=source.size_bytes, format=source.demuxer,
            duration_s=float(source.duration_s), clip=_clip_report(source), frames=frames,
            frames_known_from=plan.index_origin,
        )  # fmt: skip


def _clip_report(source: Source) -> ClipReport | None:
    if source.clip is None:
        return None
    end_s = None if source.clip.end_s is None else round(float(source.clip.end_s), 6)
    return ClipReport(start_s=round(float(source.clip.start_s), 6), end_s=end_s)


@task(name="publish", cache_policy=NO_CACHE, **RETRY)
def publish(manifest: Manifest, staged: Sequence[Staged], draft: Draft, accepted: AcceptedJob) -> None:
    """Make the outputs visible, the manifest last."""
    if accepted.job.replace:
        refuse_outdated(accepted)
    publish_outputs(manifest, staged, draft, accepted.output, replace=accepted.job.replace)

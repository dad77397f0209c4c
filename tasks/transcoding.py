"""The steps of a transcode: probe, encode a segment, make a track, merge and verify, post-process, publish."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy

import reelmill
from reelmill.encoding.merge import merge_output as merge_files
from reelmill.encoding.pieces import encode_segment as encode_piece
from reelmill.encoding.pieces import piece_key
from reelmill.encoding.records import PieceRecord, TrackRecord
from reelmill.encoding.verify import verify_output
from reelmill.encoding.whole_tracks import make_track as make_whole_track
from reelmill.encoding.whole_tracks import track_key
from reelmill.manifest import Manifest, OutputReport, RenditionReport, SourceReport
from reelmill.media.frame_index import FrameIndex, load_times
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_version
from reelmill.planning.plan import OutputPlan, Plan, Segment, TrackRendition, VideoRendition
from reelmill.preparing import AcceptedJob, probe_job
from reelmill.progress import board
from reelmill.publishing import publish as publish_files
from tasks.retrying import RETRY_DELAYS_S, is_worth_retrying

_RETRY: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": is_worth_retrying,
}
_BY_PIECE = CacheKeyFnPolicy(
    cache_key_fn=lambda _, given: piece_key(given["source"], given["rendition"], given["segment"])
)
_BY_TRACK = CacheKeyFnPolicy(cache_key_fn=lambda _, given: track_key(given["source"], given["track"]))
_KEPT: dict[str, Any] = {"persist_result": True, "result_serializer": "json"}


@task(name="probe", cache_policy=NO_CACHE, **_RETRY)
def probe_source(accepted: AcceptedJob, attempt: str) -> tuple[Source, FrameIndex | None]:
    """Return what the source is and when each of its frames is shown."""
    return probe_job(accepted, attempt)


@task(
    name="encode", task_run_name="encode-{rendition.id}-{segment.number:05d}", cache_policy=_BY_PIECE, **_KEPT, **_RETRY
)
def encode_segment(
    source: Source, rendition: VideoRendition, segment: Segment, folder: Path, threads: int, strict: bool, attempt: str
) -> dict[str, Any]:
    """Encode one segment of one rendition; its record, as JSON values, is kept for the next run."""
    name = f"{rendition.id}-{segment.number:05d}"
    record = encode_piece(
        source, rendition, segment, folder=folder, threads=threads, strict=strict, attempt=attempt,
        on_progress=lambda progress: board(attempt).report(name, progress.frames),
    )  # fmt: skip
    return record.model_dump(mode="json")


@task(name="track", task_run_name="track-{track.id}", cache_policy=_BY_TRACK, **_KEPT, **_RETRY)
def make_track(source: Source, track: TrackRendition, folder: Path, strict: bool, attempt: str) -> dict[str, Any]:
    """Make one audio or subtitle track whole; its record, as JSON values, is kept for the next run."""
    return make_whole_track(source, track, folder=folder, strict=strict, attempt=attempt).model_dump(mode="json")


@task(name="merge", task_run_name="merge-{output.format}", cache_policy=NO_CACHE, **_RETRY)
def merge_output(
    plan: Plan,
    output: OutputPlan,
    pieces: dict[str, list[PieceRecord]],
    tracks: dict[str, TrackRecord],
    folder: Path,
    out: Path,
    frame_times: Path,
    attempt: str,
) -> OutputReport:
    """Join one output, open it again and compare it with the plan."""
    merge_files(plan, output, pieces=pieces, tracks=tracks, folder=folder, out=out, attempt=attempt)
    expected = load_times(frame_times, plan.rendition(output.video).frame_rate) if output.video else None
    mine = pieces.get(output.video or "", [])
    return verify_output(plan, output, out, expected=expected, pieces=mine, tracks=tracks)


@task(name="post-process", cache_policy=NO_CACHE)
def post_process(
    accepted: AcceptedJob,
    plan: Plan,
    reports: Sequence[OutputReport],
    renditions: Sequence[RenditionReport],
    warnings: Sequence[str],
    wall_s: float,
) -> Manifest:
    """Write the manifest of the finished outputs, and a table of them for the UI."""
    create_table_artifact(
        key="outputs",
        description=f"Outputs of {plan.source.path.name}",
        table=[
            {
                "file": report.file_name, "codecs": ", ".join(stream.codec for stream in report.streams),
                "frames": report.frames, "seconds": report.duration_s, "bytes": report.size_bytes,
                "checks": f"{len(report.checks)} passed", "sha256": report.sha256,
            }
            for report in reports
        ],
    )  # fmt: skip
    source = plan.source
    return Manifest(
        job_key=plan.job_key,
        reelmill_version=reelmill.__version__,
        ffmpeg_version=ffmpeg_version(),
        profile=accepted.profile.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_s=round(wall_s, 3),
        source=SourceReport(
            file_name=source.path.name, identity=source.identity, size_bytes=source.size_bytes, format=source.demuxer,
            duration_s=float(source.duration_s), frames=plan.source_frames, frames_known_from=plan.index_origin,
        ),
        outputs=tuple(reports),
        renditions=tuple(renditions),
        reasons=plan.reasons,
        warnings=(*plan.warnings, *warnings),
    )  # fmt: skip


@task(name="publish", cache_policy=NO_CACHE, **_RETRY)
def publish(manifest: Manifest, attempt_folder: Path, output: Path) -> None:
    """Make the outputs visible, the manifest last."""
    publish_files(manifest, attempt_folder, output)

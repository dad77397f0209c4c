"""One video in, every format out.

probe -> plan -> encode (segment x rendition) -+-> merge and verify, format by format -> post-process -> publish
                 tracks (whole)             ---+
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from reelmill.encoding.records import PieceRecord, TrackRecord
from reelmill.encoding.scan import scan_frames
from reelmill.errors import MediaDamaged, SegmentInexact, VerifyFailed
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest, OutputReport, RenditionReport
from reelmill.media.frame_index import FrameIndex, save_times
from reelmill.media.tool import cancel_job, forget_job
from reelmill.planning.plan import Plan
from reelmill.preparing import AcceptedJob, accept_job, plan_job
from reelmill.progress import board, drop_board
from reelmill.publishing import attempt_folder, finished_manifest, refuse_taken
from reelmill.settings import settings
from reelmill.workspace import Workspace, open_workspace, refuse_full_disk
from tasks.dispatch import Dispatcher
from tasks.reporting import ProgressReporter
from tasks.transcoding import encode_segment, make_track, merge_output, post_process, probe_source, publish

Pieces = dict[str, list[PieceRecord]]
Tracks = dict[str, TrackRecord]


def _run_name() -> str:
    job = flow_run.parameters["job"]
    source = job["source"] if isinstance(job, dict) else job.source
    return f"transcode {Path(source).name}"


@flow(name="transcode-video", flow_run_name=_run_name, persist_result=False)
def transcode_video(job: TranscodeJob) -> Manifest:
    """Turn one video into every format asked for, and prove that no frame was lost."""
    started = time.monotonic()
    attempt = uuid.uuid4().hex
    accepted = accept_job(job)
    try:
        source, index = probe_source(accepted, attempt)
        key = accepted.key_for(source)
        finished = finished_manifest(accepted.output, key)
        if finished is not None:
            get_run_logger().info("%s is finished already: nothing to do", source.path.name)
            return finished
        plan = plan_job(accepted, source, index)
        refuse_taken(accepted.output, key, [output.file_name for output in plan.outputs])
        refuse_full_disk(plan, accepted.output)
        with open_workspace(key) as workspace, attempt_folder(accepted.output, key, attempt) as folder:
            plan, reports, pieces, tracks = _make_outputs(accepted, plan, index, workspace, folder, attempt)
            renditions, warnings = _rendition_reports(plan, pieces, tracks)
            manifest = post_process(accepted, plan, reports, renditions, warnings, time.monotonic() - started)
            publish(manifest, folder, accepted.output)
            workspace.remove()
        return manifest
    except BaseException:
        cancel_job(attempt)
        raise
    finally:
        forget_job(attempt)
        drop_board(attempt)


def _make_outputs(
    accepted: AcceptedJob, plan: Plan, index: FrameIndex | None, workspace: Workspace, folder: Path, attempt: str
) -> tuple[Plan, list[OutputReport], Pieces, Tracks]:
    """Encode and merge by the plan; where its pieces can't be exact, by a more careful one, in the end uncut.

    The packets' word for the times of the frames is checked by every piece. Where a piece disagrees, the source is
    decoded once to learn the truth; where a piece still disagrees, or the decoder reports damage, nothing is cut.
    """
    earlier = workspace.load_plan()
    if earlier is not None and earlier.job_key == plan.job_key:
        plan = earlier.model_copy(update={"source": plan.source, "encoder_threads": plan.encoder_threads})
    elif index is not None:
        save_times(index, workspace.frame_times)
    while True:
        workspace.save_plan(plan)
        try:
            reports, pieces, tracks = _encode_and_merge(accepted, plan, workspace, folder, attempt)
            return plan, reports, pieces, tracks
        except SegmentInexact as error:
            get_run_logger().warning("%s; planning again", error)
            plan = _more_careful_plan(accepted, plan, index, workspace, attempt, error)


def _more_careful_plan(
    accepted: AcceptedJob, plan: Plan, index: FrameIndex | None, workspace: Workspace, attempt: str, why: SegmentInexact
) -> Plan:
    if index is None or (plan.index_origin == "decode" and all(len(each.segments) == 1 for each in plan.video)):
        raise VerifyFailed(str(why)) from why
    scanned, complaints = scan_frames(plan.source, index, attempt=attempt)
    if complaints and accepted.job.damage == "strict":
        raise MediaDamaged(f"{plan.source.path.name}: the decoder reported: {complaints[0]}") from why
    save_times(scanned, workspace.frame_times)
    whole_because = f"damaged: {complaints[0]}" if complaints else None
    if plan.index_origin == "decode" or scanned.times == index.times:
        whole_because = whole_because or f"pieces would not be exact: {why}"
    return plan_job(accepted, plan.source, scanned, whole_because=whole_because)


def _encode_and_merge(
    accepted: AcceptedJob, plan: Plan, workspace: Workspace, folder: Path, attempt: str
) -> tuple[list[OutputReport], Pieces, Tracks]:
    """Run every task of the plan; a format is merged as soon as its own pieces and tracks are done."""
    pieces: Pieces = {each.id: [] for each in plan.video}
    tracks: Tracks = {}
    reports: dict[str, OutputReport] = {}
    progress = board(attempt)
    progress.begin(sum(each.frames for each in plan.video), len(plan.order) + len(plan.tracks) + len(plan.outputs))
    reporter = ProgressReporter(progress, plan.source.path.name)
    workers = accepted.job.workers or settings().workers
    work: Dispatcher[tuple[str, str, int]] = Dispatcher(workers, on_wait=reporter.update)
    strict = accepted.job.damage == "strict"

    def add_piece(rendition_id: str, number: int, *, anew: bool = False) -> None:
        rendition = plan.rendition(rendition_id)
        segment, bare = rendition.segments[number], rendition.model_copy(update={"segments": ()})
        encode = encode_segment.with_options(result_storage=workspace.records, refresh_cache=anew)
        arguments = (plan.source, bare, segment, workspace.pieces, plan.encoder_threads, strict, attempt)
        work.add(("piece", rendition_id, number), lambda: encode.submit(*arguments), first=anew)

    def add_track(track_id: str, *, anew: bool = False) -> None:
        make = make_track.with_options(result_storage=workspace.records, refresh_cache=anew)
        arguments = (plan.source, plan.track(track_id), workspace.pieces, strict, attempt)
        work.add(("track", track_id, 0), lambda: make.submit(*arguments), first=anew)

    def add_ready_merges() -> None:
        for output in plan.outputs:
            done = all(each in tracks for each in output.tracks)
            if output.video:
                done = done and len(pieces[output.video]) == len(plan.rendition(output.video).segments)
            if done and output.format not in merging:
                merging.add(output.format)
                mine = {output.video: pieces[output.video]} if output.video else {}
                sounds = {each: tracks[each] for each in output.tracks}
                arguments = (plan, output, mine, sounds, workspace.pieces, folder / output.file_name)
                work.add(
                    ("merge", output.format, 0),
                    lambda arguments=arguments: merge_output.submit(*arguments, workspace.frame_times, attempt),
                    first=True,
                )

    merging: set[str] = set()
    for each in plan.tracks:
        add_track(each.id)
    for task in plan.order:
        add_piece(task.rendition, task.segment)
    add_ready_merges()
    try:
        for (kind, name, number), future in work:
            result = future.result()
            if kind == "piece":
                piece = PieceRecord.model_validate(result)
                if _was_kept(future) and not piece.is_intact(workspace.pieces):
                    add_piece(name, number, anew=True)
                    continue
                pieces[name].append(piece.model_copy(update={"reused": _was_kept(future)}))
                progress.finish(f"{name}-{number:05d}", piece.frames, kept=_was_kept(future))
            elif kind == "track":
                track = TrackRecord.model_validate(result)
                if _was_kept(future) and not track.is_intact(workspace.pieces):
                    add_track(name, anew=True)
                    continue
                tracks[name] = track
                progress.finish(f"track {name}", 0)
            else:
                reports[name] = result
                progress.finish(f"merge {name}", 0)
            add_ready_merges()
            reporter.update()
    except BaseException:
        work.drop_waiting()
        cancel_job(attempt)
        for _, future in work:
            future.wait()
        forget_job(attempt)
        raise
    reporter.update(at_once=True)
    return [reports[output.format] for output in plan.outputs], pieces, tracks


def _was_kept(future: PrefectFuture[Any]) -> bool:
    return future.state.name == "Cached"


def _rendition_reports(plan: Plan, pieces: Pieces, tracks: Tracks) -> tuple[list[RenditionReport], list[str]]:
    """Return what each rendition took, and what its decoders complained of."""
    reports: list[RenditionReport] = []
    warnings: list[str] = []
    for video in plan.video:
        mine = pieces[video.id]
        reports.append(
            RenditionReport(
                id=video.id, kind="video", codec=video.codec, segments=len(mine), frames=video.frames,
                cpu_s=round(sum(each.cpu_s for each in mine), 3), wall_s=round(sum(each.wall_s for each in mine), 3),
                reused_segments=sum(each.reused for each in mine),
            )
        )  # fmt: skip
        complaints = [message for each in mine for message in each.messages]
        if complaints:
            warnings.append(f"MediaDamaged: the decoder reported {len(complaints)} errors, first: {complaints[0]}")
    for track in plan.tracks:
        record = tracks[track.id]
        reports.append(
            RenditionReport(
                id=track.id, kind=track.kind, codec="copy" if track.copies else track.codec, segments=1, frames=None,
                cpu_s=round(record.cpu_s, 3), wall_s=round(record.wall_s, 3),
            )
        )  # fmt: skip
        warnings.extend(record.warnings)
    return reports, warnings

"""One video in, every format out.

probe -> plan -> encode (segment x rendition) -+-> merge and verify, format by format -> post-process -> publish
                 tracks (whole)             ---+
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from reelmill.encoding.scan import scan_frames
from reelmill.errors import MediaDamaged, SegmentInexact, VerifyFailed
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.media.frame_index import FrameIndex, save_times
from reelmill.media.tool import cancel_job
from reelmill.planning.plan import Plan
from reelmill.preparing import AcceptedJob, accept_job, plan_job
from reelmill.progress import board, drop_board
from reelmill.publishing import attempt_folder, finished_manifest, refuse_taken
from reelmill.settings import settings
from reelmill.workspace import Workspace, open_workspace, refuse_full_disk
from tasks.dispatch import Dispatcher
from tasks.gathering import Gathered
from tasks.reporting import ProgressReporter
from tasks.transcoding import encode_segment, make_track, merge_output, post_process, probe_source, publish

Submission = Callable[[], PrefectFuture[Any]]


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
            finished = finished_manifest(accepted.output, key)  # by a run that had the workspace until now
            if finished is not None:
                workspace.remove()
                return finished
            plan, made = _make_outputs(accepted, plan, index, workspace, folder, attempt)
            reports = [made.reports[output.format] for output in plan.outputs]
            manifest = post_process(accepted, plan, reports, *made.rendition_reports(), time.monotonic() - started)
            publish(manifest, folder, accepted.output)
            workspace.remove()
        return manifest
    except BaseException:
        cancel_job(attempt)
        raise


def _make_outputs(
    accepted: AcceptedJob, plan: Plan, index: FrameIndex | None, workspace: Workspace, folder: Path, attempt: str
) -> tuple[Plan, Gathered]:
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
            return plan, _encode_and_merge(accepted, plan, workspace, folder, attempt=uuid.uuid4().hex)
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


def _encode_and_merge(accepted: AcceptedJob, plan: Plan, workspace: Workspace, folder: Path, attempt: str) -> Gathered:
    """Run every task of the plan; a format is merged as soon as its own pieces and tracks are done."""
    gathered = Gathered(plan, workspace.pieces)
    progress = board(attempt)
    progress.begin(sum(each.frames for each in plan.video), len(plan.order) + len(plan.tracks) + len(plan.outputs))
    reporter = ProgressReporter(progress, plan.source.path.name)
    work: Dispatcher[tuple[str, str, int]] = Dispatcher(
        accepted.job.workers or settings().workers, on_wait=reporter.update
    )
    submit = _submissions(plan, workspace, attempt, strict=accepted.job.damage == "strict")
    tracks = [(each.cost, ("track", each.id, 0)) for each in plan.tracks]
    pieces = [(task.cost, ("piece", task.rendition, task.segment)) for task in plan.order]
    for _, key in sorted([*pieces, *tracks], key=lambda costed: -costed[0]):
        work.add(key, submit(*key))
    try:
        _add_merges(work, gathered, plan, workspace, folder, attempt)
        for (kind, name, number), future in work:
            result, kept = future.result(), future.state.name == "Cached"
            if kind == "merge":
                gathered.reports[name] = result
            else:
                take = partial(gathered.take_track, name) if kind == "track" else gathered.take_piece
                record = take(result, kept=kept)
                if record is None:
                    work.add((kind, name, number), submit(kind, name, number, anew=True), first=True)
                    continue
            frames = plan.rendition(name).segments[number].frames if kind == "piece" else 0
            progress.finish(f"{name}-{number:05d}" if kind == "piece" else f"{kind} {name}", frames, kept=kept)
            _add_merges(work, gathered, plan, workspace, folder, attempt)
            reporter.update()
    except BaseException:
        cancel_job(attempt)  # for good: what an interrupt caught between submitting and starting must not start either
        work.drain()
        raise
    finally:
        drop_board(attempt)
    reporter.update(at_once=True)
    return gathered


def _submissions(plan: Plan, workspace: Workspace, attempt: str, *, strict: bool) -> Callable[..., Submission]:
    """Return what makes the submission of a piece or a track; `anew` when its record is kept but its file is not."""
    retries = settings().retries
    encode = encode_segment.with_options(result_storage=workspace.records, retries=retries)
    make = make_track.with_options(result_storage=workspace.records, retries=retries)
    bare = {each.id: each.model_copy(update={"segments": ()}) for each in plan.video}

    def submission(kind: str, name: str, number: int, *, anew: bool = False) -> Submission:
        if kind == "track":
            made = make.with_options(refresh_cache=True) if anew else make
            return partial(made.submit, plan.source, plan.track(name), workspace.pieces, strict, attempt)
        encoded = encode.with_options(refresh_cache=True) if anew else encode
        segment = plan.rendition(name).segments[number]
        return partial(
            encoded.submit, plan.source, bare[name], segment, workspace.pieces, plan.encoder_threads, strict, attempt
        )

    return submission


def _add_merges(
    work: Dispatcher[tuple[str, str, int]],
    gathered: Gathered,
    plan: Plan,
    workspace: Workspace,
    folder: Path,
    attempt: str,
) -> None:
    """Queue the merge of every format that has become complete, before what is still to be encoded."""
    for output in gathered.ready_outputs():
        pieces = {output.video: gathered.pieces[output.video]} if output.video else {}
        tracks = {name: gathered.tracks[name] for name in output.tracks}
        merge = partial(
            merge_output.submit, plan, output, pieces, tracks, workspace.pieces, folder / output.file_name,
            workspace.frame_times, attempt,
        )  # fmt: skip
        work.add(("merge", output.format, 0), merge, first=True)

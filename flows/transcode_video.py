"""One video in, every format out.

probe -> plan -> encode (segment x decode)    -+-> merge and verify, format by format -> post-process -> publish
                 tracks (whole)             ---+                                                        -> catalog
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from reelmill.attempts import part_of
from reelmill.cost.ledger import close_ledger, open_ledger, refuse_overspent
from reelmill.errors import CallbackFailed, HookFailed, MediaDamaged, SegmentInexact, VerifyFailed
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.media.frame_index import pack_times
from reelmill.media.tool import cancel_job, refuse_cancelled
from reelmill.planning.joining import Probed, whole_index
from reelmill.planning.plan import Plan
from reelmill.preparing import AcceptedJob, accept_job, have_same_times, plan_job, scan_job
from reelmill.pricing import estimate_job, ledger_for, measured_cost, refuse_over_budget
from reelmill.progress import board
from reelmill.publishing import draft_for, finished_manifest, refuse_taken
from reelmill.records import PieceRecord
from reelmill.settings import settings
from reelmill.storage.store import Draft
from reelmill.workspace import Workspace, open_workspace, refuse_full_disk
from tasks.cataloging import JobLog
from tasks.dispatch import Dispatcher, dispatching
from tasks.fan_out import FanOut, check_fan_out
from tasks.following import Followers
from tasks.gathering import Gathered
from tasks.pictures import make_pictures, take_stills
from tasks.runs import lock_wait_s, run_name
from tasks.second_tries import Mapped
from tasks.transcoding import (
    encode_segment,
    make_track,
    measure_quality,
    merge_output,
    post_process,
    probe_source,
    publish,
    read_subtitles,
)

Submission = Callable[..., PrefectFuture[Any]]


@flow(name="transcode-video", flow_run_name=run_name("transcode"), persist_result=False, task_runner=FanOut())
def transcode_video(job: TranscodeJob) -> Manifest:
    """Turn one video into every format asked for, and prove that no frame was lost."""
    started = time.monotonic()
    attempt = uuid.uuid4().hex
    check_fan_out()
    accepted = accept_job(job)
    ledger = ledger_for(job, accepted.sources)
    log = JobLog(accepted, attempt, ledger)
    followers = Followers(accepted, attempt)
    open_ledger(attempt, ledger)
    try:
        probed = probe_source(accepted, attempt)
        key = accepted.key
        finished = finished_manifest(accepted.output, key)
        if finished is not None:
            get_run_logger().info("%s is finished already: nothing to do", accepted.source.location.name)
            return followers.finish(log.finish(finished))
        if accepted.burns_track:
            accepted = read_subtitles(accepted, probed[0].source, attempt)
        plan = plan_job(accepted, probed)
        names = plan.public_names
        refuse_taken(accepted.output, key, names, replace=job.replace)
        refuse_full_disk(plan, accepted.output)
        estimate = estimate_job(plan, accepted.output, accepted.profile.quality)
        refuse_over_budget(job, estimate)
        with open_workspace(key, on_lost=partial(cancel_job, attempt), wait_s=lock_wait_s()) as workspace:
            manifest = finished_manifest(accepted.output, key)  # by a run that had the workspace until now
            if manifest is not None:
                manifest = log.finish(manifest)
            else:
                log.begin()
                with draft_for(accepted.output, names, workspace, key, attempt) as draft:
                    plan, made = _make_outputs(accepted, plan, probed, workspace, draft, attempt)
                    reports = [made.reports[output.format] for output in plan.outputs]
                    pictures = [made.pictures[each.kind] for each in plan.pictures.sets] if plan.pictures else []
                    sizes = {each.format: each.size_bytes for each in reports}
                    cost = measured_cost(
                        plan, ledger, estimate, accepted.output, sizes, made.pieces, made.tracks,
                        accepted.profile.quality,
                    )  # fmt: skip
                    wall_s = time.monotonic() - started
                    manifest = post_process(
                        accepted,
                        plan,
                        reports,
                        pictures,
                        *made.rendition_reports(),
                        made.quality,
                        attempt,
                        wall_s,
                        cost,
                    )
                    refuse_cancelled(attempt)
                    followers.promise()
                    publish(manifest, [each for files in made.staged.values() for each in files], draft, accepted)
                manifest = log.finish(manifest, plan, made.pieces)
            workspace.remove()
        return followers.finish(manifest)
    except BaseException as error:
        cancel_job(attempt)
        if not isinstance(error, HookFailed | CallbackFailed):  # the result is published, and noted
            log.fail(error)
        followers.fail(error)
        raise
    finally:
        followers.close()
        close_ledger(ledger)
        accepted.release()


def _make_outputs(
    accepted: AcceptedJob, plan: Plan, probed: Sequence[Probed], workspace: Workspace, draft: Draft, attempt: str
) -> tuple[Plan, Gathered]:
    """Encode and merge by the plan; where its pieces can't be exact, by a more careful one, in the end uncut.

    The packets' word for the times of the frames is checked by every piece. Where a piece disagrees, the source is
    decoded once to learn the truth; where a piece still disagrees, or the decoder reports damage, nothing is cut.
    """
    earlier = workspace.load_plan()
    if accepted.subtitles is not None:
        workspace.save_subtitles(accepted.subtitles)
    if earlier is not None and earlier.job_key == plan.job_key and earlier.subtitles == plan.subtitles:
        plan = plan.resumed_from(earlier)
    elif (index := whole_index(plan, probed)) is not None:
        workspace.save_frame_times(pack_times(index))
    while True:
        workspace.save_plan(plan)
        try:
            part = part_of(attempt, uuid.uuid4().hex)  # which is cancelled where this plan is given up
            return plan, _encode_and_merge(accepted, plan, workspace, draft, attempt=part)
        except SegmentInexact as error:
            get_run_logger().warning("%s; planning again", error)
            plan = _more_careful_plan(accepted, plan, probed, workspace, attempt, error)


def _more_careful_plan(
    accepted: AcceptedJob, plan: Plan, probed: Sequence[Probed], workspace: Workspace, attempt: str, why: SegmentInexact
) -> Plan:
    is_uncut = all(each.is_only for video in plan.video for each in video.segments)
    if plan.index_origin == "decode" and is_uncut:
        raise VerifyFailed(str(why)) from why
    scanned, complaints = scan_job(probed, attempt)
    if complaints and accepted.job.damage == "strict":
        raise MediaDamaged(f"{plan.source.name}: the decoder reported: {complaints[0]}") from why
    whole_because = f"damaged: {complaints[0]}" if complaints else None
    if plan.index_origin == "decode" or have_same_times(scanned, probed):
        whole_because = whole_because or f"pieces would not be exact: {why}"
    plan = plan_job(accepted, scanned, whole_because=whole_because)
    if (index := whole_index(plan, scanned)) is not None:
        workspace.save_frame_times(pack_times(index))
    return plan


def _encode_and_merge(accepted: AcceptedJob, plan: Plan, workspace: Workspace, draft: Draft, attempt: str) -> Gathered:
    """Run every task of the plan; a format is merged as soon as its own pieces and tracks are done."""
    gathered = Gathered(plan, pieces_may_change=accepted.profile.quality.better_tries > 0)
    progress = board(attempt)
    quality, stills = accepted.profile.quality, plan.pictures.stills if plan.pictures else ()
    steps = plan.encodes * (2 if quality.measure else 1) + len(plan.tracks) + len(stills) + len(plan.public_names)
    progress.begin(sum(each.frames for each in plan.video), steps)
    submit = _submissions(accepted, plan, workspace, attempt)
    tracks = [(each.cost, ("track", each.id, 0)) for each in plan.tracks]
    pieces = [(task.cost, ("encode", task.name, task.segment)) for task in plan.order]
    taken = [(each.cost, ("stills", "", each.number)) for each in stills]
    workers, check = accepted.job.workers or settings().tasks_at_once, partial(refuse_overspent, attempt)
    with dispatching(attempt, plan.source.name, workers, check=check) as work:
        for cost, key in sorted([*pieces, *tracks, *taken], key=lambda costed: -costed[0]):
            kind, name, number = key
            if kind == "encode":
                work.add_mapped(key, Mapped(f"encode-{name}-{number:05d}", name, cost, submit(*key)))
            else:
                work.add(key, submit(*key))
        _add_merges(work, gathered, plan, workspace, draft, attempt)
        for (kind, name, number), future in work:
            result = future.result()
            gathered.take(kind, name, number, result)
            if kind != "encode":
                progress.finish(f"{kind} {name} {number}", 0)
            for piece in result if kind == "encode" else ():
                progress.finish(piece.label, piece.frames, kept=piece.reused)
                if quality.measure:
                    key = ("quality", piece.rendition, number)
                    work.add(key, submit(*key, piece))
            _add_merges(work, gathered, plan, workspace, draft, attempt)
    return gathered


def _submissions(accepted: AcceptedJob, plan: Plan, workspace: Workspace, attempt: str) -> Callable[..., Submission]:
    """Return what makes the submission of a piece, a track, or the comparison of a piece with its source.

    That of a piece is told its attempt when it is called, since it may be tried twice.
    """
    strict, quality = accepted.job.damage == "strict", accepted.profile.quality
    retries = settings().retries
    encode, make, measure, take = (
        each.with_options(retries=retries) for each in (encode_segment, make_track, measure_quality, take_stills)
    )
    tasks = {(each.name, each.segment): each for each in plan.order}

    def submission(kind: str, name: str, number: int, made: PieceRecord | None = None) -> Submission:
        if kind == "track":
            return partial(make.submit, plan.sources, plan.track(name), workspace, strict, attempt)
        if kind == "stills":
            assert plan.pictures is not None
            without = plan.pictures.model_copy(update={"stills": ()})
            return partial(take.submit, plan.source, without, plan.pictures.stills[number], workspace, attempt)
        threads = plan.encoder_threads
        if kind == "quality":
            source, encoded = plan.encode(name, number)
            return partial(measure.submit, source, encoded, made, quality, workspace, threads, strict, attempt)
        task = tasks[name, number]
        source, encodes = plan.encodes_of(task)
        return partial(encode.submit, task.label, source, encodes, workspace, threads, strict)

    return submission


def _add_merges(
    work: Dispatcher[tuple[str, str, int]],
    gathered: Gathered,
    plan: Plan,
    workspace: Workspace,
    draft: Draft,
    attempt: str,
) -> None:
    """Queue the merge of every format that has become complete, before what is still to be encoded."""
    for output in gathered.ready_outputs():
        pieces = {name: gathered.pieces[name] for name in output.videos}
        tracks = {name: gathered.tracks[name] for name in output.tracks}
        merge = partial(merge_output.submit, plan, output, pieces, tracks, workspace, draft, attempt)
        work.add(("merge", output.format, 0), merge, first=True)
    for each in gathered.ready_pictures():
        made = make_pictures.with_options(retries=settings().retries)
        make = partial(made.submit, each, gathered.stills_of(each), workspace, draft, attempt)
        work.add(("pictures", each.kind, 0), make, first=True)

"""The pipeline without Prefect, step by step, to be measured: probe, plan, encode in threads, merge, verify."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reelmill.encoding.merge import merge_output
from reelmill.encoding.pieces import encode_segment
from reelmill.encoding.verify import verify_output
from reelmill.encoding.whole_tracks import make_track
from reelmill.formats import FormatName
from reelmill.job import TranscodeJob
from reelmill.manifest import OutputReport
from reelmill.media.frame_index import FrameIndex, pack_times, unpack_times
from reelmill.planning.plan import Plan
from reelmill.preparing import AcceptedJob, plan_job, probe_job
from reelmill.profiles.profile import Profile
from reelmill.records import PieceRecord, TrackRecord
from reelmill.settings import settings
from reelmill.storage.local import LocalStore
from reelmill.storage.location import known_location
from reelmill.storage.pinning import pin
from reelmill.workspace import Workspace

_ATTEMPT = "benchmark"


@dataclass(frozen=True)
class Prepared:
    """A job that was probed and planned."""

    plan: Plan
    index: FrameIndex | None

    @property
    def segments(self) -> int:
        return sum(len(each.segments) for each in self.plan.video)


@dataclass(frozen=True)
class Made:
    """What encode and merge left: the outputs are in `folder`."""

    folder: Path
    pieces: dict[str, list[PieceRecord]]
    tracks: dict[str, TrackRecord]


def prepare(
    source: Path | str, formats: Sequence[FormatName], profile: Profile, segment_s: float | None = None
) -> Prepared:
    """Probe and plan, as the flow does."""
    job = TranscodeJob(source=str(source), formats=tuple(formats), name="out", segment_s=segment_s)
    accepted = AcceptedJob(job, profile, tuple(formats), pin(known_location(str(source))), Path("out"))
    probed = probe_job(accepted, _ATTEMPT)
    return Prepared(plan_job(accepted, probed), probed[0].index)


def encode_and_merge(prepared: Prepared, folder: Path) -> Made:
    """Encode every track and segment and merge every output, in the plan's order, as many at once as there are workers.

    `folder` is emptied first: nothing is kept from an earlier round.
    """
    shutil.rmtree(folder, ignore_errors=True)
    plan, workspace = prepared.plan, workspace_in(folder)
    with ThreadPoolExecutor(settings().workers) as pool:
        pieces = encode_pieces(plan, workspace, pool)
        tracks = {  # shorter than a piece, so after them, as the flow orders its work
            each.id: pool.submit(make_track, plan.sources, each, workspace=workspace, strict=False, attempt=_ATTEMPT)
            for each in plan.tracks
        }
        made = Made(
            folder,
            {name: [each.result() for each in futures] for name, futures in pieces.items()},
            {name: each.result() for name, each in tracks.items()},
        )
        merges = [
            pool.submit(
                merge_output, plan, output, pieces=made.pieces, tracks=made.tracks, workspace=workspace,
                out=folder / output.file_name, attempt=_ATTEMPT,
            )
            for output in plan.outputs
        ]  # fmt: skip
        for each in merges:
            each.result()
    return made


def workspace_in(folder: Path) -> Workspace:
    """Give a workspace in a folder that is made for it; pieces lie in its folder `pieces`."""
    workspace = Workspace(LocalStore(folder), folder / "pieces")
    workspace.cache.mkdir(parents=True)
    return workspace


def encode_pieces(plan: Plan, workspace: Workspace, pool: ThreadPoolExecutor) -> dict[str, list[Future[PieceRecord]]]:
    """Submit the encode of every segment of every rendition, longest first."""
    submitted: dict[str, list[Future[PieceRecord]]] = {}
    for task in plan.order:
        rendition = plan.rendition(task.rendition)
        future = pool.submit(
            encode_segment, plan.source, rendition, rendition.segments[task.segment],
            workspace=workspace, threads=plan.encoder_threads, strict=False, attempt=_ATTEMPT,
        )  # fmt: skip
        submitted.setdefault(rendition.id, []).append(future)
    return submitted


def verify(prepared: Prepared, made: Made) -> list[OutputReport]:
    """Open every output again and compare it with the plan; VerifyFailed when one is not what was planned."""
    reports: list[OutputReport] = []
    for output in prepared.plan.outputs:
        expected = None
        if prepared.index and output.video:
            expected = unpack_times(pack_times(prepared.index), prepared.plan.rendition(output.video).frame_rate)
        path = made.folder / output.file_name
        pieces = made.pieces.get(output.video or "", [])
        reports.append(verify_output(prepared.plan, output, path, expected=expected, pieces=pieces, tracks=made.tracks))
    return reports

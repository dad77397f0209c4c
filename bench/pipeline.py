"""The pipeline without Prefect, step by step, to be measured: probe, plan, encode in threads, merge, verify."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from reelmill.encoding.merge import merge_output
from reelmill.encoding.pieces import encode_segment
from reelmill.encoding.verify import verify_output
from reelmill.encoding.whole_tracks import make_track
from reelmill.formats import FormatName
from reelmill.job import TranscodeJob
from reelmill.manifest import OutputReport
from reelmill.media.frame_index import FrameIndex, pack_times, unpack_times
from reelmill.packaging.making import Made as MadePackage
from reelmill.packaging.making import make_package
from reelmill.packaging.verify import verify_package
from reelmill.planning.plan import OutputPlan, Plan
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
    """What encode and merge left: the outputs are in `folder`, of the packages it is known what is in them."""

    folder: Path
    pieces: dict[str, list[PieceRecord]]
    tracks: dict[str, TrackRecord]
    packages: dict[str, MadePackage] = field(default_factory=dict[str, MadePackage])


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
            _by_rendition(piece for future in pieces for piece in future.result()),
            {name: each.result() for name, each in tracks.items()},
        )
        for each in [pool.submit(_merge, plan, output, made, workspace) for output in plan.outputs]:
            each.result()
    return made


def _merge(plan: Plan, output: OutputPlan, made: Made, workspace: Workspace) -> None:
    out = made.folder / output.file_name
    if output.package is None:
        merge_output(
            plan, output, pieces=made.pieces, tracks=made.tracks, workspace=workspace, out=out, attempt=_ATTEMPT
        )
        return
    made.packages[output.file_name] = make_package(
        plan, output, pieces=made.pieces, tracks=made.tracks, workspace=workspace, out=out, attempt=_ATTEMPT
    )


def workspace_in(folder: Path) -> Workspace:
    """Give a workspace in a folder that is made for it; pieces lie in its folder `pieces`."""
    workspace = _workspace(folder)
    workspace.cache.mkdir(parents=True)
    return workspace


def _workspace(folder: Path) -> Workspace:
    return Workspace(LocalStore(folder), folder / "pieces")


def encode_pieces(plan: Plan, workspace: Workspace, pool: ThreadPoolExecutor) -> list[Future[tuple[PieceRecord, ...]]]:
    """Submit the encode of every segment of every rendition, longest first."""
    return [
        pool.submit(
            encode_segment, *plan.encodes_of(task), workspace=workspace, threads=plan.encoder_threads,
            strict=False, attempt=_ATTEMPT,
        )
        for task in plan.order
    ]  # fmt: skip


def _by_rendition(pieces: Iterable[PieceRecord]) -> dict[str, list[PieceRecord]]:
    found: dict[str, list[PieceRecord]] = {}
    for each in pieces:
        found.setdefault(each.rendition, []).append(each)
    return found


def verify(prepared: Prepared, made: Made) -> list[OutputReport]:
    """Open every output again and compare it with the plan; VerifyFailed when one is not what was planned."""
    return [_verified(prepared, output, made) for output in prepared.plan.outputs]


def _verified(prepared: Prepared, output: OutputPlan, made: Made) -> OutputReport:
    plan, expected = prepared.plan, None
    if prepared.index and output.videos:
        expected = unpack_times(pack_times(prepared.index), plan.rendition(output.videos[0]).frame_rate)
    path = made.folder / output.file_name
    if output.package is None:
        mine = made.pieces.get(output.video or "", [])
        return verify_output(plan, output, path, expected=expected, pieces=mine, tracks=made.tracks)
    return verify_package(
        plan, output, made.packages[output.file_name], path, expected=expected, pieces=made.pieces,
        tracks=made.tracks, workspace=_workspace(made.folder),
    )  # fmt: skip

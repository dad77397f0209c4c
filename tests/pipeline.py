"""What the flow does, without Prefect: probe, plan, encode, merge and verify in threads of this process."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from reelmill.encoding.merge import merge_output
from reelmill.encoding.pieces import encode_segment
from reelmill.encoding.verify import verify_output
from reelmill.encoding.whole_tracks import make_track
from reelmill.errors import MediaDamaged, SegmentInexact
from reelmill.formats import FormatName
from reelmill.job import TranscodeJob
from reelmill.laying_over import laid_over
from reelmill.manifest import OutputReport
from reelmill.media.frame_index import FrameIndex, pack_times, unpack_times
from reelmill.media.source import Source
from reelmill.planning.joining import Probed, in_one_clock, whole_index
from reelmill.planning.plan import EncodeTask, OutputPlan, Plan, VideoRendition
from reelmill.preparing import (
    AcceptedJob,
    accept_job,
    have_same_times,
    plan_job,
    probe_job,
    scan_job,
    with_subtitles,
)
from reelmill.profiles.profile import Profile
from reelmill.records import FileRecord, PieceRecord, TrackRecord
from reelmill.storage.local import LocalStore
from reelmill.workspace import Workspace
from tests.ffmpeg_tool import run_ffmpeg

_WORKERS = 2
_ATTEMPT = "test"


@dataclass(frozen=True, repr=False)
class Prepared:
    """A job that is accepted, probed and planned, and nothing else."""

    accepted: AcceptedJob
    probed: tuple[Probed, ...]
    plan: Plan

    @property
    def source(self) -> Source:
        return self.probed[0].source

    @property
    def index(self) -> FrameIndex | None:
        """The times of all frames, as the plan has them."""
        return whole_index(self.plan, in_one_clock(self.probed) if self.plan.parts else self.probed)


@dataclass(frozen=True, repr=False)
class Encoded:
    """The pieces in `workspace`, and the plan and the frame times that they are exact by, after `tries` plans."""

    plan: Plan
    index: FrameIndex | None
    pieces: dict[str, list[PieceRecord]]
    workspace: Workspace
    tries: int

    def path(self, record: FileRecord) -> Path:
        return self.workspace.cache / record.file_name


@dataclass(frozen=True, repr=False)
class Finished:
    """A finished job: the outputs in `folder` beside what was planned. `reports` are by format."""

    folder: Path
    encoded: Encoded
    tracks: dict[str, TrackRecord]
    reports: dict[str, OutputReport]

    @property
    def plan(self) -> Plan:
        return self.encoded.plan

    def path(self, format: FormatName) -> Path:
        return self.folder / _output(self.plan, format).file_name


def fast_profile(**video: Any) -> Profile:
    """The default profile with the fastest preset of H.264; `video` are further settings of the picture."""
    return Profile.model_validate({"version": 1, "name": "fast", "video": {"preset": "ultrafast"} | video})


def workspace_in(folder: Path) -> Workspace:
    """A workspace in a folder that lasts, with what is made in its folder `pieces`."""
    workspace = Workspace(LocalStore(folder), folder / "pieces")
    workspace.cache.mkdir(parents=True, exist_ok=True)
    return workspace


def prepare(
    path: Path,
    folder: Path,
    formats: tuple[FormatName, ...] = ("mp4",),
    segment_s: float | None = None,
    profile: Profile | None = None,
    **fields: Any,
) -> Prepared:
    """Accept, probe and plan a job of two workers; `fields` are further fields of TranscodeJob."""
    job = TranscodeJob(
        source=str(path), formats=formats, output=str(folder), name="out", segment_s=segment_s,
        workers=_WORKERS, **fields,
    )  # fmt: skip
    return prepare_job(job, profile)


def prepare_job(job: TranscodeJob, profile: Profile | None = None) -> Prepared:
    """Accept, probe and plan a job, with `profile` in place of its own."""
    accepted = accept_job(job)
    if profile is not None:
        accepted = replace(accepted, profile=profile, **laid_over(profile)._asdict())
    probed = probe_job(accepted, _ATTEMPT)
    accepted = with_subtitles(accepted, probed[0].source, _ATTEMPT)
    return Prepared(accepted, probed, plan_job(accepted, probed))


def encode_video(
    prepared: Prepared, folder: Path, change: Callable[[VideoRendition], VideoRendition] = lambda rendition: rendition
) -> Encoded:
    """Encode every segment as the flow does, by a more careful plan each time that a piece is not exact.

    `change` makes the rendition that is encoded of the one that was planned.
    """
    workspace, strict = workspace_in(folder), _is_strict(prepared)
    tries = 1
    if prepared.accepted.subtitles is not None:
        workspace.save_subtitles(prepared.accepted.subtitles)
    while True:
        try:
            made = _encode_all(prepared.plan, workspace, strict, change)
            return Encoded(prepared.plan, prepared.index, made, workspace, tries)
        except SegmentInexact as error:
            prepared = _more_careful(prepared, error)
            tries += 1


def _encode_all(
    plan: Plan, workspace: Workspace, strict: bool, change: Callable[[VideoRendition], VideoRendition]
) -> dict[str, list[PieceRecord]]:
    with ThreadPoolExecutor(_WORKERS) as pool:
        made = [
            pool.submit(
                _encode, plan, change, task, workspace=workspace, threads=1, strict=strict, attempt=_ATTEMPT
            )
            for task in plan.order
        ]  # fmt: skip
        try:
            pieces = sorted((piece for each in made for piece in each.result()), key=lambda piece: piece.segment)
            return {video.id: [each for each in pieces if each.rendition == video.id] for video in plan.video}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _encode(
    plan: Plan, change: Callable[[VideoRendition], VideoRendition], task: EncodeTask, **how: Any
) -> tuple[PieceRecord, ...]:
    source, encodes = plan.encodes_of(task)
    changed = [each.model_copy(update={"rendition": change(each.rendition)}) for each in encodes]
    return encode_segment(source, changed, **how)


def _more_careful(prepared: Prepared, why: SegmentInexact) -> Prepared:
    """The same steps as `_more_careful_plan` of flows/transcode_video.py."""
    plan = prepared.plan
    is_uncut = all(each.is_only for video in plan.video for each in video.segments)
    assert plan.index_origin != "decode" or not is_uncut, f"inexact whole: {why}"
    scanned, complaints = scan_job(prepared.probed, _ATTEMPT)
    if complaints and _is_strict(prepared):
        raise MediaDamaged(f"{plan.source.name}: the decoder reported: {complaints[0]}") from why
    whole_because = f"damaged: {complaints[0]}" if complaints else None
    if plan.index_origin == "decode" or have_same_times(scanned, prepared.probed):
        whole_because = whole_because or f"pieces would not be exact: {why}"
    return replace(prepared, probed=scanned, plan=plan_job(prepared.accepted, scanned, whole_because=whole_because))


def _is_strict(prepared: Prepared) -> bool:
    return prepared.accepted.job.damage == "strict"


def run_job(
    path: Path,
    folder: Path,
    formats: tuple[FormatName, ...] = ("mp4",),
    segment_s: float | None = None,
    profile: Profile | None = None,
    **fields: Any,
) -> Finished:
    """Do the whole job into `folder`. Raises what the flow would fail with."""
    return finish(prepare(path, folder, formats, segment_s, profile, **fields), folder)


def finish(prepared: Prepared, folder: Path) -> Finished:
    """Do the rest of a job that is planned: its pieces, its tracks, and its outputs, verified."""
    encoded = encode_video(prepared, folder)
    plan, workspace, strict = encoded.plan, encoded.workspace, _is_strict(prepared)
    tracks = {
        each.id: make_track(plan.sources, each, workspace=workspace, strict=strict, attempt=_ATTEMPT)
        for each in plan.tracks
    }
    unverified = Finished(folder, encoded, tracks, {})
    reports = {
        each.format: (merge(unverified, each.format), verify(unverified, each.format))[1] for each in plan.outputs
    }
    return replace(unverified, reports=reports)


def merge(job: Finished, format: FormatName, pieces: Mapping[str, list[PieceRecord]] | None = None) -> Path:
    """Write one output again, of other `pieces` than its own where they are given."""
    out = job.path(format)
    merge_output(
        job.plan, _output(job.plan, format), pieces=pieces or job.encoded.pieces, tracks=job.tracks,
        workspace=job.encoded.workspace, out=out, attempt=_ATTEMPT,
    )  # fmt: skip
    return out


def verify(job: Finished, format: FormatName, path: Path | None = None) -> OutputReport:
    """Verify one output, or the file at `path` in its place, as the flow does."""
    output = _output(job.plan, format)
    expected = frame_times_of(job.plan.rendition(output.video), job.encoded.index) if output.video else None
    return verify_output(
        job.plan, output, path or job.path(format), expected=expected, tracks=job.tracks,
        pieces=job.encoded.pieces.get(output.video or "", []),
    )  # fmt: skip


def frame_times_of(rendition: VideoRendition, index: FrameIndex | None) -> array[int]:
    """The times that the frames of a rendition must have, in its time base."""
    assert index is not None
    return unpack_times(pack_times(index), rendition.frame_rate)


def decoded_frames(path: Path, folder: Path, *options: str, inputs: tuple[str, ...] = ()) -> list[tuple[Fraction, str]]:
    """The time in seconds and the MD5 of every frame of one plain decode of the first video stream, in output order.

    `options` may map another stream and filter it. No frame is doubled or dropped to keep a rate.
    """
    listing = folder / f"{path.name}.framemd5"
    options = options if "-map" in options else ("-map", "0:v:0", *options)
    run_ffmpeg("-copyts", *inputs, "-i", path, *options, "-fps_mode", "passthrough", "-f", "framemd5", listing)
    lines = listing.read_text().splitlines()
    time_base = next(Fraction(line.split(":", 1)[1].strip()) for line in lines if line.startswith("#tb 0:"))
    rows = [line.replace(" ", "").split(",") for line in lines if line and not line.startswith("#")]
    return [(int(row[2]) * time_base, row[5]) for row in rows]


def _output(plan: Plan, format: FormatName) -> OutputPlan:
    return next(each for each in plan.outputs if each.format == format)

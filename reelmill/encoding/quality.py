"""Compares what was encoded with the source, segment by segment, by libvmaf: VMAF, SSIM and PSNR in one run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from reelmill import __version__
from reelmill.cost.speeds import measuring_of
from reelmill.encoding.commands import quality_argv
from reelmill.encoding.overlaid import overlaid
from reelmill.encoding.pieces import encode_segment
from reelmill.encoding.running import run_ffmpeg
from reelmill.errors import QualityTooLow, ToolFailed
from reelmill.manifest import QualityReport
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_path
from reelmill.planning.plan import Encode, Plan, Segment, VideoRendition
from reelmill.profiles.quality import QualitySettings
from reelmill.records import PieceRecord, QualityRecord
from reelmill.settings import settings
from reelmill.storage.digests import content_key, file_digest
from reelmill.storage.pinning import opened
from reelmill.workspace import Workspace

_CRF_STEP = 3
_BEST_CRF = 1
"""Without loss, at 0, H.264 is in another profile than the other segments."""
_MEASURES = {"vmaf": "vmaf", "ssim": "float_ssim", "psnr_db": "psnr_y"}
"""Names of libvmaf, by ours."""


class Measured(NamedTuple):
    """A piece that is good enough, and how good it is."""

    piece: PieceRecord
    quality: QualityRecord


def measure_segment(
    source: Source,
    encode: Encode,
    piece: PieceRecord,
    wanted: QualitySettings,
    *,
    workspace: Workspace,
    threads: int,
    strict: bool,
    attempt: str,
) -> Measured:
    """Compare a piece with what it was encoded of, unless an earlier run did, and return it with what was found.

    A piece that is not good enough is encoded again, as often as `wanted` says, each time better, and the one that is
    good enough is returned. Raises QualityTooLow where none is, ToolFailed, SourceChanged, StoreFailed.
    """
    for tries in range(wanted.better_tries + 1):
        record = _measure(source, encode, piece, wanted, workspace, threads, attempt)
        low = _too_low(record, wanted.floors)
        if not low:
            return Measured(piece, record.model_copy(update={"tries": tries}))
        better = _better(encode)
        if tries == wanted.better_tries or better is None:
            start_s = float(_start_s(source, encode.rendition, encode.segment))
            raise QualityTooLow(
                f"{encode.rendition.id}, segment {encode.segment.number:05d} from {start_s:.3f} s: {'; '.join(low)}"
            )
        encode = better
        (piece,) = encode_segment(
            source, [encode], workspace=workspace, threads=threads, strict=strict, attempt=attempt
        )
    raise AssertionError("a try either succeeds, fails or is followed by another")


def _better(encode: Encode) -> Encode | None:
    """Return the encode with a better quality; None where it has the best that fits to the others, or a bit rate."""
    crf = encode.rendition.crf
    if crf is None or crf <= _BEST_CRF:
        return None
    better = encode.rendition.model_copy(update={"crf": max(crf - _CRF_STEP, _BEST_CRF)})
    return encode.model_copy(update={"rendition": better})


def _measure(
    source: Source, encode: Encode, piece: PieceRecord, wanted: QualitySettings, workspace: Workspace, threads: int,
    attempt: str,
) -> QualityRecord:  # fmt: skip
    key = content_key("quality", __version__, piece.key, piece.sha256, str(wanted.every_frames))
    kept = workspace.kept(QualityRecord, key)
    if kept is not None:
        return kept
    return _measured(source, encode.rendition, encode.segment, piece, wanted, key, workspace, threads, attempt)


def _measured(
    source: Source, rendition: VideoRendition, segment: Segment, piece: PieceRecord, wanted: QualitySettings, key: str,
    workspace: Workspace, threads: int, attempt: str,
) -> QualityRecord:  # fmt: skip
    with workspace.folder() as folder, workspace.unfinished() as log:
        made = workspace.fetch(piece, folder)
        with opened(source.pinned) as media, overlaid(rendition, workspace) as above:
            argv = quality_argv(
                ffmpeg_path(), source, media, rendition, segment, made, log, every_frames=wanted.every_frames,
                threads=threads, max_pixels=settings().max_pixels, above=above,
            )  # fmt: skip
            run = run_ffmpeg(argv, attempt=attempt, work=measuring_of(rendition.id))
        frames = _frames_in(log, argv)

        def mean(name: str) -> float:
            return sum(each[_MEASURES[name]] for each in frames) / len(frames)

        sha256 = file_digest(log)
        record = QualityRecord(
            key=key, file_name=f"{key}-{sha256[:16]}.json", size_bytes=log.stat().st_size, sha256=sha256,
            cpu_s=run.cpu_s, wall_s=run.wall_s, rendition=rendition.id, segment=segment.number,
            frames=len(frames), vmaf=mean("vmaf"), ssim=mean("ssim"), psnr_db=mean("psnr_db"),
        )  # fmt: skip
        return workspace.keep(log, record)


def _frames_in(log: Path, argv: list[str]) -> list[dict[str, float]]:
    try:
        frames = [each["metrics"] for each in json.loads(log.read_text())["frames"]]
    except (OSError, ValueError, KeyError) as error:
        raise ToolFailed(argv, 0, f"what it measured can't be read: {error}") from error
    if not frames:
        raise ToolFailed(argv, 0, "it measured no frame")
    return frames


def _too_low(record: QualityRecord, floors: Mapping[str, float]) -> list[str]:
    return [
        f"{name} {getattr(record, name):.3f}, at least {least:g} is wanted"
        for name, least in floors.items()
        if getattr(record, name) < least
    ]


def _start_s(source: Source, rendition: VideoRendition, segment: Segment) -> float:
    assert source.video is not None
    origin = rendition.first_pts * source.video.time_base if rendition.frame_rate else 0
    return float(segment.start * rendition.time_base + origin - source.zero_s)


def quality_reports(plan: Plan, records: Sequence[QualityRecord]) -> Iterator[QualityReport]:
    """Yield what was found of each rendition that was measured; the worst segment is that of the least VMAF."""
    for video in plan.video:
        mine = [each for each in records if each.rendition == video.id]
        if not mine:
            continue
        frames = sum(each.frames for each in mine)
        worst = min(mine, key=lambda each: each.vmaf)

        def mean(name: str, mine: list[QualityRecord] = mine, frames: int = frames) -> float:
            return round(sum(getattr(each, name) * each.frames for each in mine) / frames, 4)

        yield QualityReport(
            rendition=video.id, frames=frames, vmaf=mean("vmaf"), ssim=mean("ssim"), psnr_db=mean("psnr_db"),
            worst_segment=worst.segment, worst_vmaf=round(worst.vmaf, 4),
            better_segments=sum(each.tries > 0 for each in mine),
            worst_start_s=round(_start_s(plan.source, video, video.segments[worst.segment]), 6),
        )  # fmt: skip

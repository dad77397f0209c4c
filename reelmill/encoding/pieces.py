"""Encodes one segment, opens what was written, and believes only what it finds there."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from av.error import FFmpegError

from reelmill import __version__
from reelmill.encoding.commands import encode_argv
from reelmill.encoding.overlaid import overlaid
from reelmill.encoding.running import run_ffmpeg, without_addresses
from reelmill.errors import MediaDamaged, SegmentInexact
from reelmill.media.containers import open_container
from reelmill.media.frame_index import times_digest
from reelmill.media.packets import PayloadDigest
from reelmill.media.source import Source
from reelmill.media.tool import Progress, ToolRun, ffmpeg_path, ffmpeg_version
from reelmill.planning.plan import Segment, VideoRendition
from reelmill.records import PieceRecord
from reelmill.settings import settings
from reelmill.storage.digests import content_key, file_digest
from reelmill.storage.pinning import opened
from reelmill.workspace import Workspace

_FRAMES_OFF_AT_END = 1
"""Frames by which a resampled last segment may differ: how long the last frame lasts is the decoder's guess."""
_NOISE_OF_ENTERING = re.compile(
    r"mmco: unref short failure|co located POCs unavailable|reference picture missing during reorder"
    r"|Missing reference picture|number of reference frames .* exceeds max|illegal short term buffer state"
    r"|Could not find ref with POC|first_mb_in_slice"
)
"""What a decoder says of the frames before a segment when it enters a stream at an open keyframe. They are not kept."""


def piece_key(source: Source, rendition: VideoRendition, segment: Segment) -> str:
    """Name a piece by what is in it: content, range, recipe, and the code and the ffmpeg that make it."""
    wanted = segment.model_dump_json(exclude={"number"})
    return content_key(
        "piece", __version__, source.identity, str(source.zero_s), rendition.recipe, wanted, ffmpeg_version()
    )


def encode_segment(
    source: Source,
    rendition: VideoRendition,
    segment: Segment,
    *,
    workspace: Workspace,
    threads: int,
    strict: bool,
    attempt: str,
    on_progress: Callable[[Progress], None] | None = None,
) -> PieceRecord:
    """Encode the segment, unless an earlier run did, and return its record.

    The piece appears in the workspace only after it was opened and found to hold exactly the frames of its range.
    Raises SegmentInexact when it does not, MediaDamaged when `strict` and the decoder complained, ToolFailed,
    SourceChanged, StoreFailed.
    """
    key = piece_key(source, rendition, segment)
    kept = workspace.kept(PieceRecord, key)
    if kept is not None:
        return kept
    with workspace.unfinished() as out:
        with opened(source.pinned) as media, overlaid(rendition) as above:
            argv = encode_argv(
                ffmpeg_path(), source, media, rendition, segment, threads=threads, max_pixels=settings().max_pixels,
                out=out, above=above,
            )  # fmt: skip
            run = run_ffmpeg(argv, attempt=attempt, work=rendition.id, segment=segment.number, on_progress=on_progress)
        messages = _complaints(run, segment)
        if messages and strict:
            raise MediaDamaged(f"{source.name}: {_damage(run, messages)}")
        times, extradata, payload = _read_piece(out, rendition.time_base)
        _refuse_inexact(rendition, segment, times)
        if messages and not segment.is_whole:
            raise SegmentInexact(f"{rendition.id} {segment.number:05d}: {_damage(run, messages)}")
        sha256 = file_digest(out)
        record = PieceRecord(
            key=key, file_name=f"{key}-{sha256[:16]}.mp4", size_bytes=out.stat().st_size, sha256=sha256,
            cpu_s=run.cpu_s, wall_s=run.wall_s, messages=messages, rendition=rendition.id, segment=segment.number,
            frames=len(times), last_pts=times[-1], payload=payload,
            parameter_sets=hashlib.sha256(extradata).hexdigest()[:16],
        )  # fmt: skip
        return workspace.keep(out, record)


def _complaints(run: ToolRun, segment: Segment) -> tuple[str, ...]:
    """Return the decoder's complaints about frames that are kept.

    Also before a clean keyframe there may be noise: in MPEG-TS a seek lands somewhere before it.
    """
    complaints = without_addresses(run.messages)
    if segment.entry_s is None:
        return complaints
    return tuple(each for each in complaints if not _NOISE_OF_ENTERING.search(each))


def _damage(run: ToolRun, messages: tuple[str, ...]) -> str:
    return f"the decoder reported {max(run.message_count, len(messages))} errors, first: {messages[0]}"


def _read_piece(path: Path, time_base: Fraction) -> tuple[array[int], bytes, str]:
    """Return the times of a piece's frames, ascending, in `time_base`, its extradata, and the digest of its payload."""
    try:
        with open_container(path, "mov") as container:
            stream = container.streams.video[0]
            extradata = bytes(stream.codec_context.extradata or b"")
            digest = PayloadDigest(stream.codec_context.codec.canonical_name, extradata)
            times: list[int] = []
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None:
                    times.append(packet.pts)
                    digest.take(bytes(packet))
            ticks = (stream.time_base or Fraction(1)) / time_base
            exact = sorted(pts * ticks.numerator // ticks.denominator for pts in times)
            return array("q", exact), extradata, digest.finish()
    except (FFmpegError, IndexError) as error:
        raise SegmentInexact(f"a piece that ffmpeg reported as written can't be opened: {error}") from error


def _refuse_inexact(rendition: VideoRendition, segment: Segment, times: array[int]) -> None:
    where = f"{rendition.id} {segment.number:05d}"
    off = abs(len(times) - segment.frames)
    if not len(times) or off > (_FRAMES_OFF_AT_END if segment.times_digest is None else 0):
        raise SegmentInexact(f"{where}: {len(times)} frames where the plan has {segment.frames}")
    if len(set(times)) != len(times):
        raise SegmentInexact(f"{where}: two frames have one time")
    if segment.times_digest is not None and times_digest(times, 0) != segment.times_digest:
        raise SegmentInexact(f"{where}: its {len(times)} frames are not at the times of the plan")

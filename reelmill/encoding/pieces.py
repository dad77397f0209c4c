"""Encodes one segment for one or more renditions, opens what was written, and believes only what it finds there."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from av.error import FFmpegError

from reelmill import __version__
from reelmill.cost.speeds import default_speed, kind_of_video, pixels_of
from reelmill.encoding.commands import Piece, encode_argv
from reelmill.encoding.overlaid import overlaid
from reelmill.encoding.running import run_ffmpeg, without_addresses
from reelmill.errors import MediaDamaged, SegmentInexact
from reelmill.media.containers import open_container
from reelmill.media.frame_index import times_digest
from reelmill.media.packets import PayloadDigest
from reelmill.media.source import Source
from reelmill.media.tool import Progress, ToolRun, ffmpeg_path, ffmpeg_version
from reelmill.planning.plan import Encode, Segment
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

_OF_SUBTITLES = "[Parsed_ass_"
"""What libass says, of fonts that are not there among others, is not about the source."""


def piece_key(source: Source, encode: Encode) -> str:
    """Name a piece by what is in it: content, range, recipe, and the code and the ffmpeg that make it.

    Not by what it was made together with, which changes nothing in it.
    """
    recipe, wanted = encode.rendition.recipe, encode.segment.model_dump_json(exclude={"number"})
    return content_key("piece", __version__, source.identity, str(source.zero_s), recipe, wanted, ffmpeg_version())


def encode_segment(
    source: Source,
    encodes: Sequence[Encode],
    *,
    workspace: Workspace,
    threads: int,
    strict: bool,
    attempt: str,
    on_progress: Callable[[str, int], None] = lambda label, frames: None,
) -> tuple[PieceRecord, ...]:
    """Encode one segment for each of its renditions, unless an earlier run did, and return their records.

    Those that are missing are made by one run, which decodes once. A piece appears in the workspace only after it was
    opened and found to hold exactly the frames of its range. `on_progress` is told the label of an encode, and how many
    frames it has made.
    Raises SegmentInexact when a piece does not hold them, MediaDamaged when `strict` and the decoder complained,
    ToolFailed, SourceChanged, StoreFailed.
    """
    kept = [workspace.kept(PieceRecord, piece_key(source, each)) for each in encodes]
    missing = [each for each, record in zip(encodes, kept, strict=True) if record is None]
    made = iter(_made(source, missing, workspace, threads, strict, attempt, on_progress) if missing else ())
    return tuple(record or next(made) for record in kept)


def _made(
    source: Source, encodes: Sequence[Encode], workspace: Workspace, threads: int, strict: bool, attempt: str,
    on_progress: Callable[[str, int], None],
) -> list[PieceRecord]:  # fmt: skip
    shares = _shares(source, encodes)

    def report(progress: Progress) -> None:  # of the first piece: the others are some frames ahead or behind
        for each in encodes:
            on_progress(each.label, progress.frames)

    with ExitStack() as unfinished:
        outs = [unfinished.enter_context(workspace.unfinished()) for _ in encodes]
        with opened(source.pinned) as media, ExitStack() as images:
            pieces = [
                Piece(each, out, images.enter_context(overlaid(each.rendition, workspace)))
                for each, out in zip(encodes, outs, strict=True)
            ]
            argv = encode_argv(
                ffmpeg_path(), source, media, pieces, threads=threads, max_pixels=settings().max_pixels
            )  # fmt: skip
            run = run_ffmpeg(
                argv, attempt=attempt, work=shares, segment=encodes[0].segment.number, on_progress=report
            )  # fmt: skip
        messages = _complaints(run, encodes[0].segment)
        if messages and strict:
            raise MediaDamaged(f"{source.name}: {_damage(run, messages)}")
        return [_kept(source, each, run, messages, shares[each.encode.rendition.id], workspace) for each in pieces]


def _kept(
    source: Source, piece: Piece, run: ToolRun, messages: tuple[str, ...], share: float, workspace: Workspace
) -> PieceRecord:
    """Open a piece, compare it with the plan, and put it where every run of the job finds it."""
    rendition, segment, key = piece.encode.rendition, piece.encode.segment, piece_key(source, piece.encode)
    times, extradata, payload = _read_piece(piece.out, rendition.time_base)
    _refuse_inexact(piece.encode, times)
    if messages and not segment.is_only:
        raise SegmentInexact(f"{piece.encode.label}: {_damage(run, messages)}")
    sha256 = file_digest(piece.out)
    record = PieceRecord(
        key=key, file_name=f"{key}-{sha256[:16]}.mp4", size_bytes=piece.out.stat().st_size, sha256=sha256,
        cpu_s=run.cpu_s * share, wall_s=run.wall_s * share, messages=messages, rendition=rendition.id,
        segment=segment.number, frames=len(times), last_pts=times[-1], payload=payload,
        parameter_sets=hashlib.sha256(extradata).hexdigest()[:16],
    )  # fmt: skip
    return workspace.keep(piece.out, record)


def _shares(source: Source, encodes: Sequence[Encode]) -> dict[str, float]:
    """Return which share of one run each rendition is taken to have: rusage knows the whole process only.

    They are as the encodes would be expected to take each by itself, by the table of default speeds.
    """
    expected = {
        each.rendition.id: default_speed(kind_of_video(source, each.rendition)).cpu_s(
            pixels_of(each.rendition, each.segment.frames)
        )
        for each in encodes
    }
    return {name: cpu_s / sum(expected.values()) for name, cpu_s in expected.items()}


def _complaints(run: ToolRun, segment: Segment) -> tuple[str, ...]:
    """Return the decoder's complaints about frames that are kept.

    Also before a clean keyframe there may be noise: in MPEG-TS a seek lands somewhere before it.
    """
    complaints = tuple(each for each in without_addresses(run.messages) if not each.startswith(_OF_SUBTITLES))
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


def _refuse_inexact(encode: Encode, times: array[int]) -> None:
    where, segment = encode.label, encode.segment
    off = abs(len(times) - segment.frames)
    if not len(times) or off > (_FRAMES_OFF_AT_END if segment.times_digest is None else 0):
        raise SegmentInexact(f"{where}: {len(times)} frames where the plan has {segment.frames}")
    if len(set(times)) != len(times):
        raise SegmentInexact(f"{where}: two frames have one time")
    if segment.times_digest is not None and times_digest(times, 0) != segment.times_digest:
        raise SegmentInexact(f"{where}: its {len(times)} frames are not at the times of the plan")

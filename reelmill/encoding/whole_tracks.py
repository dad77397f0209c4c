"""Makes an audio or subtitle track in one run over the whole source: without joins there is nothing to click."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from av.error import FFmpegError

from reelmill import __version__
from reelmill.encoding.running import run_ffmpeg, without_addresses
from reelmill.encoding.track_commands import track_argv
from reelmill.errors import MediaDamaged, ToolFailed
from reelmill.media.containers import open_container
from reelmill.media.source import Source, Stream
from reelmill.media.tool import Progress, ffmpeg_path, ffmpeg_version
from reelmill.planning.plan import TrackRendition
from reelmill.records import TrackRecord
from reelmill.storage.digests import content_key, file_digest
from reelmill.storage.pinning import opened
from reelmill.workspace import Workspace

SHORT_BY_S = 0.25
"""A track that ends this much before its packets say is reported."""


def track_key(sources: Sequence[Source], track: TrackRendition) -> str:
    """Name a track by its content, its recipe, and the code and the ffmpeg that make it."""
    used = [f"{each.identity} {each.clip.model_dump_json() if each.clip else ''}" for each in sources]
    return content_key("track", __version__, *used, track.recipe, ffmpeg_version())


def make_track(
    sources: Sequence[Source],
    track: TrackRendition,
    *,
    workspace: Workspace,
    strict: bool,
    attempt: str,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrackRecord:
    """Encode or copy the track of the source, or of several that are joined, unless an earlier run did.

    Return its record. Raises ToolFailed, MediaDamaged, SourceChanged, StoreFailed.
    """
    key = track_key(sources, track)
    kept = workspace.kept(TrackRecord, key)
    if kept is not None:
        return kept
    with workspace.unfinished() as out:
        with ExitStack() as open_files:
            media = [open_files.enter_context(opened(each.pinned)) for each in sources]
            argv = track_argv(ffmpeg_path(), sources, media, track, out)
            run = run_ffmpeg(argv, attempt=attempt, work=track.id, on_progress=on_progress)
        messages = without_addresses(run.messages)
        start_s, end_s, priming_s = _span(out, track, argv)
        warnings = tuple(f"{track.id}: the decoder reported: {each}" for each in messages[:1])
        if not track.sounds:
            warnings += tuple(_shortfall(sources[0], track, end_s))
        if strict and (warnings or messages):
            raise MediaDamaged(f"{sources[0].name}: {(*warnings, *messages)[0]}")
        sha256 = file_digest(out)
        record = TrackRecord(
            key=key, file_name=f"{key}-{sha256[:16]}.{file_ending(track)}", size_bytes=out.stat().st_size,
            sha256=sha256, cpu_s=run.cpu_s, wall_s=run.wall_s, messages=messages, track=track.id,
            start_s=start_s, end_s=end_s, priming_s=priming_s, warnings=warnings,
        )  # fmt: skip
        return workspace.keep(out, record)


def file_ending(track: TrackRendition) -> str:
    """Return the ending of the track's working file."""
    return "mp4" if track.container == "mp4" else "mkv"


def _span(path: Path, track: TrackRendition, argv: list[str]) -> tuple[float, float, float]:
    """Return when the track starts and ends, as its packets say, and how long the encoder's priming is; seconds."""
    try:
        with open_container(path, "mov" if track.container == "mp4" else "matroska") as container:
            stream = container.streams[0]
            start, end, first = None, None, None
            for packet in container.demux(stream):
                if not packet.size or packet.pts is None:
                    continue
                first = packet.pts if first is None else min(first, packet.pts)
                if not packet.is_discard:
                    start = packet.pts if start is None else min(start, packet.pts)
                    end = max(packet.pts + (packet.duration or 0), end or packet.pts)
    except (FFmpegError, IndexError) as error:
        raise ToolFailed(argv, 0, f"what it wrote can't be opened: {error}") from error
    if start is None or end is None or first is None or stream.time_base is None:
        raise ToolFailed(argv, 0, "it wrote a track without packets")
    base = stream.time_base
    return float(start * base), float(end * base), float((start - first) * base)


def _shortfall(source: Source, track: TrackRendition, end_s: float) -> Iterator[str]:
    stream: Stream = next(each for each in (*source.audio, *source.subtitles) if each.index == track.stream_index)
    if track.kind == "audio" and stream.end_s is not None:
        stops_s = stream.end_s - source.zero_s
        if source.clip and source.clip.length_s is not None:
            stops_s = min(stops_s, source.clip.length_s)
        missing_s = float(stops_s) - end_s
        if missing_s > SHORT_BY_S:
            yield f"{track.id}: its packets decode to {missing_s:.2f} s less than they announce"

"""Ways to encode one segment of a source in a bucket. All run the same ffmpeg command but for what it opens."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from bench.measuring import cores
from reelmill.encoding.commands import Piece, encode_argv
from reelmill.encoding.running import run_ffmpeg
from reelmill.errors import ToolFailed
from reelmill.media.containers import open_container
from reelmill.media.frame_index import times_digest
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_path
from reelmill.planning.plan import Encode, Plan, Segment, VideoRendition
from reelmill.settings import settings
from reelmill.storage.pinning import opened
from reelmill.storage.readable import Loopback, Readable

ATTEMPT = "benchmark"
_BACK_S = (0, 1, 4, 16)
"""How far before an entry to seek, until a keyframe at or before it is found: MPEG-TS has no index."""


@dataclass(frozen=True)
class Planned:
    """A source in a bucket, planned, and a copy of it on this machine."""

    plan: Plan
    local: Path
    folder: Path

    @property
    def source(self) -> Source:
        return self.plan.source

    @property
    def rendition(self) -> VideoRendition:
        return self.plan.video[0]

    @property
    def out(self) -> Path:
        return self.folder / "piece.mp4"


def by_range_server(job: Planned, segment: Segment) -> None:
    """What Reelmill does: ffmpeg reads from the range server of this machine."""
    with opened(job.source.pinned) as media:
        _encode(job, job.source, media, job.rendition, segment)


def by_url(job: Planned, segment: Segment, url: str) -> None:
    """ffmpeg reads from the store, at a presigned address."""
    _encode(job, job.source, Loopback(url, job.source.name), job.rendition, segment)


def by_local_file(job: Planned, segment: Segment) -> None:
    """ffmpeg reads from a copy on this machine."""
    _encode(job, job.source, job.local, job.rendition, segment)


def by_packets(job: Planned, segment: Segment) -> None:
    """The packets that the segment is decoded from are copied to a file on this machine, which ffmpeg reads."""
    scratch = job.folder / "packets.nut"
    with opened(job.source.pinned) as media:
        _copy_packets(job, media, segment, scratch)
    source = job.source.model_copy(update={"demuxer": "nut"})
    rendition = job.rendition.model_copy(update={"stream_index": 0})
    with open_container(scratch, "nut") as container:  # it may count in finer ticks
        ratio = int(job.rendition.time_base / (container.streams[0].time_base or 1))
    end = None if segment.end is None else segment.end * ratio
    scaled = segment.model_copy(update={"entry_s": None, "start": segment.start * ratio, "end": end})
    _encode(job, source, scratch, rendition, scaled)
    scratch.unlink()


def fault_of(job: Planned, segment: Segment) -> str:
    """Compare the piece with the plan: an empty string, or what is wrong with it."""
    ticks = Fraction(1) / job.rendition.time_base
    with open_container(job.out, "mov") as container:
        if not container.streams.video:  # ffmpeg wrote a file without a frame
            return f"0 frames where the plan has {segment.frames}"
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(1)
        found = sorted(packet.pts for packet in container.demux(stream) if packet.size and packet.pts is not None)
        times = array("q", (int(pts * base * ticks) for pts in found))
    job.out.unlink()
    if len(times) != segment.frames:
        return f"{len(times)} frames where the plan has {segment.frames}"
    return "" if times_digest(times, 0) == segment.times_digest else "frames at other times than the plan's"


def bytes_between(job: Planned, segments: list[Segment]) -> list[int]:
    """Return for each segment the bytes of the source from the first packet that it needs to the last."""
    assert job.source.video is not None
    lows, highs = [job.source.size_bytes] * len(segments), [0] * len(segments)
    with open_container(job.local, job.source.demuxer) as container:
        stream = container.streams[job.source.video.index]
        base = stream.time_base or Fraction(1)
        entries = [-(1 << 62) if each.entry_s is None else each.entry_s / base for each in segments]
        for packet in container.demux(stream):
            if packet.pts is None or packet.pos is None or not packet.size:
                continue
            for number, segment in enumerate(segments):
                if entries[number] <= packet.pts and (segment.end is None or packet.pts < segment.end):
                    lows[number] = min(lows[number], packet.pos)
                    highs[number] = max(highs[number], packet.pos + packet.size)
    return [high - low for low, high in zip(lows, highs, strict=True)]


def _encode(job: Planned, source: Source, media: Readable, rendition: VideoRendition, segment: Segment) -> None:
    piece = Piece(Encode(rendition=rendition, segment=segment), job.out)
    argv = encode_argv(ffmpeg_path(), source, media, [piece], threads=cores(), max_pixels=settings().max_pixels)
    run = run_ffmpeg(argv, work="bench", attempt=ATTEMPT)
    if not job.out.exists():
        raise ToolFailed(argv, 0, "\n".join(run.messages))


def _copy_packets(job: Planned, media: Readable, segment: Segment, scratch: Path) -> None:
    assert job.source.video is not None
    options = {"avoid_negative_ts": "disabled"}
    with (
        open_container(media, job.source.demuxer) as container,
        av.open(str(scratch), "w", format="nut", options=options) as out,
    ):
        stream = container.streams[job.source.video.index]
        base = stream.time_base or Fraction(1)
        kept: Any = out.add_stream_from_template(stream)
        kept.time_base = base
        entry = None if segment.entry_s is None else int(segment.entry_s / base)
        for back_s in _BACK_S:
            if entry is not None:
                container.seek(entry - int(back_s / base), stream=stream)
            packets = (each for each in container.demux(stream) if each.size)
            first = next((each for each in packets if each.is_keyframe), None)
            if first is None or entry is None or (first.pts is not None and first.pts <= entry):
                break
        while first is not None:
            if segment.end is not None and first.dts is not None and first.dts >= segment.end:
                break
            first.stream = kept
            out.mux(first)
            first = next(packets, None)

"""Opens a source with PyAV and describes it. Runs as a process of its own: a hostile file can crash no more than that.

    python -m reelmill.media.probing SOURCE NAME MAX_PIXELS [--salvage]
    python -m reelmill.media.probing SOURCE NAME --entries PTS...
    python -m reelmill.media.probing SOURCE NAME --cues START END

The first prints one JSON line (the source and the frame index without its times, or the error), then the times as raw
64-bit integers; the second whether decoding may start at these times of the main video; the third which subtitle
streams show something from START to before END, in seconds from the start of the container. SOURCE is a path or an
address of this machine. `reelmill.media.probe` is the caller.
"""

from __future__ import annotations

import json
import resource
import sys
from array import array
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from reelmill.errors import FormatNotAllowed, JobRejected, LimitPixels, MediaTruncated, MediaUnreadable
from reelmill.media.containers import open_container
from reelmill.media.demuxers import (
    SALVAGE_HINT,
    demuxer_of,
    refuse_bad_duration,
    refuse_external_references,
    refuse_playlist_inside,
    refuse_truncated,
)
from reelmill.media.frame_index import index_fault
from reelmill.media.hollow import Hollow, hollow
from reelmill.media.packets import is_clean_entry, is_hidden
from reelmill.media.streams import describe_streams, first_frame, main_video
from reelmill.storage.readable import Loopback, Readable

MEMORY_BYTES = 4 << 30
_DECLARES_DURATION = ("matroska", "flv", "mov")


@dataclass
class Scan:
    """What one pass over the packets found, stream by stream; times in the streams' own time bases."""

    pts: array[int] = field(default_factory=lambda: array("q"))
    video_packets: int = 0
    missing: int = 0
    keyframes: list[tuple[int, bool]] = field(default_factory=list[tuple[int, bool]])
    last_duration: int = 0
    spans: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    corrupt: int = 0
    encrypted: bool = False


def main(argv: list[str]) -> int:
    """Describe the source named in `argv` on standard output; 0 also when it is refused."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    times: array[int] = array("q")
    try:
        media = _media(*argv[:2])
        if argv[2] == "--entries":
            answer = {"clean": [_is_clean_at(media, int(pts)) for pts in argv[3:]]}
        elif argv[2] == "--cues":
            answer = {"shown": _streams_with_cues(media, Fraction(argv[3]), Fraction(argv[4]))}
        else:
            answer, times = describe(media, int(argv[2]), salvage="--salvage" in argv[3:])
    except JobRejected as error:
        answer = {"error": error.code, "message": str(error)}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + times.tobytes())
    sys.stdout.buffer.flush()
    return 0


def _is_clean_at(media: Readable, pts: int) -> bool:
    """Whether the main video has a keyframe at this time, and decoding may start there."""
    with _opened(media, demuxer_of(media)) as container:
        video = main_video(container)
        if video is None:
            return False
        container.seek(pts, stream=video)
        packet = next((each for each in container.demux(video) if each.size and each.pts is not None), None)
        if packet is None or packet.pts != pts or not packet.is_keyframe:
            return False
        codec = video.codec_context
        return is_clean_entry(codec.codec.canonical_name, bytes(packet), bytes(codec.extradata or b""))


def _streams_with_cues(media: Readable, start_s: Fraction, end_s: Fraction) -> list[int]:
    """Return the numbers of the subtitle streams that show something between two times."""
    shown = set[int]()
    with _opened(media, demuxer_of(media)) as container, suppress(FFmpegError):
        zero_s = Fraction(container.start_time or 0, av.time_base)
        streams = list(container.streams.subtitles)
        for packet in container.demux(streams) if streams else ():
            if not packet.size or packet.pts is None:
                continue
            begins_s = packet.pts * packet.time_base - zero_s
            if begins_s < end_s and begins_s + (packet.duration or 0) * packet.time_base > start_s:
                shown.add(packet.stream_index)
    return sorted(shown)


def _media(address: str, name: str) -> Readable:
    return Loopback(address, name) if address.startswith("http://") else Path(address)


def describe(media: Readable, max_pixels: int, *, salvage: bool) -> tuple[dict[str, Any], array[int]]:
    """Return the source and its frame index as JSON values, and the sorted frame times."""
    demuxer = demuxer_of(media)
    refuse_bad_duration(media, demuxer)
    if not salvage:
        refuse_truncated(media, demuxer)
    refuse_external_references(media, demuxer)
    refuse_playlist_inside(media, demuxer)
    with _opened(media, demuxer) as container:
        _refuse_bad_header(container, media.name)
        video = main_video(container)
        if video is not None and video.codec_context.width * video.codec_context.height > max_pixels:
            size = f"{video.codec_context.width}x{video.codec_context.height}"
            raise LimitPixels(f"{media.name}: a picture of {size} has more than {max_pixels:,} pixels")
        number = video.index if video else None
        scan = None if salvage or isinstance(media, Path) or demuxer != "mov" else _scan_index(media, container, video)
        claimed = scan is not None
        scan = scan or _scan_packets(container, number)
        declared_s = Fraction(container.duration or 0, av.time_base)
        start_s = Fraction(container.start_time or 0, av.time_base)
        if not salvage and demuxer in _DECLARES_DURATION:
            _refuse_short(container, scan, declared_s, media.name)
        streams = describe_streams(container, scan.spans, first_frame(media, demuxer) if video else None)
        source = {
            "demuxer": demuxer, "start_s": str(start_s),
            "duration_s": str(declared_s), "warnings": _warnings(scan), **streams,
        }  # fmt: skip
        fault = index_fault(scan.pts) or (f"{scan.missing} packets have no presentation time" if scan.missing else None)
        if video is not None and demuxer == "avi" and video.codec_context.has_b_frames:
            fault = fault or "AVI keeps the order of decoding, not of showing"
        index = {
            "time_base": str(video.time_base) if video else "1", "entries": scan.keyframes, "fault": fault,
            "last_duration": scan.last_duration, "encrypted": scan.encrypted, "claimed": claimed,
        }  # fmt: skip
        return {"source": source, "index": index}, array("q", sorted(scan.pts))


@contextmanager
def _opened(media: Readable | Hollow, demuxer: str) -> Generator[InputContainer]:
    try:
        with open_container(media, demuxer) as container:
            yield container
    except PermissionError as error:
        raise FormatNotAllowed(f"{media.name} refers to other files: {error}") from error
    except (FFmpegError, ValueError, MemoryError) as error:
        raise MediaUnreadable(f"{media.name} can't be opened as {demuxer}: {error}") from error


def _refuse_bad_header(container: InputContainer, name: str) -> None:
    if not container.streams:
        raise MediaUnreadable(f"{name} has no streams")
    if container.duration is not None and container.duration < 0:
        raise MediaUnreadable(f"{name} has an invalid duration")


def _scan_index(media: Readable, container: InputContainer, video: VideoStream | None) -> Scan | None:
    """Do as `_scan_packets` without reading the media; None where the index does not tell all of it."""
    emptied = hollow(media, container)
    if emptied is None or video is None:
        return None
    keyframes = [entry.is_keyframe for entry in video.index_entries]
    with suppress(MediaUnreadable), _opened(emptied, "mov") as without_media:
        scan = _scan_packets(without_media, video.index, keyframes)
        return scan if scan.video_packets == len(keyframes) else None
    return None


def _scan_packets(container: InputContainer, video_index: int | None, claims: Sequence[bool] = ()) -> Scan:
    """Read every packet once. The frame times are those of packets that will be shown.

    With `claims` nothing is looked into: they say which packets of the video are keyframes, taken for clean ones.
    """
    scan = Scan()
    codec = container.streams[video_index].codec_context if video_index is not None else None
    name = codec.codec.canonical_name if codec else ""
    extradata = bytes(codec.extradata or b"") if codec else b""
    last_pts = -(1 << 62)
    with suppress(FFmpegError):
        for packet in container.demux():
            if packet.size == 0:
                continue
            scan.corrupt += packet.is_corrupt
            scan.encrypted |= packet.has_sidedata("encryption_info")
            index, pts, duration = packet.stream_index, packet.pts, packet.duration or 0
            if pts is not None and not packet.is_discard:
                low, high = scan.spans.get(index, (pts, pts + duration))
                scan.spans[index] = (min(low, pts), max(high, pts + duration))
            if index != video_index:
                continue
            is_keyframe = claims[scan.video_packets % len(claims)] if claims else packet.is_keyframe
            scan.video_packets += 1
            if packet.is_discard and not is_keyframe:
                continue
            if pts is None:
                scan.missing += 1
                continue
            if is_keyframe:
                scan.keyframes.append((pts, bool(claims) or is_clean_entry(name, bytes(packet), extradata)))
            if packet.is_discard or (name in ("vp8", "vp9") and is_hidden(name, bytes(packet))):
                continue
            scan.pts.append(pts)
            if pts >= last_pts:
                last_pts, scan.last_duration = pts, duration
    scan.keyframes.sort()
    return scan


def _refuse_short(container: InputContainer, scan: Scan, declared_s: Fraction, name: str) -> None:
    """Raise MediaTruncated when the last packet ends well before the duration the header declares."""
    ends = [end * (container.streams[index].time_base or 0) for index, (_, end) in scan.spans.items()]
    reached = max(ends, default=Fraction(0)) - Fraction(container.start_time or 0, av.time_base)
    if declared_s - reached > max(Fraction(1), declared_s / 20):
        raise MediaTruncated(f"{name} ends after {float(reached):.1f} of {float(declared_s):.1f} s{SALVAGE_HINT}")


def _warnings(scan: Scan) -> list[str]:
    return [f"MediaDamaged: {scan.corrupt} packets are marked corrupt"] if scan.corrupt else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

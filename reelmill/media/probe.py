"""Probes a source: what it is, and when each of its frames is shown."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from reelmill import errors
from reelmill.errors import (
    CodecNotAllowed,
    JobRejected,
    LimitChannels,
    LimitFrameRate,
    LimitStreams,
    LimitTimeline,
    MediaEncrypted,
    MediaUnreadable,
    ToolFailed,
)
from reelmill.media.frame_index import EntryPoint, FrameIndex
from reelmill.media.source import Source, VideoStream
from reelmill.media.tool import run_tool
from reelmill.settings import settings
from reelmill.storage.pinning import opened
from reelmill.storage.readable import Pinned

VIDEO_DECODERS = frozenset(
    ("h264", "hevc", "vp8", "vp9", "av1", "vvc", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2",
     "msmpeg4v3", "h261", "h263", "h263i", "h263p", "flv1", "vp3", "vp6", "vp6f", "vp6a", "theora", "wmv1", "wmv2",
     "wmv3", "vc1", "rv30", "rv40", "svq1", "svq3", "cinepak", "mjpeg", "prores", "dnxhd", "dvvideo", "ffv1",
     "huffyuv", "ffvhuff", "utvideo", "rawvideo", "v210", "qtrle", "rpza", "gif", "png")
)  # fmt: skip
"""Codecs whose video is decoded. The others are rare enough that nobody watches over their decoders."""


def probe(pinned: Pinned, *, job_key: str = "probe", salvage: bool = False) -> tuple[Source, FrameIndex | None]:
    """Describe a pinned source; the index is None when it has no video.

    The work is done by a process of its own (`reelmill.media.probing`). Raises JobRejected for whatever can't be
    worked on; with `salvage` a source that ends too early is taken as it is.
    """
    name = pinned.location.name
    with opened(pinned) as media:
        argv = [sys.executable, "-m", "reelmill.media.probing", str(media), name, str(settings().max_pixels)]
        argv += ["--salvage"] if salvage else []
        try:
            timeout_s = settings().probe_timeout_s if isinstance(media, Path) else settings().stall_timeout_s
            run = run_tool(argv, job_key=job_key, stall_timeout_s=timeout_s, capture_stdout=True)
        except ToolFailed as error:
            last_line = error.stderr_tail.strip().rsplit("\n", 1)[-1] or "it did not answer"
            raise MediaUnreadable(f"{name} could not be probed: {last_line}") from error
    head, _, raw = run.stdout.partition(b"\n")
    answer = json.loads(head)
    if "error" in answer:
        raise _rejection(answer["error"], answer["message"])
    if answer["index"]["encrypted"]:
        raise MediaEncrypted(f"{name} is encrypted")
    known = {
        "location": str(pinned.location), "identity": pinned.identity, "size_bytes": pinned.size_bytes,
        "version": pinned.version,
    }  # fmt: skip
    source = Source.model_validate(answer["source"] | known)
    index = _frame_index(answer["index"], raw) if source.video else None
    _refuse_beyond_limits(source, index)
    return source, index


def clean_entries(source: Source, entries: Sequence[int], *, job_key: str = "probe") -> list[bool]:
    """Say of each time, in the time base of the main video, whether it is a keyframe at which decoding may start."""
    return _asked(source, ["--entries", *map(str, entries)], job_key)["clean"]


def streams_with_cues(source: Source, start_s: Fraction, end_s: Fraction, *, job_key: str = "probe") -> frozenset[int]:
    """Return the numbers of the subtitle streams that show something between two times of the container."""
    return frozenset(_asked(source, ["--cues", str(start_s), str(end_s)], job_key)["shown"])


def _asked(source: Source, question: Sequence[str], job_key: str) -> dict[str, Any]:
    with opened(source.pinned) as media:
        argv = [sys.executable, "-m", "reelmill.media.probing", str(media), source.name, *question]
        run = run_tool(argv, job_key=job_key, stall_timeout_s=settings().stall_timeout_s, capture_stdout=True)
    answer = json.loads(run.stdout)
    if "error" in answer:
        raise _rejection(answer["error"], answer["message"])
    return answer


def _rejection(code: str, message: str) -> JobRejected:
    kind = getattr(errors, code)
    assert issubclass(kind, JobRejected)
    return kind(message)


def _frame_index(answer: dict[str, Any], raw: bytes) -> FrameIndex:
    times = array("q")
    times.frombytes(raw)
    return FrameIndex(
        time_base=Fraction(answer["time_base"]),
        times=times,
        entries=tuple(EntryPoint(pts, clean) for pts, clean in answer["entries"]),
        last_duration=answer["last_duration"],
        origin="packets",
        fault=answer["fault"],
        entries_are_claims=answer["claimed"],
    )


def _refuse_beyond_limits(source: Source, index: FrameIndex | None) -> None:
    name, limits = source.name, settings()
    count = len(source.audio) + len(source.subtitles) + len(source.others) + len(source.more_video) + bool(source.video)
    if count > limits.max_streams:
        raise LimitStreams(f"{name} has {count} streams, more than {limits.max_streams}")
    for track in source.audio:
        if track.channels > limits.max_channels:
            raise LimitChannels(
                f"{name}: stream {track.index} has {track.channels} channels, more than {limits.max_channels}"
            )
    if source.duration_s > limits.max_duration_s:
        raise LimitTimeline(f"{name} lasts {float(source.duration_s):.0f} s, more than {limits.max_duration_s:.0f}")
    if source.video and index:
        _refuse_bad_video(name, source.video, index)


def _refuse_bad_video(name: str, video: VideoStream, index: FrameIndex) -> None:
    limits = settings()
    if video.codec not in VIDEO_DECODERS:
        raise CodecNotAllowed(f"{name}: video in {video.codec} is not decoded")
    if len(index) == 0:
        raise MediaUnreadable(f"{name} has a video stream without frames")
    if len(index) < 2:
        return
    gap = max(later - earlier for earlier, later in pairwise(index.times))
    if gap * index.time_base > limits.max_gap_s:
        hours = float(gap * index.time_base) / 3600
        raise LimitTimeline(f"{name} has a gap of {hours:.1f} h between two frames")
    rate = (len(index) - 1) / ((index.times[-1] - index.first) * index.time_base or Fraction(1, 10**6))
    if rate > limits.max_frame_rate:
        raise LimitFrameRate(f"{name} has {float(rate):.0f} frames a second, more than {limits.max_frame_rate:.0f}")

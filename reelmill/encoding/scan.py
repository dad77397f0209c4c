"""Learns the times of a source's frames by decoding it once: the judge where packets and decoder disagree."""

from __future__ import annotations

from array import array
from itertools import pairwise

from reelmill.encoding.commands import scan_argv
from reelmill.encoding.running import run_ffmpeg, without_addresses
from reelmill.errors import MediaUnreadable
from reelmill.media.frame_index import FrameIndex, index_fault
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_path
from reelmill.planning.clip import clipped_index
from reelmill.settings import settings
from reelmill.storage.pinning import opened


def scan_frames(source: Source, index: FrameIndex, *, attempt: str) -> tuple[FrameIndex, tuple[str, ...]]:
    """Return an index of the frames that one plain decoder run yields of a source or its clip, and its complaints.

    Keyframes are those of `index`. Frames that come out with times that do not ascend leave a fault in the index.
    """
    with opened(source.pinned) as media:
        argv = scan_argv(ffmpeg_path(), source, media, max_pixels=settings().max_pixels)
        run = run_ffmpeg(argv, attempt=attempt, work="scan", capture_stdout=True)
    rows = [line.split(b",") for line in run.stdout.splitlines() if line and not line.startswith(b"#")]
    if not rows:
        raise MediaUnreadable(f"{source.name}: no frame of its video can be decoded")
    times = array("q", (int(row[2]) for row in rows))
    ascending = all(earlier < later for earlier, later in pairwise(times))
    fault = index_fault(times) or (None if ascending else "its frames are not in the order of their times")
    found = FrameIndex(
        time_base=index.time_base, times=times if ascending else array("q", sorted(times)), entries=index.entries,
        last_duration=max(int(rows[-1][3]), 1), origin="decode", fault=fault,
        entries_are_claims=index.entries_are_claims,
    )  # fmt: skip
    return clipped_index(found, source), without_addresses(run.messages)

"""Runs the real flow in a process of its own, with encoding replaced by copying a piece that was made before.

    python -m bench.copied_flow JOB

takes the piece of each segment from a folder, where it is named by the time at which the segment starts. JOB is a file
with a `CopiedJob` in it, as JSON. PREFECT_API_URL names the server.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.counted_calls import count_calls

_START = re.compile(r"start_pts=(\d+)")


@dataclass(frozen=True)
class CopiedJob:
    """What is to be done, and the file `marks` for the seconds from the start of the process to each step, as JSON.

    Copying a piece takes at least `encode_s`.
    """

    source: str
    pieces: str
    output: str
    marks: str
    segment_s: float
    profile: str | None = None
    workers: int | None = None
    encode_s: float = 0.0

    def save(self, file: Path) -> Path:
        file.write_text(json.dumps(asdict(self)))
        return file


def main(arguments: Sequence[str]) -> None:
    """Run the flow once and write the marks."""
    wanted = CopiedJob(**json.loads(Path(arguments[0]).read_text()))
    started = psutil.Process().create_time()
    marks: dict[str, float] = {}

    def mark(name: str) -> None:
        marks[name] = time.time() - started

    import reelmill.encoding.pieces  # what takes long to import is in the marks
    from flows.transcode_video import transcode_video
    from reelmill.job import TranscodeJob
    from reelmill.media.tool import ToolRun

    def copy_piece(argv: Sequence[str], **_: Any) -> ToolRun:
        """Stand in for `run_ffmpeg`: put the piece of this segment where ffmpeg would have written it."""
        if "first_piece" not in marks:
            mark("first_piece")
        mark("last_begun")
        time.sleep(wanted.encode_s)
        start = _START.search(" ".join(argv))
        assert start is not None
        shutil.copyfile(Path(wanted.pieces) / f"{start[1]}.mp4", argv[-1].removeprefix("file:"))
        mark("last_piece")
        return ToolRun(wanted.encode_s, wanted.encode_s, 0, (), 0, b"")

    reelmill.encoding.pieces.run_ffmpeg = copy_piece
    job = TranscodeJob(
        source=wanted.source, formats=("mp4",), profile=wanted.profile, output=wanted.output, name="out",
        segment_s=wanted.segment_s, workers=wanted.workers,
    )  # fmt: skip
    calls = count_calls()
    mark("flow_started")
    manifest = transcode_video(job)
    mark("flow_ended")
    counts = {"segments": manifest.renditions[0].segments, "frames": manifest.outputs[0].frames}
    Path(wanted.marks).write_text(json.dumps(marks | counts | {"calls": calls}))


if __name__ == "__main__":
    main(sys.argv[1:])

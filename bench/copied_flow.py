"""Runs the real flow in a process of its own, with encoding replaced by copying a piece that was made before.

    python -m bench.copied_flow SOURCE PIECES OUTPUT SEGMENT_S MARKS

writes to the file MARKS, as JSON, the seconds from the start of the process to each step. PREFECT_API_URL names the
server.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil


def piece_name(argv: Sequence[str]) -> str:
    """Name a piece by what makes it: the whole command but for where it is written."""
    return hashlib.sha256("\0".join(argv[:-1]).encode()).hexdigest() + ".mp4"


def main(arguments: Sequence[str]) -> None:
    """Run the flow once and write the marks."""
    source, pieces, output, segment_s, marks_file = arguments
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
        out = Path(argv[-1].removeprefix("file:"))
        shutil.copyfile(Path(pieces) / piece_name(argv), out)
        mark("last_piece")
        return ToolRun(0.0, 0.0, 0, (), 0, b"")

    reelmill.encoding.pieces.run_ffmpeg = copy_piece
    job = TranscodeJob(source=source, formats=("mp4",), output=output, name="out", segment_s=float(segment_s))
    mark("flow_started")
    manifest = transcode_video(job)
    mark("flow_ended")
    counts = {"segments": manifest.renditions[0].segments, "frames": manifest.outputs[0].frames}
    Path(marks_file).write_text(json.dumps(marks | counts))


if __name__ == "__main__":
    main(sys.argv[1:])

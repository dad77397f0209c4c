"""What Prefect and the pipeline's own work cost by the segment: the real flow, with encoding replaced by copying."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from bench.copied_flow import CopiedJob
from bench.measuring import cores
from bench.pipeline import encode_pieces, prepare, workspace_in
from bench.prefect_place import environment, own_server, started, tail_of
from bench.results import Figure, Result, Table
from bench.sources import tiny_source
from bench.workbench import Workbench
from reelmill.profiles.profile import Profile

_COUNTS = (10, 100, 1000)
_QUICK_COUNTS = (4, 16)
_FRAMES_EACH, _FRAMES_PER_S = 8, 16
_SEGMENT_S = _FRAMES_EACH / _FRAMES_PER_S
_MOST_PEAK_MB = 300
_SAMPLE_EVERY_S = 0.02
_RUN_WITHIN_S = 1800.0


def measure_orchestration(bench: Workbench) -> Result:
    """Run jobs of 10, 100 and 1,000 segments against a server of their own, one after the other."""
    counts = _QUICK_COUNTS if bench.quick else _COUNTS
    with bench.folder("orchestration") as folder:
        sources = {count: _make_pieces(bench, folder, count) for count in counts}
        bench.say("starting a Prefect server")
        with own_server(folder / "prefect") as api:
            runs = []
            for count, source in sources.items():
                runs.append(_run_flow(folder, source, count, api))
                bench.say(f"{count} segments: {runs[-1]['flow_s']:.2f} s, peak {runs[-1]['peak_rss_mb']:.0f} MB")
    few, many = runs[0], runs[-1]
    marginal_s = (many["flow_s"] - few["flow_s"]) / (many["segments"] - few["segments"])
    most = many["segments"]
    figures = (
        Figure(name=f"wall per segment, {most:,} segments", value=1000 * many["flow_s"] / most, unit="ms"),
        Figure(name="wall of one more segment", value=1000 * marginal_s, unit="ms"),
        Figure(name=f"peak memory, {most:,} segments", value=many["peak_rss_mb"], unit="MB", compare="<",
               limit=_MOST_PEAK_MB),
    )  # fmt: skip
    return Result(
        figures=figures,
        tables=(_table(runs),),
        sources=(
            f"made: a test picture of 128x72, {_FRAMES_EACH} frames to a segment; its pieces were encoded before",
        ),
        notes=(
            "The server runs on the same cores, on SQLite.",
            f"{cores()} tasks at once; each copies its piece, opens it, checks it and writes its record.",
            "Memory is the largest resident set of the process that runs the flow, looked at 50 times a second; "
            "a MB is 1,000,000 bytes.",
        ),
        raw={"runs": runs},
    )


def _make_pieces(bench: Workbench, folder: Path, count: int) -> Path:
    """Make a source of so many segments and, by the plain pipeline, the piece of each, named by its start."""
    bench.say(f"making the pieces of {count} segments")
    source = tiny_source(folder, count, _FRAMES_EACH, _FRAMES_PER_S)
    prepared = prepare(source, ("mp4",), Profile(version=1, name="default"), _SEGMENT_S)
    if prepared.segments != count:
        raise RuntimeError(f"the plan has {prepared.segments} segments, not {count}")
    workspace, pieces, (video,) = workspace_in(folder / f"made-{count}"), _pieces(folder, count), prepared.plan.video
    pieces.mkdir()
    with ThreadPoolExecutor(cores()) as pool:
        for record in (each for future in encode_pieces(prepared.plan, workspace, pool) for each in future.result()):
            (workspace.cache / record.file_name).rename(pieces / f"{video.segments[record.segment].start}.mp4")
    return source


def _pieces(folder: Path, count: int) -> Path:
    return folder / f"pieces-{count}"


def _run_flow(folder: Path, source: Path, count: int, api: str) -> dict[str, Any]:
    """Run the flow in a fresh process and return its steps in seconds, and its peak memory."""
    marks_file, output = folder / "marks.json", folder / f"out-{count}"
    job = CopiedJob(str(source), str(_pieces(folder, count)), str(output), str(marks_file), _SEGMENT_S)
    command = [sys.executable, "-m", "bench.copied_flow", job.save(folder / "job.json")]
    log = folder / "flow.log"
    with started(command, environment(folder / "prefect", api), log) as run:
        peak_bytes = _watch_memory(run)
    if run.returncode:
        raise RuntimeError(f"the flow of {count} segments failed: {tail_of(log)}")
    marks = json.loads(marks_file.read_text())
    if (marks["segments"], marks["frames"]) != (count, count * _FRAMES_EACH):
        raise RuntimeError(f"{count} segments were to be made: {marks}")
    return {
        "segments": count,
        "flow_s": marks["flow_ended"] - marks["flow_started"],
        "before_first_piece_s": marks["first_piece"] - marks["flow_started"],
        "pieces_s": marks["last_piece"] - marks["first_piece"],
        "after_last_piece_s": marks["flow_ended"] - marks["last_piece"],
        "imports_s": marks["flow_started"],
        "peak_rss_mb": peak_bytes / 1e6,
    }


def _watch_memory(run: subprocess.Popen[bytes]) -> int:
    """Return the largest resident set of the process, when it has ended."""
    process, peak, deadline = psutil.Process(run.pid), 0, time.monotonic() + _RUN_WITHIN_S
    while run.poll() is None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the flow did not end within {_RUN_WITHIN_S:g} s")
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(_SAMPLE_EVERY_S)
    run.wait()
    return peak


def _table(runs: Sequence[dict[str, Any]]) -> Table:
    columns = (
        "segments", "flow s", "ms per segment", "until the first piece s", "pieces s", "merge, verify, publish s",
        "peak MB",
    )  # fmt: skip
    rows = [
        (
            run["segments"], run["flow_s"], 1000 * run["flow_s"] / run["segments"], run["before_first_piece_s"],
            run["pieces_s"], run["after_last_piece_s"], run["peak_rss_mb"],
        )
        for run in runs
    ]  # fmt: skip
    return Table(caption="Jobs whose encodes take no time", columns=columns, rows=tuple(rows))

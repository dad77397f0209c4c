"""How long a command takes before anything is encoded: from its start to the start of the first encode."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.prefect_place import environment, free_port, own_server, started, tail_of
from bench.results import Cell, Figure, Result, Table
from bench.sources import small_source
from bench.workbench import Workbench
from reelmill.media.tool import ffmpeg_path

_RUN_WITHIN_S = 300.0
# The command looks for a server at Prefect's own port. One that happens to be up there is not the benchmark's.
_LAUNCHER = """
import sys
from cli import prefect_server
if not hasattr(prefect_server, "_LOCAL_API"):
    sys.exit("cli.prefect_server has no _LOCAL_API any more: bench/fixed_cost.py must learn its new name")
prefect_server._LOCAL_API = sys.argv.pop(1)
from cli.main import main
main()
"""


class Start(NamedTuple):
    """Seconds from the start of one command to its first encode, and to its end."""

    encode_s: float
    end_s: float


def measure_fixed_cost(bench: Workbench) -> Result:
    """Run one small job again and again: with a server that is up, with none for the first time, and with none."""
    with bench.folder("fixed-cost") as folder:
        times = 1 if bench.quick else bench.rounds
        source = small_source(folder)
        tool = _logging_ffmpeg(folder)
        with own_server(folder / "served") as api:
            served = [
                _run(bench, folder, source, tool, environment(folder / "served", api), "with a server")
                for _ in range(times)
            ]
        alone = environment(folder / "alone")
        first = _run(bench, folder, source, tool, alone, "without a server, in a new home")
        later = [_run(bench, folder, source, tool, alone, "without a server") for _ in range(times)]
    cases = {
        "a server is up": served, "no server, Prefect used for the first time": [first], "no server, later": later,
    }  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (case, number, start.encode_s, start.end_s)
        for case, starts in cases.items()
        for number, start in enumerate(starts, 1)
    ]
    return Result(
        figures=tuple(
            Figure(name=f"start to first encode, {case}", value=median(each.encode_s for each in starts), unit="s")
            for case, starts in cases.items()
        ),
        tables=(Table(caption="Runs", columns=("case", "run", "first encode s", "end s"), rows=tuple(rows)),),
        sources=("made: two seconds of a test picture of 320x180 with a tone, to mp4",),
        notes=("The first encode is the first ffmpeg run that is not `-version`: of the audio or of the video.",),
        raw={case: [each._asdict() for each in starts] for case, starts in cases.items()},
    )


def _logging_ffmpeg(folder: Path) -> Path:
    """Write an ffmpeg that leaves an empty file in `starts` when it starts to encode, and then is the real one.

    The time is that of the file, so that nothing has to be started to tell it.
    """
    (folder / "starts").mkdir()
    wrapper = folder / "ffmpeg"
    wrapper.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = -version ] || : > {shlex.quote(str(folder / "starts"))}/$$\n'
        f'exec {shlex.quote(ffmpeg_path())} "$@"\n'
    )
    wrapper.chmod(0o755)
    return wrapper


def _run(bench: Workbench, folder: Path, source: Path, tool: Path, env: dict[str, str], case: str) -> Start:
    output, starts = folder / "out", folder / "starts"
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    command = [sys.executable, "-c", _LAUNCHER, nowhere, "transcode", source, "-f", "mp4", "-o", output]
    log = folder / "command.log"
    try:
        began = time.time()
        with started(command, env | {"REELMILL_FFMPEG": str(tool)}, log) as run:
            run.wait(_RUN_WITHIN_S)
            ended = time.time()
        encodes = [each.stat().st_mtime for each in starts.iterdir()]
        if run.returncode or not encodes:
            raise RuntimeError(f"the command failed {case}: {tail_of(log)}")
        start = Start(min(encodes) - began, ended - began)
        bench.say(f"{case}: first encode after {start.encode_s:.2f} s, end after {start.end_s:.2f} s")
        return start
    finally:
        shutil.rmtree(output, ignore_errors=True)
        for each in starts.iterdir():
            each.unlink()

"""How near an encode is to its source: SSIM and VMAF, frame by frame."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from bench.measuring import run_plainly
from reelmill.media.tool import ffmpeg_path

_SSIM = re.compile(r"SSIM .*All:([0-9.]+)")
_VMAF = re.compile(r"VMAF score: ([0-9.]+)")


class Quality(NamedTuple):
    """Means over all frames: SSIM of all planes, 1 at best; VMAF (the default model, v0.6.1), 100 at best."""

    ssim: float
    vmaf: float


def compare(encoded: Path, source: Path) -> Quality:
    """Compare two files of equally many frames, the first of one with the first of the other, whatever their times."""
    by_number = "settb=1/1000,setpts=N,split"
    graph = (
        f"[0:v]{by_number}[a][b];[1:v]{by_number}[c][d];[a][c]ssim[s];[b][d]libvmaf=n_threads={os.cpu_count() or 1}[v]"
    )
    argv = [ffmpeg_path(), "-nostdin", "-hide_banner", "-nostats", "-i", str(encoded), "-i", str(source)]
    printed = run_plainly([*argv, "-lavfi", graph, "-map", "[s]", "-f", "null", "-", "-map", "[v]", "-f", "null", "-"])
    ssim, vmaf = _SSIM.search(printed), _VMAF.search(printed)
    if ssim is None or vmaf is None:
        raise RuntimeError(f"ffmpeg printed no SSIM or no VMAF: {printed[-2000:]}")
    return Quality(float(ssim[1]), float(vmaf[1]))

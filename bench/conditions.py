"""Where figures were taken: the machine, and the versions of what ran on it."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import psutil

import reelmill
from bench.measuring import cores
from bench.results import Conditions
from reelmill.media.tool import ffmpeg_version


def conditions() -> Conditions:
    """Describe this machine."""
    return Conditions(
        cpu=_cpu_model(),
        cores=cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        ffmpeg=ffmpeg_version(),
        prefect=version("prefect"),
        reelmill=reelmill.__version__,
    )


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()

"""Runs of tools for the tests of the one door to them."""

import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psutil

from reelmill.media.tool import ToolRun, run_tool
from tests.ffmpeg_tool import FFMPEG

QUIET = [FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "level+warning", "-progress", "pipe:1", "-nostats", "-y"]
ENDLESS = [*QUIET, "-re", "-f", "lavfi", "-i", "testsrc2=s=64x64", "-f", "null", "-"]

Tools = Callable[[], list[psutil.Process]]
InThread = Callable[..., Future[ToolRun]]


def run(argv: list[str], *, job_key: str = "job", stall_timeout_s: float = 20, **options: Any) -> ToolRun:
    return run_tool(argv, job_key=job_key, stall_timeout_s=stall_timeout_s, **options)


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", f"import os, signal, sys, time; {code}"]


def clip(frames: int, *output: str) -> list[str]:
    return [*QUIET, "-f", "lavfi", "-i", "testsrc2=s=64x64:r=25", "-frames:v", str(frames), *output]

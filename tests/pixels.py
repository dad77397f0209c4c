"""Pictures of a video as numbers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from tests.ffmpeg_tool import FFMPEG


def pixels(path: Path) -> np.ndarray:
    """Return every frame of a video, as rows of RGB pixels: frames x height x width x 3."""
    argv = [FFMPEG, "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-c:v", "ppm"]
    done = subprocess.run([*argv, "-f", "image2pipe", "-"], capture_output=True, check=True)
    width, height = map(int, done.stdout.split(b"\n", 2)[1].split())
    head = len(b"P6\n%d %d\n255\n" % (width, height))
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, head + width * height * 3)
    return frames[:, head:].reshape(-1, height, width, 3)


def plane_size(picture: np.ndarray) -> tuple[int, int]:
    """Return width and height of a picture."""
    return picture.shape[1], picture.shape[0]

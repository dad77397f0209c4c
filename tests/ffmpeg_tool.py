"""The ffmpeg that makes test media, and the plain decode that results are compared with."""

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg

FFMPEG: str = imageio_ffmpeg.get_ffmpeg_exe()

_TIMEOUT_S = 120


def run_ffmpeg(*args: str | Path) -> None:
    """Run ffmpeg, overwriting its outputs. RuntimeError with the argv and all of stderr when it fails."""
    _run(args)


def frame_times(path: Path, stream: str = "v:0") -> list[tuple[int, str]]:
    """The pts (in `frame_time_base`) and MD5 of every frame of one plain decode, in output order.

    Rotation is applied, as a player does. No frame is doubled or dropped to keep a rate.
    """
    return [
        (int(pts), md5)
        for line in _framemd5(path, stream)
        if not line.startswith("#")
        for _, _, pts, _, _, md5 in [line.replace(" ", "").split(",")[:6]]
    ]


def frame_time_base(path: Path, stream: str = "v:0") -> Fraction:
    """The unit of `frame_times`, in seconds."""
    for line in _framemd5(path, stream, "-frames:v", "1"):
        if line.startswith("#tb 0:"):
            return Fraction(line.removeprefix("#tb 0:").strip())
    raise RuntimeError(f"no time base in the frame list of {path}")


def _framemd5(path: Path, stream: str, *options: str) -> list[str]:
    times = ("-fps_mode", "passthrough", "-enc_time_base", "demux")
    return _run(("-copyts", "-i", path, "-map", f"0:{stream}", *times, *options, "-f", "framemd5", "-")).splitlines()


def _run(args: tuple[str | Path, ...]) -> str:
    argv = [FFMPEG, "-y", "-nostdin", "-hide_banner", "-v", "error", *map(str, args)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode} from {argv}:\n{done.stderr}")
    return done.stdout

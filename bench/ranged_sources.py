"""Large sources in several containers, for little: a short clip is encoded once and repeated by stream copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.measuring import run_plainly
from bench.workbench import Workbench
from reelmill.media.tool import ffmpeg_path

_QUIET = ("-y", "-nostdin", "-hide_banner", "-loglevel", "error")
_FRAMES_PER_S, _GOP_S = 25, 2
_CLIP_S, _QUICK_CLIP_S = 40, 4
_REPEATS = 10
_BITRATE = "40M"


@dataclass(frozen=True)
class Container:
    """What the source is put into: its name in the tables, the ending of the file, and options of the muxer."""

    name: str
    ending: str
    options: tuple[str, ...] = ()


CONTAINERS = (
    Container("mp4, moov first", "mp4", ("-movflags", "+faststart")),
    Container("mp4, moov last", "mp4"),
    Container("mkv", "mkv"),
    Container("ts", "ts"),
)


def source_seconds(bench: Workbench) -> int:
    return _REPEATS * _clip_seconds(bench)


def source_line(bench: Workbench, size_bytes: int) -> str:
    """Say what the sources are."""
    lines = bench.height(1080)
    return (
        f"made: ffmpeg's test picture with noise, {lines * 16 // 9}x{lines} at {_FRAMES_PER_S}, H.264 with B-frames, "
        f"keyframes {_GOP_S} s apart, and AAC; {_clip_seconds(bench)} s of it {_REPEATS} times by stream copy: "
        f"{size_bytes / 1e9:.2f} GB in mp4"
    )


def make_clip(bench: Workbench, folder: Path) -> Path:
    """Encode what the sources repeat. Its H.264 has no CABAC, so that a decoder is not what takes the time."""
    seconds, lines = _clip_seconds(bench), bench.height(1080)
    rate = ("-b:v", _BITRATE, "-maxrate", _BITRATE, "-bufsize", _BITRATE) if not bench.quick else ("-b:v", "4M")
    gop = str(_GOP_S * _FRAMES_PER_S)
    picture = f"testsrc2=size={lines * 16 // 9}x{lines}:rate={_FRAMES_PER_S}:duration={seconds},noise=alls=16:allf=t"
    out = folder / "clip.mp4"
    run_plainly(
        [
            ffmpeg_path(), *_QUIET, "-f", "lavfi", "-i", picture,
            "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}:sample_rate=48000",
            "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", *rate,
            "-g", gop, "-keyint_min", gop, "-sc_threshold", "0", "-pix_fmt", "yuv420p",
            "-c:a", "aac", "-b:a", "192k", str(out),
        ]
    )  # fmt: skip
    return out


def make_source(clip: Path, container: Container, folder: Path) -> Path:
    """Repeat the clip in a container."""
    out = folder / f"source.{container.ending}"
    repeat = ("-stream_loop", str(_REPEATS - 1), "-i", str(clip), "-map", "0", "-c", "copy")
    run_plainly([ffmpeg_path(), *_QUIET, *repeat, *container.options, str(out)])
    return out


def _clip_seconds(bench: Workbench) -> int:
    return _QUICK_CLIP_S if bench.quick else _CLIP_S

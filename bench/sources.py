"""The sources of the benchmarks: real clips where the folder of them is there, made ones where it is not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import run_plainly
from bench.workbench import Workbench
from reelmill.media.tool import ffmpeg_path

_SHARED_MEDIA = Path(__file__).parents[2] / "shared" / "media"
_QUIET = ("-y", "-nostdin", "-hide_banner", "-loglevel", "error")
_EASY, _DEMANDING = "long_1080p_363s.mp4", "bunny_51.mp4"
_MOST_LOOPED_FRAMES = 1000
_FRAMES_PER_S = 24
_ENCODE = (
    "-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-x264-params", "keyint=250",
    "-force_key_frames", "4", "-pix_fmt", "yuv420p",
    "-c:a", "aac", "-ac", "2", "-b:a", "192k",
)  # fmt: skip
"""An encode has a keyframe at its start and every 250 frames. Were those of the source there too, and at 25 a second
the starts of segments, cutting would seem to cost nothing: hence another rate, and a first GOP of four seconds."""


@dataclass(frozen=True)
class BenchSource:
    """A file to encode, under the name the figures get, and what it is in words."""

    name: str
    path: Path
    what: str

    @property
    def line(self) -> str:
        return f"{self.name}: {self.what}"


def easy_source(bench: Workbench) -> BenchSource:
    """1080p in which little moves."""
    if bench.given:
        return _given(bench)
    clip = _media() / _EASY
    if not clip.is_file():
        return _made(bench, "easy", 1080, noise="")
    out = _place(bench, "easy.mp4")
    if not out.exists():
        _copy_start(clip, out, bench.seconds)
    return BenchSource("easy", out, f"the first {bench.seconds} s of {clip.name} by stream copy, 1920x1080 at 30")


def demanding_source(bench: Workbench, height: int) -> BenchSource:
    """Real film of `height` lines, at a quality that leaves the detail in it."""
    if bench.given:
        return _given(bench)
    clip = _media() / _DEMANDING
    if not clip.is_file():
        return _made(bench, "demanding", height, noise=",noise=alls=12:allf=t")
    lines = bench.height(height)
    out = _place(bench, f"demanding-{lines}.mp4")
    if not out.exists():
        bench.say(f"making a source of {bench.seconds} s, {lines} lines, from {clip.name}")
        # The filter loops without a gap; `-stream_loop` leaves one wherever the sound is longer than the picture.
        picture = f"loop=loop=-1:size={_MOST_LOOPED_FRAMES},scale=-2:{lines}:flags=lanczos"
        inputs = ("-r", str(_FRAMES_PER_S), "-i", str(clip), "-stream_loop", "-1", "-i", str(clip))
        streams = ("-map", "0:v:0", "-map", "1:a:0", "-t", str(bench.seconds))
        run_plainly([ffmpeg_path(), *_QUIET, *inputs, *streams, "-vf", picture, *_ENCODE, str(out)])
    what = (
        f"{clip.name} (132 frames of film, 1280x720) looped to {bench.seconds} s of {_FRAMES_PER_S} a second "
        f"at {lines} lines, x264 CRF 12, keyframes 10.4 s apart, not where segments begin"
    )
    return BenchSource("demanding", out, what)


def without_audio(source: BenchSource, folder: Path) -> BenchSource:
    """The same video alone, so that sizes are those of the video."""
    out = folder / f"silent-{source.path.name}"
    run_plainly([ffmpeg_path(), *_QUIET, "-i", str(source.path), "-map", "0:v:0", "-c", "copy", str(out)])
    return BenchSource(source.name, out, f"{source.what}; video only")


def tiny_source(folder: Path, segments: int, frames_each: int, frames_per_s: int) -> Path:
    """Write a test picture of 128x72 with a keyframe at the start of each of so many segments."""
    out = folder / f"tiny-{segments}.mp4"
    picture = f"testsrc2=size=128x72:rate={frames_per_s}"
    run_plainly(
        [
            ffmpeg_path(), *_QUIET, "-f", "lavfi", "-i", picture, "-frames:v", str(segments * frames_each),
            "-c:v", "libx264", "-preset", "ultrafast", "-g", str(frames_each), "-keyint_min", str(frames_each),
            "-pix_fmt", "yuv420p", str(out),
        ]
    )  # fmt: skip
    return out


def small_source(folder: Path) -> Path:
    """Write two seconds of 320x180 with sound: a job in which everything but the encoding counts."""
    out = folder / "small.mp4"
    run_plainly(
        [
            ffmpeg_path(), *_QUIET, "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2",
            "-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=48000", *_ENCODE, str(out),
        ]
    )  # fmt: skip
    return out


def _given(bench: Workbench) -> BenchSource:
    assert bench.given is not None
    out = _place(bench, f"given{bench.given.suffix}")
    if not out.exists():
        _copy_start(bench.given, out, bench.seconds)
    return BenchSource("given", out, f"the first {bench.seconds} s of {bench.given.name} by stream copy")


def _made(bench: Workbench, name: str, height: int, *, noise: str) -> BenchSource:
    lines = bench.height(height)
    width = lines * 16 // 9 // 2 * 2
    out = _place(bench, f"made-{name}-{lines}.mp4")
    if not out.exists():
        bench.say(f"no folder of real clips: making a source of {bench.seconds} s, {lines} lines")
        picture = f"testsrc2=size={width}x{lines}:rate={_FRAMES_PER_S}:duration={bench.seconds}{noise}"
        tone = f"sine=frequency=440:duration={bench.seconds}:sample_rate=48000"
        inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone)
        run_plainly([ffmpeg_path(), *_QUIET, *inputs, *_ENCODE, str(out)])
    what = f"not a real clip: ffmpeg's test picture{' with noise' if noise else ''}, {bench.seconds} s, {width}x{lines}"
    return BenchSource(name, out, what)


def _copy_start(clip: Path, out: Path, seconds: int) -> None:
    streams = ("-map", "0:v:0", "-map", "0:a:0?")
    run_plainly([ffmpeg_path(), *_QUIET, "-i", str(clip), "-t", str(seconds), *streams, "-c", "copy", str(out)])


def _place(bench: Workbench, name: str) -> Path:
    folder = bench.root / "sources"
    folder.mkdir(exist_ok=True)
    return folder / name


def _media() -> Path:
    return Path(os.environ.get("REELMILL_TEST_MEDIA", _SHARED_MEDIA))

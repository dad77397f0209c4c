"""Packages for streaming, made as the flow makes them but without Prefect, and what a plain reader finds in them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from reelmill.encoding.whole_tracks import make_track
from reelmill.formats import FormatName
from reelmill.job import TranscodeJob
from reelmill.manifest import OutputReport
from reelmill.media.frame_index import pack_times, unpack_times
from reelmill.packaging.making import Made, make_package
from reelmill.packaging.verify import verify_package
from reelmill.planning.plan import OutputPlan
from reelmill.profiles.profile import Profile
from tests.ffmpeg_tool import FFMPEG, run_ffmpeg
from tests.pipeline import Encoded, Prepared, encode_video, prepare_job

_ATTEMPT = "test"
_TIMEOUT_S = 60
SEGMENT_S = 2


@dataclass(frozen=True, repr=False)
class PackageJob:
    """One finished package in `folder`, and what it was made by."""

    encoded: Encoded
    output: OutputPlan
    made: Made
    report: OutputReport
    folder: Path

    @property
    def rungs(self) -> list[str]:
        return [video.packaged.id for video in self.made.package.videos]


def streaming_profile(*heights: int, **changes: Any) -> Profile:
    """A quick profile with a rung of each height, and segments of SEGMENT_S seconds."""
    given: dict[str, Any] = {
        "version": 1, "name": "streaming", "formats": ("hls", "dash"),
        "video": {"codec": "h264", "preset": "ultrafast", "pixel_format": "yuv420p"},
        "ladder": [{"height": each, "crf": 30} for each in heights], "streaming": {"segment_s": SEGMENT_S},
        "audio": {"codec": "aac", "bitrate_bps": 64_000},
    }  # fmt: skip
    return Profile.model_validate(given | changes)


def prepare_package(
    path: Path,
    folder: Path,
    profile: Profile,
    formats: tuple[FormatName, ...] = ("hls", "dash"),
    segment_s: float = 2 * SEGMENT_S,
) -> Prepared:
    """Accept, probe and plan, with cuts that leave more segments than pieces, and more than one piece."""
    job = TranscodeJob(
        source=str(path), formats=formats, output=str(folder), name="clip", workers=2, segment_s=segment_s
    )  # fmt: skip
    return prepare_job(job, profile)


def make_packaged(
    path: Path, folder: Path, profile: Profile, formats: tuple[FormatName, ...] = ("hls", "dash")
) -> PackageJob:
    """Do the whole job into `folder`. Raises what the flow would fail with."""
    folder.mkdir(parents=True, exist_ok=True)
    return package(encode_video(prepare_package(path, folder, profile, formats), folder), folder)


def package(encoded: Encoded, folder: Path, *, in_ranges: bool | None = None) -> PackageJob:
    """Make the tracks and the package of an encoded video, and verify it. `in_ranges` overrules the profile."""
    plan, workspace = encoded.plan, encoded.workspace
    [output] = [each for each in plan.outputs if each.package]
    assert output.package is not None
    if in_ranges is not None:
        package = output.package.model_copy(update={"file_per_segment": not in_ranges})
        output = output.model_copy(update={"package": package, "file_name": f"clip-{in_ranges}.stream"})
    tracks = {
        each.id: make_track(plan.sources, each, workspace=workspace, strict=True, attempt=_ATTEMPT)
        for each in plan.tracks
    }
    out = folder / output.file_name
    made = make_package(
        plan, output, pieces=encoded.pieces, tracks=tracks, workspace=workspace, out=out, attempt=_ATTEMPT
    )  # fmt: skip
    rates = {plan.rendition(each).frame_rate for each in output.videos}
    expected = unpack_times(pack_times(encoded.index), rates.pop()) if rates and encoded.index else None
    report = verify_package(
        plan, output, made, out, expected=expected, pieces=encoded.pieces, tracks=tracks, workspace=workspace
    )  # fmt: skip
    return PackageJob(encoded, output, made, report, out)


def shown_frames(entry: Path, stream: str = "v:0") -> list[tuple[Fraction, str]]:
    """The time in seconds and the MD5 of every frame that ffmpeg decodes of a playlist or a manifest.

    A complaint of ffmpeg's is an AssertionError.
    """
    # ffmpeg reads WebVTT in DASH only when told that it may, and finds no files beside a relative path.
    options = ["-allowed_extensions", "ALL"] if entry.suffix == ".mpd" else []
    times = ["-fps_mode", "passthrough", "-enc_time_base", "demux"] if stream.startswith("v") else []
    argv = [
        FFMPEG,
        "-nostdin",
        "-v",
        "warning",
        "-copyts",
        *options,
        "-i",
        str(entry.absolute()),
        "-map",
        f"0:{stream}",
    ]
    done = subprocess.run([*argv, *times, "-f", "framemd5", "-"], capture_output=True, text=True, timeout=_TIMEOUT_S)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    base = next(Fraction(line.split(":", 1)[1].strip()) for line in lines if line.startswith("#tb 0:"))
    rows = [line.replace(" ", "").split(",") for line in lines if line and not line.startswith("#")]
    return [(int(row[2]) * base, row[5]) for row in rows]


def make_talk(path: Path, *, seconds: int = 10, size: str = "640x360", rate: str = "25") -> Path:
    """Write a film whose brightness is its second, with sound and text in English and German, and B-frames.

    In second n the luma is `luma_of(n)`.
    """
    texts: list[Path] = []
    for language in ("eng", "deu"):
        texts.append(path.with_name(f"{path.stem}.{language}.srt"))
        cues = (f"{n + 1}\n00:00:{n:02d},000 --> 00:00:{n:02d},900\n{language} {n}\n" for n in range(seconds))
        texts[-1].write_text("\n".join(cues))
    picture = f"nullsrc=size=32x18:rate={rate},geq=lum='{_FIRST_LUMA}+{_LUMA_STEP}*floor(T)':cb=128:cr=128"
    length = ("-t", str(seconds))
    run_ffmpeg(
        "-f", "lavfi", *length, "-i", f"{picture},scale={size.replace('x', ':')}:flags=neighbor",
        "-f", "lavfi", *length, "-i", "sine=frequency=440:sample_rate=48000",
        "-f", "lavfi", *length, "-i", "sine=frequency=880:sample_rate=48000", "-i", texts[0], "-i", texts[1],
        *(word for n in range(5) for word in ("-map", str(n))),
        *("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "40", "-crf", "12"),
        *("-c:a", "aac", "-b:a", "64k", "-ac", "2", "-c:s", "srt"),
        *(word for n in (0, 1) for word in (f"-metadata:s:a:{n}", f"language={('eng', 'deu')[n]}")),
        *(word for n in (0, 1) for word in (f"-metadata:s:s:{n}", f"language={('eng', 'deu')[n]}")),
        "-f", "matroska", path,
    )  # fmt: skip
    return path


_FIRST_LUMA, _LUMA_STEP = 30, 4


def luma_of(second: int) -> int:
    """The luma, in video range, of `make_talk`'s picture in a second."""
    return _FIRST_LUMA + _LUMA_STEP * second

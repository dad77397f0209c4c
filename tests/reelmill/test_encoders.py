"""The tables of encoders, tried on the ffmpeg that runs the jobs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg  # pyright: ignore[reportMissingTypeStubs] it has none
import pytest

from reelmill.profiles.encoders import AUDIO_ENCODERS, CONTAINER_SAMPLE_RATES, VIDEO_ENCODERS


def ffmpeg_takes(*arguments: str) -> bool:
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-v", "quiet", "-f", "lavfi", "-i", *arguments]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("codec", sorted(VIDEO_ENCODERS))
def test_video_encoders_take_what_the_table_says(codec: str, tmp_path: Path):
    table = VIDEO_ENCODERS[codec]
    quality = ["-crf", str(table.max_crf), *(["-b:v", "0"] if codec == "vp9" else [])]
    speed = ["-cpu-used" if codec == "vp9" else "-preset", table.presets[-1 if codec in ("vp9", "av1") else 0]]
    for pixel_format in table.pixel_formats:
        settings = ["-c:v", table.encoder, *quality, *speed, "-pix_fmt", pixel_format]
        assert ffmpeg_takes("testsrc2=size=64x64:rate=25:duration=0.08", *settings, str(tmp_path / "out.mkv"))


@pytest.mark.parametrize("codec", sorted(AUDIO_ENCODERS))
def test_audio_encoders_take_what_the_table_says(codec: str, tmp_path: Path):
    table = AUDIO_ENCODERS[codec]
    encoder = ["anullsrc=cl=mono:d=0.1", "-c:a", table.encoder]
    output = str(tmp_path / "out.mkv")
    assert [n for n in range(1, 9) if ffmpeg_takes(*encoder, "-ac", str(n), output)] == list(table.channel_counts)
    assert [rate for rate in table.sample_rates if not ffmpeg_takes(*encoder, "-ar", str(rate), output)] == []


@pytest.mark.parametrize(("container", "codec"), sorted(CONTAINER_SAMPLE_RATES))
def test_containers_take_the_sample_rates_the_table_says(container: str, codec: str, tmp_path: Path):
    table = AUDIO_ENCODERS[codec]
    argv = ["anullsrc=cl=mono:d=0.1", "-c:a", table.encoder, "-ar"]
    taken = tuple(
        rate for rate in table.sample_rates if ffmpeg_takes(*argv, str(rate), str(tmp_path / f"x.{container}"))
    )
    # AVI takes more than it can time (see the table), so it is narrower on purpose.
    listed = CONTAINER_SAMPLE_RATES[container, codec]
    assert set(listed) <= set(taken) if container == "avi" else taken == listed


@pytest.mark.parametrize(
    ("codec", "channels", "expected"), [("opus", 1, 256_000), ("mp3", 2, 320_000), ("aac", 2, 512_000)]
)
def test_highest_bitrate_follows_the_channels(codec: str, channels: int, expected: int, tmp_path: Path):
    table = AUDIO_ENCODERS[codec]
    low, high = table.bitrate_range_bps(channels)
    assert high == expected
    for bitrate in (low, high):
        settings = ["-c:a", table.encoder, "-b:a", str(bitrate), "-ac", str(channels)]
        assert ffmpeg_takes("anullsrc=cl=mono:r=48000:d=0.1", *settings, str(tmp_path / "out.mkv"))

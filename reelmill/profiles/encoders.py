"""The encoders a profile may choose: what each takes, and what it gets when nobody chooses.

The limits were read from, and tried on, ffmpeg itself: it passes some values on silently changed and fails on others
only after it has started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VideoCodec = Literal["h264", "hevc", "vp9", "av1"]
AudioCodec = Literal["aac", "opus", "mp3"]
PixelFormat = Literal["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]


@dataclass(frozen=True)
class VideoEncoder:
    """An encoder of ffmpeg. With `default_preset` None it is started without one."""

    encoder: str
    default_crf: int
    max_crf: int
    presets: tuple[str, ...]
    default_preset: str | None
    pixel_formats: tuple[PixelFormat, ...]
    max_bitrate_bps: int = 1_000_000_000


@dataclass(frozen=True)
class AudioEncoder:
    """An encoder of ffmpeg. `channel_counts` are those it takes in ffmpeg's default layout of so many channels."""

    encoder: str
    default_bitrate_per_channel_bps: int
    channel_counts: tuple[int, ...]
    sample_rates: tuple[int, ...]
    min_bitrate_bps: int
    max_bitrate_per_channel_bps: int
    max_bitrate_bps: int

    @property
    def max_channels(self) -> int:
        return max(self.channel_counts)

    def bitrate_range_bps(self, channels: int) -> tuple[int, int]:
        """Return the lowest and the highest bitrate of a track with this many channels, both allowed."""
        return self.min_bitrate_bps, min(self.max_bitrate_bps, channels * self.max_bitrate_per_channel_bps)


_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_EIGHT_AND_TEN_BIT: tuple[PixelFormat, ...] = (
    "yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le",
)  # fmt: skip

VIDEO_ENCODERS: dict[str, VideoEncoder] = {
    "h264": VideoEncoder("libx264", 23, 51, _X26X_PRESETS, "medium", _EIGHT_AND_TEN_BIT),
    "hevc": VideoEncoder("libx265", 28, 51, _X26X_PRESETS, "medium", _EIGHT_AND_TEN_BIT),
    # The preset of VP9 is its -cpu-used.
    "vp9": VideoEncoder("libvpx-vp9", 31, 63, tuple(str(speed) for speed in range(9)), "4", _EIGHT_AND_TEN_BIT),
    "av1": VideoEncoder(
        "libsvtav1", 35, 63, tuple(str(speed) for speed in range(14)), "8", ("yuv420p", "yuv420p10le"),
        max_bitrate_bps=100_000_000,
    ),
}  # fmt: skip

AUDIO_ENCODERS: dict[str, AudioEncoder] = {
    "aac": AudioEncoder(
        "aac", 64_000, (1, 2, 3, 4, 5, 6, 7, 8),
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
        min_bitrate_bps=8_000, max_bitrate_per_channel_bps=256_000, max_bitrate_bps=2_048_000,
    ),
    # libopus refuses 2.1 and 4.0, ffmpeg's layouts of three and four channels.
    "opus": AudioEncoder(
        "libopus", 64_000, (1, 2, 5, 6, 7, 8), (8000, 12000, 16000, 24000, 48000),
        min_bitrate_bps=6_000, max_bitrate_per_channel_bps=256_000, max_bitrate_bps=2_048_000,
    ),
    "mp3": AudioEncoder(
        "libmp3lame", 96_000, (1, 2), (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        min_bitrate_bps=8_000, max_bitrate_per_channel_bps=320_000, max_bitrate_bps=320_000,
    ),
}  # fmt: skip

CONTAINER_SAMPLE_RATES: dict[tuple[str, str], tuple[int, ...]] = {
    # Of lower rates a frame has half the samples, and AVI counts it twice.
    ("avi", "mp3"): (32000, 44100, 48000),
    ("flv", "mp3"): (11025, 22050, 44100, 48000),
    ("mp4", "mp3"): (16000, 22050, 24000, 32000, 44100, 48000),
}
"""Sample rates of (format, codec) where the container takes fewer than the encoder."""

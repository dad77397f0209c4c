"""The formats a job may ask for, and what each container can hold.

Codec names are ffmpeg's own. The lists hold what common players read, not all that a muxer would write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

FormatName = Literal["mp4", "mov", "mkv", "flv", "avi", "webm", "m4a", "mp3", "opus", "hls", "dash"]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)

MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Format:
    """A container: what it can hold, and what it gets when nobody chooses."""

    name: FormatName
    muxer: str
    video_codecs: tuple[str, ...]
    audio_codecs: tuple[str, ...]
    default_video: str | None
    default_audio: str
    subtitle_codecs: tuple[str, ...] = ()
    text_subtitles_as: str | None = None
    many_audio: bool = True
    chapters: bool = True
    variable_frame_rate: bool = True
    reorders_frames: bool = True
    """Whether frames can be stored in another order than they are shown in; where not, they must not be (B-frames)."""
    rotation: bool = False
    audio_times: bool = True
    """Whether packets of audio carry times; where they do not, gaps are filled with silence."""
    tick_s: Fraction | None = None
    """Time base the container forces on every stream; None when it takes the stream's own."""
    packaged: bool = False
    """Whether it is a folder of segments and playlists for streaming; all such formats of a job share one."""
    muxer_options: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_audio_only(self) -> bool:
        return not self.video_codecs


_PACKAGES: tuple[FormatName, ...] = ("hls", "dash")
_PCM = ("pcm_s16le", "pcm_s24le", "pcm_s32le")
_FORMATS = (
    Format(
        "mp4", "mp4", ("h264", "hevc", "av1", "vp9", "mpeg4"), ("aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"),
        "h264", "aac", subtitle_codecs=("mov_text",), text_subtitles_as="mov_text", rotation=True,
        muxer_options={"movflags": "+faststart"},
    ),
    Format(
        "mov", "mov", ("h264", "hevc", "prores", "mpeg4", "mjpeg"), ("aac", "mp3", "ac3", "eac3", "alac", *_PCM),
        "h264", "aac", subtitle_codecs=("mov_text",), text_subtitles_as="mov_text", rotation=True,
        muxer_options={"movflags": "+faststart"},
    ),
    Format(
        "mkv", "matroska",
        ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mpeg2video", "prores", "ffv1", "mjpeg", "theora"),
        ("aac", "mp3", "opus", "vorbis", "ac3", "eac3", "dts", "truehd", "flac", "alac", "mp2", *_PCM),
        "h264", "aac",
        subtitle_codecs=("subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"),
        text_subtitles_as="subrip", tick_s=MILLISECOND,
    ),
    Format(
        "flv", "flv", ("h264",), ("aac", "mp3"), "h264", "aac",
        many_audio=False, chapters=False, tick_s=MILLISECOND,
    ),
    Format(
        "avi", "avi", ("h264", "mpeg4", "mjpeg"), ("mp3", "ac3", "pcm_s16le"), "h264", "mp3",
        chapters=False, variable_frame_rate=False, reorders_frames=False, audio_times=False,
        # The priming of MP3 is before zero. To move all times for it would leave an empty place after the first frame.
        muxer_options={"avoid_negative_ts": "disabled"},
    ),
    Format(
        "webm", "webm", ("vp9", "vp8", "av1"), ("opus", "vorbis"), "vp9", "opus",
        subtitle_codecs=("webvtt",), text_subtitles_as="webvtt", tick_s=MILLISECOND,
    ),
    Format("m4a", "ipod", (), ("aac", "alac"), None, "aac"),
    Format("mp3", "mp3", (), ("mp3",), None, "mp3", many_audio=False, audio_times=False),
    Format("opus", "opus", (), ("opus",), None, "opus", many_audio=False),
    *(
        Format(
            name, "mp4", ("h264", "hevc", "av1"), ("aac",), "h264", "aac", subtitle_codecs=("webvtt",),
            text_subtitles_as="webvtt", chapters=False, audio_times=False, packaged=True,
        )
        for name in _PACKAGES
    ),
)  # fmt: skip
FORMATS: dict[str, Format] = {each.name: each for each in _FORMATS}

"""The ffmpeg commands that turn pieces and tracks into fragmented MP4 and WebVTT, packets untouched."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from reelmill.encoding.argv import QUIET, Argv, seconds
from reelmill.planning.plan import VideoRendition

_LEAST_TIMESCALE = 10_000
"""Below this, times of video could not be told apart from those of sound by less than a frame of sound."""
_FRAGMENTED = "+empty_moov+default_base_moof+delay_moov"
_FRAGMENT_US = "10000000"


def timescale_of(video: VideoRendition) -> int:
    """Return the ticks a second of the packaged rendition: a multiple of its own, so that every time stays exact."""
    own = video.time_base.denominator
    return own * -(-_LEAST_TIMESCALE // own)


def video_argv(tool: str, video: VideoRendition, join_list: Path, out: Path) -> Argv:
    """Join the pieces into a fragmented MP4: a fragment for every keyframe, times that count from the first frame."""
    return [
        tool, *QUIET, "-f", "concat", "-safe", "0", "-protocol_whitelist", "file", "-i", f"file:{join_list}",
        "-map", "0:v:0", "-map_metadata", "-1", "-c", "copy", "-video_track_timescale", str(timescale_of(video)),
        *(("-tag:v", "hvc1") if video.codec == "hevc" else ()),
        "-movflags", f"{_FRAGMENTED}+frag_keyframe", "-f", "mp4", f"file:{out}",
    ]  # fmt: skip


def audio_argv(tool: str, track: Path, start_s: Fraction, language: str | None, out: Path) -> Argv:
    """Turn the track into a fragmented MP4 whose sound starts at 0; an edit list takes the encoder's priming away."""
    return [
        tool, *QUIET, "-copyts", "-itsoffset", seconds(-start_s), "-f", "mov", "-protocol_whitelist", "file",
        "-i", f"file:{track}", "-map", "0:0", "-map_metadata", "-1", "-c", "copy",
        *(("-metadata:s:0", f"language={language}") if language else ()),
        "-movflags", _FRAGMENTED, "-frag_duration", _FRAGMENT_US, "-f", "mp4", f"file:{out}",
    ]  # fmt: skip


def subtitles_argv(tool: str, track: Path, start_s: Fraction, out: Path) -> Argv:
    """Write the track as one WebVTT file, with times that count from `start_s`."""
    return [
        tool, *QUIET, "-copyts", "-itsoffset", seconds(-start_s), "-f", "matroska", "-protocol_whitelist", "file",
        "-i", f"file:{track}", "-map", "0:0", "-map_metadata", "-1", "-c", "copy", "-f", "webvtt", f"file:{out}",
    ]  # fmt: skip

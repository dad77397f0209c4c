"""Sources as a probe would describe them, without a file, and the plans that are made of them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from reelmill.formats import FormatName
from reelmill.media.frame_index import EntryPoint, FrameIndex
from reelmill.media.source import AudioStream, Source, SubtitleStream, VideoStream
from reelmill.planning.plan import Plan
from reelmill.planning.planner import make_plan
from reelmill.profiles.profile import Profile


def made_video(**changes: Any) -> VideoStream:
    """A progressive 720p picture at 25 frames a second, stream 0."""
    given: dict[str, Any] = {
        "index": 0, "codec": "h264", "time_base": Fraction(1, 12800), "start_pts": 0, "end_pts": 12800 * 60,
        "language": None, "title": None, "dispositions": ("default",), "width": 1280, "height": 720,
        "sample_aspect_ratio": Fraction(1), "pixel_format": "yuv420p", "frame_rate": Fraction(25), "rotation_deg": 0,
        "field_order": "progressive", "colour": {}, "hdr": (),
    }  # fmt: skip
    return VideoStream.model_validate(given | changes)


def made_audio(index: int = 1, **changes: Any) -> AudioStream:
    """A stereo AAC track of 48 kHz."""
    given: dict[str, Any] = {
        "index": index, "codec": "aac", "time_base": Fraction(1, 48000), "start_pts": 0, "end_pts": 48000 * 60,
        "language": None, "title": None, "dispositions": (), "channels": 2, "layout": "stereo",
        "sample_rate_hz": 48000,
    }  # fmt: skip
    return AudioStream.model_validate(given | changes)


def made_subtitles(index: int = 2, **changes: Any) -> SubtitleStream:
    """A track of SubRip text."""
    given: dict[str, Any] = {
        "index": index, "codec": "subrip", "time_base": Fraction(1, 1000), "start_pts": 1000, "end_pts": 5000,
        "language": None, "title": None, "dispositions": (),
    }  # fmt: skip
    return SubtitleStream.model_validate(given | changes)


def made_source(**changes: Any) -> Source:
    """A minute of MP4 with one video and one audio stream; `video` None makes it sound only."""
    given: dict[str, Any] = {
        "location": "/media/in.mp4", "identity": "0" * 40, "size_bytes": 1_000_000, "version": "0",
        "demuxer": "mov", "start_s": Fraction(0), "duration_s": Fraction(60), "video": made_video(),
        "audio": (made_audio(),), "subtitles": (), "others": (), "more_video": (), "chapters": (), "tags": {},
        "warnings": (),
    }  # fmt: skip
    return Source.model_validate(given | changes)


def made_index(source: Source, *, seconds: int = 60, keyframe_s: int = 2) -> FrameIndex:
    """The frames of the source's video at its frame rate, with a clean keyframe every `keyframe_s` seconds."""
    video = source.video
    assert video is not None
    assert video.frame_rate is not None
    step = 1 / (video.frame_rate * video.time_base)
    first = video.start_pts or 0
    times = [first + round(number * step) for number in range(int(seconds * video.frame_rate))]
    entries = tuple(EntryPoint(pts, True) for pts in times[:: int(keyframe_s * video.frame_rate)])
    return FrameIndex(video.time_base, array("q", times), entries, round(step), "packets")


def late_source(**changes: Any) -> Source:
    """A source whose container starts at half a second, and its first frame half a second later."""
    return made_source(**{"start_s": Fraction(1, 2), "video": made_video(start_pts=12800)} | changes)


def made_plan(source: Source, formats: Sequence[FormatName] = ("mp4",), profile: Any = None, **choices: Any) -> Plan:
    """A plan for two workers, in segments of 5 s; `profile` are its fields, `choices` other arguments of make_plan."""
    given: dict[str, Any] = {"workers": 2, "segment_s": 5, "default_segment_s": 30, "most_encode_tasks": 1000}
    return make_plan(
        job_key="key", base_name="out", source=source, index=made_index(source) if source.video else None,
        profile=Profile.model_validate({"version": 1, "name": "test"} | (profile or {})), formats=formats,
        **given | choices,
    )  # fmt: skip

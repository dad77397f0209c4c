"""What a probe knows of a source: identity, streams, times, colour, chapters and tags. Frozen, and prints as JSON."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from reelmill.frozen import Frozen
from reelmill.storage.location import known_location
from reelmill.storage.readable import Pinned

FieldOrder = Literal["progressive", "top_first", "bottom_first", "unknown"]


class Stream(Frozen):
    """What every kind of stream has. `start_pts` and `end_pts` count in `time_base` seconds."""

    index: int
    codec: str
    time_base: Fraction
    start_pts: int | None
    end_pts: int | None
    language: str | None
    title: str | None
    dispositions: tuple[str, ...]

    @property
    def start_s(self) -> Fraction | None:
        return None if self.start_pts is None else self.start_pts * self.time_base

    @property
    def end_s(self) -> Fraction | None:
        return None if self.end_pts is None else self.end_pts * self.time_base


class Colour(Frozen):
    """Numbers of ISO/IEC 23091-2 (2 = not said); `range` 1 is limited, 2 is full, 0 is not said."""

    range: int = 0
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


class VideoStream(Stream):
    """A video stream as stored; `rotation_deg` is the turn, counter-clockwise, that shows it upright."""

    kind: Literal["video"] = "video"
    width: int
    height: int
    sample_aspect_ratio: Fraction
    pixel_format: str
    frame_rate: Fraction | None
    rotation_deg: int
    field_order: FieldOrder
    colour: Colour
    hdr: tuple[str, ...]
    """Static HDR metadata found on the first frame: mastering_display, content_light, dolby_vision."""

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in pixels after the rotation is applied."""
        return (self.height, self.width) if self.rotation_deg % 180 else (self.width, self.height)

    @property
    def shown_sample_aspect_ratio(self) -> Fraction:
        ratio = self.sample_aspect_ratio
        return 1 / ratio if self.rotation_deg % 180 else ratio


class AudioStream(Stream):
    kind: Literal["audio"] = "audio"
    channels: int
    layout: str
    sample_rate_hz: int


class SubtitleStream(Stream):
    kind: Literal["subtitle"] = "subtitle"

    @property
    def is_text(self) -> bool:
        return self.codec in ("subrip", "ass", "ssa", "webvtt", "mov_text", "text", "srt")


class OtherStream(Stream):
    """Data tracks, attachments and cover art: listed, so that what is left out can be named."""

    kind: Literal["data", "attachment", "cover"]


class Chapter(Frozen):
    start_s: Fraction
    end_s: Fraction
    title: str


class ClipSpan(Frozen):
    """What is used of a source: from `start_s` to before `end_s`, counted from the start of its container.

    Where frames come before or after it, that is the time of a frame: sound and picture begin and end together.
    `end_s` is None where all is used to the source's end.
    """

    start_s: Fraction
    end_s: Fraction | None

    @property
    def length_s(self) -> Fraction | None:
        return None if self.end_s is None else self.end_s - self.start_s


class Source(Frozen):
    """One probed source, pinned: see `Pinned` for `identity` and `version`. `location` is a path or an S3 address.

    All times are the source's own, also where only a `clip` of it is used.
    """

    location: str
    identity: str
    size_bytes: int
    version: str
    demuxer: str
    start_s: Fraction
    duration_s: Fraction
    video: VideoStream | None
    audio: tuple[AudioStream, ...]
    subtitles: tuple[SubtitleStream, ...]
    others: tuple[OtherStream, ...]
    more_video: tuple[VideoStream, ...]
    chapters: tuple[Chapter, ...]
    tags: dict[str, str]
    warnings: tuple[str, ...]
    clip: ClipSpan | None = None

    @property
    def zero_s(self) -> Fraction:
        """Return the time that is 0 in what is made of it: the start of its container, or of the clip."""
        return self.start_s + (self.clip.start_s if self.clip else 0)

    @property
    def used_s(self) -> Fraction:
        """Return how much of it is used, in seconds: all, or the clip."""
        if self.clip is None:
            return self.duration_s
        return (self.duration_s if self.clip.end_s is None else self.clip.end_s) - self.clip.start_s

    @property
    def name(self) -> str:
        """Name of its file, without the folder."""
        return known_location(self.location).name

    @property
    def pinned(self) -> Pinned:
        return Pinned(known_location(self.location), self.size_bytes, self.version, self.identity)

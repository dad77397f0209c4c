"""The plan of a job as data: what is encoded, in which pieces, and what goes into which output."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from pydantic import field_serializer

from reelmill.formats import FormatName
from reelmill.media.images import Image
from reelmill.media.source import Frozen, Source
from reelmill.planning.picture_plan import PicturesPlan
from reelmill.profiles.picture import Denoise, Position

_WHERE_IT_LIES: Any = {"image": {"location", "version"}}


class Segment(Frozen):
    """A half-open range `[start, end)` of presentation time, in the time base of its rendition; open where end is None.

    `entry_s` is the time to seek to before decoding, None for the start of the file. `frames` and `times_digest`
    (see `times_digest`) say exactly what the piece must hold; the digest is None where only the count is known.
    """

    number: int
    start: int
    end: int | None
    entry_s: Fraction | None
    frames: int
    times_digest: str | None
    keyframes: tuple[int, ...] = ()
    """Times inside the range at which the encoder must begin anew, besides the first."""
    is_whole: bool = False
    """Whether the segment is everything there is in the source."""


class PlannedOverlay(Frozen):
    """What is laid over the picture from `start_s` to before `end_s` of the source: an image, a text, or a clock.

    `height` is that of the image or of a line of text, `width` the image's; these and `margin` in pixels. `font` names
    the font by its content.
    """

    image: Image | None
    text: str | None
    position: Position
    margin: int
    width: int
    height: int
    opacity: float
    colour: str
    start_s: Fraction
    end_s: Fraction | None
    font: str | None = None


class VideoRendition(Frozen):
    """One encode of the video, of which every output that needs just this gets a copy.

    Sizes in pixels. The upright picture is cut to `crop` (x, y, width, height), scaled to `width` and `height`, and
    gets black `bars` at the left, top, right and bottom. `pad` counts the columns and rows repeated at the right and
    the bottom edge, for codecs that take even sizes only. With `codec` "copy" nothing is encoded and there are no
    segments.
    """

    id: str
    codec: str
    stream_index: int
    width: int
    height: int
    pad: tuple[int, int]
    sample_aspect_ratio: Fraction
    pixel_format: str
    crf: float | None
    bitrate_bps: int | None
    max_bitrate_bps: int | None
    vbv_buffer_bits: int | None
    preset: str | None
    keyframe_interval_frames: int | None
    b_frames: bool
    frame_rate: Fraction | None
    """Rate to resample to; None keeps every frame at its own time."""
    deinterlace: bool
    interlaced: bool
    time_base: Fraction
    first_pts: int
    """Time of the first frame, in the time base of the source's stream. Resampled times count from it."""
    fixed_keyframes: bool = False
    """Whether keyframes are where each segment says and nowhere else, and nothing refers over them."""
    crop: tuple[int, int, int, int] | None = None
    bars: tuple[int, int, int, int] = (0, 0, 0, 0)
    denoise: Denoise = "none"
    tone_map: bool = False
    """Whether HDR becomes SDR, in BT.709."""
    overlays: tuple[PlannedOverlay, ...] = ()
    segments: tuple[Segment, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the output's picture."""
        left, top, right, bottom = self.bars
        return left + self.width + self.pad[0] + right, top + self.height + self.pad[1] + bottom

    @property
    def keyframes(self) -> tuple[int, ...]:
        """Times at which a keyframe is planned, where keyframes are fixed."""
        return tuple(time for segment in self.segments for time in (segment.start, *segment.keyframes))

    @property
    def frames(self) -> int:
        return sum(segment.frames for segment in self.segments)

    @property
    def recipe(self) -> str:
        """Everything that decides the samples of a piece except its range, as one string."""
        return self.model_dump_json(exclude={"id": True, "segments": True, "overlays": {"__all__": _WHERE_IT_LIES}})


class TrackRendition(Frozen):
    """One audio or subtitle track made whole, never cut; with `codec` equal to the source's and `copies`, remuxed."""

    id: str
    kind: Literal["audio", "subtitle"]
    stream_index: int
    codec: str
    copies: bool
    container: str
    bitrate_bps: int | None = None
    channels: int | None = None
    layouts: str | None = None
    sample_rate_hz: int | None = None
    fills_gaps: bool = False
    """Whether silence stands for the time before the track starts and in its gaps, where packets carry no times."""
    language: str | None = None
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    cost: float = 0.0

    @property
    def recipe(self) -> str:
        return self.model_dump_json(exclude={"id", "language", "title", "dispositions", "cost"})


class LeftOut(Frozen):
    """Something of the source that an output can't hold, and why."""

    what: str
    reason: str


class PackagePlan(Frozen):
    """How the renditions of one output are offered for streaming. `rungs` are video renditions, the largest first."""

    formats: tuple[FormatName, ...]
    rungs: tuple[str, ...]
    default_audio: str | None
    file_per_segment: bool
    segment_s: Fraction
    frame_rate: Fraction | None
    """What the video is said to have; None without video."""


class OutputPlan(Frozen):
    """One output file: which renditions it is muxed from. Or a folder of many: which renditions are in `package`."""

    format: FormatName
    file_name: str
    video: str | None
    tracks: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    avi_frame_rate: Fraction | None = None
    package: PackagePlan | None = None

    @property
    def videos(self) -> tuple[str, ...]:
        """Every video rendition that is in the output."""
        if self.package is not None:
            return self.package.rungs
        return (self.video,) if self.video else ()

    @property
    def label(self) -> str:
        """What the output is called where formats are listed: all of them, of a folder."""
        return ", ".join(self.package.formats) if self.package else self.format

    @property
    def public_name(self) -> str:
        """Key of the output below the job's own place; that of a folder ends in a slash."""
        return f"{self.file_name}/" if self.package else self.file_name


class EncodeTask(Frozen):
    """One (segment, rendition) pair, in the order of work: longest first. `cost` is in CPU seconds, about."""

    rendition: str
    segment: int
    cost: float


class Plan(Frozen):
    """Everything a job will do, before it does anything."""

    job_key: str
    source: Source
    video: tuple[VideoRendition, ...]
    tracks: tuple[TrackRendition, ...]
    outputs: tuple[OutputPlan, ...]
    order: tuple[EncodeTask, ...]
    encoder_threads: int
    source_frames: int | None
    index_origin: Literal["packets", "decode"]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    pictures: PicturesPlan | None = None

    @property
    def public_names(self) -> tuple[str, ...]:
        """Return the name of everything that will be published; that of a folder ends in a slash."""
        pictures = self.pictures.sets if self.pictures else ()
        return tuple(each.public_name for each in (*self.outputs, *pictures))

    def rendition(self, rendition_id: str) -> VideoRendition:
        return next(each for each in self.video if each.id == rendition_id)

    def track(self, track_id: str) -> TrackRendition:
        return next(each for each in self.tracks if each.id == track_id)

    @field_serializer("reasons", "warnings")
    def _as_list(self, value: tuple[str, ...]) -> list[str]:
        return list(value)

"""The plan of a job as data: what is encoded, in which pieces, and what goes into which output."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from pydantic import field_serializer

from reelmill.formats import FormatName
from reelmill.frozen import Frozen
from reelmill.media.images import Image
from reelmill.media.source import Colour, Source
from reelmill.planning.picture_plan import PicturesPlan
from reelmill.profiles.picture import Denoise, Position

_NO_PART_OF_RECIPE: Any = {
    "id": True, "segments": True, "overlays": {"__all__": {"image": {"location", "version"}}}, "subtitles": {"name"},
}  # fmt: skip


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
    is_only: bool = False
    """Whether nothing else is made of the source, so that no other piece has to fit to it."""


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


class JoinedPicture(Frozen):
    """What makes the pieces of several sources fit together.

    Frames get the time base of the rendition first. `encoder_rate` is the one frame rate that encoders are told of, in
    frames a second. `colour` is what is made of the source's own, None where that stays. `offset_s` is when the source
    begins in the result.
    """

    encoder_rate: Fraction
    colour: Colour | None
    offset_s: Fraction


class PlannedSubtitles(Frozen):
    """Subtitles that are drawn into the picture, the last of all, `name` and `lines` for those who read the plan.

    `digest` names what is drawn (see `Subtitles`), `font` the font, by their content. `shown_width` is that of the
    picture in square pixels; it, `line_height` and `margins` (side, below) are in pixels. Colour and sizes are those of
    lines that have none of their own.
    """

    name: str
    digest: str
    lines: int
    shown_width: int
    line_height: int
    margins: tuple[int, int]
    colour: str
    font: str


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
    may_vary: bool = False
    """Whether segments of different quality must fit together, so that one can be encoded better than the others."""
    overlays: tuple[PlannedOverlay, ...] = ()
    subtitles: PlannedSubtitles | None = None
    joined: JoinedPicture | None = None
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
        return self.model_dump_json(exclude=_NO_PART_OF_RECIPE)


class Sound(Frozen):
    """What one of several sources gives to a track: a stream of it, silence where None; so long that the next fits.

    `length_s` is None where it is as long as it is.
    """

    stream_index: int | None
    length_s: Fraction | None


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
    sounds: tuple[Sound, ...] = ()
    """Of several sources: what each one gives, in their order, one after the other at `joined_rate_hz`."""
    joined_rate_hz: int = 0
    joined_layout: str = ""

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


class Encode(Frozen):
    """One segment of one rendition: what one encoder makes. The rendition is without its segments."""

    rendition: VideoRendition
    segment: Segment

    @property
    def label(self) -> str:
        return f"{self.rendition.id}-{self.segment.number:05d}"


class EncodeTask(Frozen):
    """One segment of one rendition, or of several that share its decode. `cost` is in CPU seconds, about."""

    renditions: tuple[str, ...]
    segment: int
    cost: float

    @property
    def name(self) -> str:
        """The renditions as one word."""
        return "+".join(self.renditions)

    @property
    def label(self) -> str:
        return f"{self.name}-{self.segment:05d}"


class Part(Frozen):
    """One of several sources that become one video: its renditions, with the segments that are made of it.

    Their ranges are times of the source; they have the numbers of the whole, and so have the renditions the names.
    """

    source: Source
    video: tuple[VideoRendition, ...]


class Plan(Frozen):
    """Everything a job will do, before it does anything.

    Of several sources `source` is the first, `parts` has each, and the renditions in `video` have the pieces of all, at
    the times of the result, counted as the first source counts.
    """

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
    parts: tuple[Part, ...] = ()

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(each.source for each in self.parts) or (self.source,)

    @property
    def used_s(self) -> Fraction:
        """Return how long what is used of the sources lasts together, in seconds."""
        return sum((each.used_s for each in self.sources), Fraction(0))

    def encode(self, rendition_id: str, number: int) -> tuple[Source, Encode]:
        """Return what a piece is made of: a source, and the rendition with the range of the source."""
        for source, video in ((each.source, each.video) for each in self.parts or (self,)):
            rendition = next(each for each in video if each.id == rendition_id)
            before = rendition.segments[0].number if rendition.segments else 0
            if number < before + len(rendition.segments):
                bare = rendition.model_copy(update={"segments": ()})
                return source, Encode(rendition=bare, segment=rendition.segments[number - before])
        raise LookupError(f"{rendition_id} has no segment {number}")

    def encodes_of(self, task: EncodeTask) -> tuple[Source, tuple[Encode, ...]]:
        """Return the source of a task and what is made of it, in the order of its renditions."""
        made = [self.encode(each, task.segment) for each in task.renditions]
        return made[0][0], tuple(encode for _, encode in made)

    def resumed_from(self, earlier: Plan) -> Plan:
        """Return the plan of an earlier run of the job, for this machine and with the sources where they are now."""
        parts = tuple(
            was.model_copy(update={"source": now.source}) for was, now in zip(earlier.parts, self.parts, strict=True)
        )
        here = {"source": self.source, "parts": parts, "encoder_threads": self.encoder_threads}
        return earlier.model_copy(update=here)

    @property
    def public_names(self) -> tuple[str, ...]:
        """Return the name of everything that will be published; that of a folder ends in a slash."""
        pictures = self.pictures.sets if self.pictures else ()
        return tuple(each.public_name for each in (*self.outputs, *pictures))

    @property
    def encodes(self) -> int:
        """How many pieces there will be."""
        return sum(len(each.segments) for each in self.video)

    @property
    def subtitles(self) -> PlannedSubtitles | None:
        """Return the subtitles that are drawn into the picture, as they are in the first rendition that has them."""
        return next((each.subtitles for each in self.video if each.subtitles is not None), None)

    def rendition(self, rendition_id: str) -> VideoRendition:
        return next(each for each in self.video if each.id == rendition_id)

    def track(self, track_id: str) -> TrackRendition:
        return next(each for each in self.tracks if each.id == track_id)

    @field_serializer("reasons", "warnings")
    def _as_list(self, value: tuple[str, ...]) -> list[str]:
        return list(value)

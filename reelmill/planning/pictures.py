"""Decides which frames become pictures, at which size and in which files. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, floor

from reelmill.errors import LimitOutputs
from reelmill.media.frame_index import FrameIndex
from reelmill.media.source import OtherStream, Source, VideoStream
from reelmill.planning.picture_plan import ENDINGS, PictureLook, PictureSet, PicturesPlan, Span, Stills
from reelmill.planning.picture_runs import lay_out_runs
from reelmill.planning.segments import FILTER_LEAD_FRAMES
from reelmill.planning.video import is_interlaced
from reelmill.profiles.pictures import (
    LARGEST_SIDE,
    PictureSettings,
    PosterSettings,
    PreviewSettings,
    SpriteSettings,
    ThumbnailSettings,
)

MOST_PICTURES = 20_000
"""Of one set. A job that wants more has mistaken its interval."""
_CANDIDATES = 9
"""Frames that a poster is chosen from."""
_MOST_TILES = 400
_DEFAULT_THUMBNAILS = 10
_COVER_CODECS = ("mjpeg", "png", "bmp", "webp")
_HD_LINES = 720
_HDR = {16: "pq", 18: "hlg"}


def plan_pictures(
    source: Source, index: FrameIndex | None, wanted: PictureSettings, base_name: str, *, careful: bool
) -> tuple[PicturesPlan | None, tuple[str, ...]]:
    """Return the pictures that are taken, and a warning for those that this source can't give.

    With `careful`, or where the times of the frames make no sense, decoding starts at the start of the file. Raises
    LimitOutputs where a set would have more than MOST_PICTURES.
    """
    video = source.video
    if video is None or index is None:
        return _of_cover(source, wanted, base_name)
    timeline = _Timeline(source, video, index)
    sets = tuple(_sets(wanted, timeline, base_name))
    interlaced, says_colours = is_interlaced(video), video.colour.matrix != 2
    look = PictureLook.model_validate(
        {
            "stream_index": video.index, "counts_frames": index.fault is not None, "deinterlace": interlaced,
            "hdr": _HDR.get(video.colour.transfer),
            "matrix": "bt709" if not says_colours and min(video.width, video.height) >= _HD_LINES else None,
        }
    )  # fmt: skip
    if index.fault is not None:
        sets = tuple(each.model_copy(update={"frames": _numbers(each.frames, index)}) for each in sets)
    lead = FILTER_LEAD_FRAMES if interlaced else 0
    stills = lay_out_runs(index, sets, lead, video.width * video.height / 1e6, from_start=careful)
    return PicturesPlan(look=look, sets=sets, stills=tuple(stills)), ()


def _numbers(frames: tuple[int, ...], index: FrameIndex) -> tuple[int, ...]:
    return tuple(bisect_left(index.times, frame) for frame in frames)


def _of_cover(source: Source, wanted: PictureSettings, base_name: str) -> tuple[PicturesPlan | None, tuple[str, ...]]:
    """Take the poster of a source without video from its cover art, where it has any."""
    cover = next((each for each in source.others if _is_usable_cover(each)), None)
    poster = wanted.poster if cover else None
    missing = [name for name in PictureSettings.model_fields if getattr(wanted, name) is not None]
    plan = None
    if cover is not None and poster is not None:
        missing.remove("poster")
        made = PictureSet(
            kind="poster", file_name=_name(base_name, "poster", poster.format), format=poster.format,
            quality=poster.quality, width=poster.width, height=None, frames=(0,), times_s=(Fraction(0),),
            end_s=source.used_s,
        )  # fmt: skip
        stills = Stills(number=0, spans=(Span(entry_s=None, end=None, frames={"poster": (0,)}),), cost=0.1)
        look = PictureLook(stream_index=cover.index, counts_frames=True)
        plan = PicturesPlan(look=look, sets=(made,), stills=(stills,))
    return plan, (f"no {', '.join(missing)}: {source.name} has no video",) if missing else ()


def _is_usable_cover(stream: OtherStream) -> bool:
    return stream.kind == "cover" and stream.codec in _COVER_CODECS


class _Timeline:
    """The frames of a video by the time of a player, which counts from the start of the container, or of the clip."""

    def __init__(self, source: Source, video: VideoStream, index: FrameIndex):
        self._index = index
        self._video = video
        self._base, self._origin_s = index.time_base, source.zero_s
        self.first_s = index.first * index.time_base - source.zero_s
        self.end_s = index.end * index.time_base - source.zero_s

    @property
    def duration_s(self) -> Fraction:
        return self.end_s - self.first_s

    def shown_at(self, times_s: Sequence[Fraction]) -> tuple[int, ...]:
        """Return the frame that is shown at each of the times; before the start the first one, after the end the last.

        Frames are named by their time in the stream's time base.
        """
        times = self._index.times
        ticks = (floor((each + self._origin_s) / self._base) for each in times_s)
        return tuple(times[max(bisect_right(times, tick) - 1, 0)] for tick in ticks)

    def every(self, step_s: Fraction) -> list[Fraction]:
        """Return the times from the first frame on, to before the end."""
        count = max(ceil(self.duration_s / step_s), 1)
        if count > MOST_PICTURES:
            raise LimitOutputs(f"{count} pictures, one every {float(step_s):g} s, are more than {MOST_PICTURES}")
        return [self.first_s + number * step_s for number in range(count)]

    def middles(self, count: int) -> list[Fraction]:
        """Return the middle of each of so many equal shares of the video."""
        return [self.first_s + self.duration_s * Fraction(2 * number + 1, 2 * count) for number in range(count)]

    def size(self, width: int) -> tuple[int, int]:
        """Return the size in square pixels of the upright picture, at most so wide and never enlarged."""
        (shown_width, shown_height), ratio = self._video.shown_size, self._video.shown_sample_aspect_ratio
        wide = shown_width * max(ratio, Fraction(1))
        high = shown_height / min(ratio, Fraction(1))
        scale = min(Fraction(1), width / wide, LARGEST_SIDE / high)
        return max(round(wide * scale), 1), max(round(high * scale), 1)


def _sets(wanted: PictureSettings, timeline: _Timeline, base_name: str) -> Iterator[PictureSet]:
    if wanted.poster:
        yield _poster(wanted.poster, timeline, base_name)
    if wanted.thumbnails:
        yield _thumbnails(wanted.thumbnails, timeline, base_name)
    if wanted.sprites:
        yield _sprites(wanted.sprites, timeline, base_name)
    if wanted.preview:
        yield _preview(wanted.preview, timeline, base_name)


def _poster(wanted: PosterSettings, timeline: _Timeline, base_name: str) -> PictureSet:
    width, height = timeline.size(wanted.width)
    moment_s = wanted.moment_s(timeline.first_s, timeline.duration_s)
    times_s = timeline.middles(_CANDIDATES) if moment_s is None else [moment_s]
    return PictureSet(
        kind="poster", file_name=_name(base_name, "poster", wanted.format), format=wanted.format,
        quality=wanted.quality, width=width, height=height, chosen=moment_s is None,
        frames=timeline.shown_at(times_s), times_s=tuple(times_s), end_s=timeline.end_s,
    )  # fmt: skip


def _thumbnails(wanted: ThumbnailSettings, timeline: _Timeline, base_name: str) -> PictureSet:
    width, height = timeline.size(wanted.width)
    if wanted.every_s is not None:
        times_s = timeline.every(_exact(wanted.every_s))
    else:
        times_s = timeline.middles(wanted.count or _DEFAULT_THUMBNAILS)
    return PictureSet(
        kind="thumbnails", file_name=f"{base_name}.thumbnails", format=wanted.format, quality=wanted.quality,
        width=width, height=height, frames=timeline.shown_at(times_s), times_s=tuple(times_s), end_s=timeline.end_s,
    )  # fmt: skip


def _sprites(wanted: SpriteSettings, timeline: _Timeline, base_name: str) -> PictureSet:
    width, height = timeline.size(wanted.tile_width)
    step_s = _exact(wanted.every_s) if wanted.every_s else Fraction(ceil(timeline.duration_s / _MOST_TILES) or 1)
    times_s = timeline.every(step_s)
    columns = min(wanted.columns, len(times_s))
    rows = min(wanted.rows, ceil(len(times_s) / columns), max(LARGEST_SIDE // height, 1))
    return PictureSet(
        kind="sprites", file_name=f"{base_name}.sprites", format=wanted.format, quality=wanted.quality,
        width=width, height=height, columns=columns, rows=rows,
        frames=timeline.shown_at(times_s), times_s=tuple(times_s), end_s=timeline.end_s,
    )  # fmt: skip


def _preview(wanted: PreviewSettings, timeline: _Timeline, base_name: str) -> PictureSet:
    width, height = timeline.size(wanted.width)
    length_s = min(_exact(wanted.snippet_s), timeline.duration_s)
    if wanted.start_s is not None:
        latest_s = timeline.end_s - length_s
        starts_s = [min(max(_exact(wanted.start_s), timeline.first_s), latest_s)]
    elif length_s * wanted.snippets > timeline.duration_s:
        starts_s, length_s = [timeline.first_s], timeline.duration_s
    else:
        starts_s = [middle - length_s / 2 for middle in timeline.middles(wanted.snippets)]
    steps = range(max(floor(length_s * wanted.frame_rate), 1))
    times_s = [start + Fraction(step, wanted.frame_rate) for start in starts_s for step in steps]
    return PictureSet(
        kind="preview", file_name=_name(base_name, "preview", wanted.format), format=wanted.format,
        quality=wanted.quality, width=width, height=height, frame_rate=wanted.frame_rate, loop=wanted.loop,
        frames=timeline.shown_at(times_s), times_s=tuple(times_s), end_s=timeline.end_s,
    )  # fmt: skip


def _name(base_name: str, kind: str, format: str) -> str:
    return f"{base_name}.{kind}.{ENDINGS[format]}"


def _exact(value: float) -> Fraction:
    return Fraction(value).limit_denominator(1000)

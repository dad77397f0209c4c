"""Decides which subtitles are drawn into the picture, how large, and where the video is not cut for their sake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from reelmill.errors import InvalidWatermark
from reelmill.media.frame_index import FrameIndex
from reelmill.media.source import Source, SubtitleStream
from reelmill.media.subtitles import Subtitles
from reelmill.planning.plan import PlannedSubtitles, VideoRendition
from reelmill.profiles.subtitles import BurnedSubtitles

_SMALLEST_LINE = 14
"""Pixels below which nobody can read a line, however small the picture."""
_SPARE_S = Fraction(1, 500)
_WHITE, _WHITE_IN_PQ, _WHITE_IN_HLG = "ffffff", "949494", "bfbfbf"
"""203 cd/m2, the white of text beside HDR (ITU-R BT.2408): 58 % of PQ, 75 % of HLG."""


def choose_track(source: Source, wanted: str) -> SubtitleStream:
    """Return the text track that is asked for. Raises InvalidWatermark that names those there are."""
    named = [each for each in source.subtitles if _is_named(each, wanted)]
    full = [each for each in named if "forced" not in each.dispositions]
    fitting = [each for each in (*full, *named) if each.is_text]
    if fitting:
        return fitting[0]
    if named:
        raise InvalidWatermark(f"{source.name}: {_told(named[0])} are pictures, and only text is burned in")
    there = "; ".join(map(_told, source.subtitles)) or "none"
    raise InvalidWatermark(f"{source.name} has no subtitles {wanted!r}; there are: {there}")


def _is_named(track: SubtitleStream, wanted: str) -> bool:
    if wanted in ("default", "forced"):
        return wanted in track.dispositions
    if wanted.isdigit():
        return track.index == int(wanted)
    return (track.language or "").lower() == wanted.lower()


def _told(track: SubtitleStream) -> str:
    marks = [each for each in ("default", "forced") if each in track.dispositions]
    return f"{track.index} ({', '.join((track.language or 'no language', track.codec, *marks))})"


def planned_subtitles(
    subtitles: Subtitles, wanted: BurnedSubtitles, rendition: VideoRendition, transfer: int, font: str
) -> PlannedSubtitles:
    """Return how they are drawn into the picture of a rendition. `transfer` is the source's; `font` names the font."""
    width, height = rendition.size
    shown_width = round(width * rendition.sample_aspect_ratio)
    hdr = {16: _WHITE_IN_PQ, 18: _WHITE_IN_HLG}
    return PlannedSubtitles(
        name=subtitles.name,
        digest=subtitles.digest,
        lines=len(subtitles.lines),
        shown_width=shown_width,
        line_height=max(_SMALLEST_LINE, round(min(shown_width, height) * wanted.height)),
        margins=(round(shown_width * wanted.margin), round(height * wanted.margin)),
        colour=_WHITE if rendition.tone_map else hdr.get(transfer, _WHITE),
        font=font,
    )


def spans_not_cut(
    subtitles: Subtitles, source: Source, index: FrameIndex, rates: Iterable[Fraction | None]
) -> tuple[tuple[int, int], ...]:
    """Return the spans, in the time base of the index, inside which a cut would be seen; ascending and apart.

    `rates` are those of the renditions: where frames are made at another rate, a cut is only as exact as a frame.
    """
    spare_s = max((1 / each for each in rates if each is not None), default=_SPARE_S)
    spans = sorted(
        (Fraction(start, 100) - spare_s + source.start_s, Fraction(end, 100) + spare_s + source.start_s)
        for start, end in subtitles.tangles
    )
    ticks = [(int(start / index.time_base) - 1, int(end / index.time_base) + 1) for start, end in spans]
    return tuple(_merged(ticks))


def _merged(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    open_span: tuple[int, int] | None = None
    for start, end in spans:
        if open_span is not None and start <= open_span[1]:
            open_span = open_span[0], max(open_span[1], end)
            continue
        if open_span is not None:
            yield open_span
        open_span = start, end
    if open_span is not None:
        yield open_span

"""The WebVTT file of the sprites: when which part of which sheet is shown (W3C WebVTT, and Media Fragments 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from reelmill.planning.picture_plan import PictureSet


def sprite_cues(sprites: PictureSet) -> str:
    """Return the file: a cue for each tile, from its own time, the first from 0, to the next one's time or the end."""
    return "WEBVTT\n\n" + "\n".join(_cues(sprites))


def sheet_name(sprites: PictureSet, number: int) -> str:
    """Return the file name of a sheet; they count from 1."""
    return f"{number:05d}.{sprites.ending}"


def _cues(sprites: PictureSet) -> Iterator[str]:
    per_sheet = sprites.columns * sprites.rows
    starts_ms = [0, *(_milliseconds(each) for each in sprites.times_s[1:]), _milliseconds(sprites.end_s)]
    for number, (start_ms, end_ms) in enumerate(pairwise(starts_ms)):
        sheet, place = divmod(number, per_sheet)
        row, column = divmod(place, sprites.columns)
        assert sprites.height is not None
        part = f"{column * sprites.width},{row * sprites.height},{sprites.width},{sprites.height}"
        yield (
            f"{_clock(start_ms)} --> {_clock(max(end_ms, start_ms + 1))}\n"
            f"{sheet_name(sprites, sheet + 1)}#xywh={part}\n"
        )


def _milliseconds(time_s: Fraction) -> int:
    return round(time_s * 1000)


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"

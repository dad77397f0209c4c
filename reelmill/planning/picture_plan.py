"""The pictures of a plan as data: which frames, at which size, decoded by which runs, and into which files."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from reelmill.frozen import Frozen

PictureKind = Literal["poster", "thumbnails", "sprites", "preview"]
ENDINGS = {"jpeg": "jpg", "webp": "webp", "png": "png", "gif": "gif"}
CUES_FILE = "sprites.vtt"


class PictureLook(Frozen):
    """How the frames of a stream become pictures: upright, in square pixels, in the colours of the web (sRGB)."""

    stream_index: int
    counts_frames: bool
    """Whether frames are named by their number, in the order of the decoder, and not by their time."""
    deinterlace: bool = False
    hdr: Literal["pq", "hlg"] | None = None
    matrix: str | None = None
    """Matrix of the colours where the stream doesn't say it."""


class PictureSet(Frozen):
    """One output of pictures. A frame stands there as often as it is shown; times are those of a player, in seconds.

    `height` is None where only the decoder will know it. `frames` of a poster that is `chosen` are candidates.
    """

    kind: PictureKind
    file_name: str
    format: Literal["jpeg", "webp", "png", "gif"]
    quality: int
    width: int
    height: int | None
    frames: tuple[int, ...]
    times_s: tuple[Fraction, ...]
    end_s: Fraction
    chosen: bool = False
    columns: int = 1
    rows: int = 1
    frame_rate: int = 1
    loop: bool = False

    @property
    def is_folder(self) -> bool:
        return self.kind in ("thumbnails", "sprites")

    @property
    def public_name(self) -> str:
        """Key of the output below the job's own place; that of a folder ends in a slash."""
        return f"{self.file_name}/" if self.is_folder else self.file_name

    @property
    def ending(self) -> str:
        return ENDINGS[self.format]

    @property
    def distinct(self) -> tuple[int, ...]:
        """Return each frame once, in the order in which they are shown."""
        return tuple(sorted(set(self.frames)))


class Span(Frozen):
    """One run of the decoder, for the frames that some sets want of it. `entry_s` and `end` are as in `Segment`."""

    entry_s: Fraction | None
    end: int | None
    frames: dict[PictureKind, tuple[int, ...]]


class Stills(Frozen):
    """What one task takes from the source, for all sets of pictures. `cost` is in CPU seconds, about."""

    number: int
    spans: tuple[Span, ...]
    cost: float

    @property
    def kinds(self) -> tuple[PictureKind, ...]:
        """Return the sets that want something of it."""
        return tuple(dict.fromkeys(kind for span in self.spans for kind in span.frames))


class PicturesPlan(Frozen):
    """Every picture that a job takes from its source. Every frame of a set is in one of the `stills`, in order."""

    look: PictureLook
    sets: tuple[PictureSet, ...]
    stills: tuple[Stills, ...]

    def set_of(self, kind: PictureKind) -> PictureSet:
        return next(each for each in self.sets if each.kind == kind)

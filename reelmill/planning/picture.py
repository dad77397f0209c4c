"""Decides the shape of the picture: what is cut off, to what size it is scaled, and what is laid over it where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from reelmill.errors import InvalidProfile, InvalidWatermark
from reelmill.media.images import Image
from reelmill.media.source import VideoStream
from reelmill.planning.plan import PlannedOverlay
from reelmill.profiles.picture import Overlay
from reelmill.profiles.video import VideoSettings

_SMALLEST = 16
_MOST_PIXELS_THAT_MOVE = 200_000_000
"""Of all frames of a moving image together, as they are shown: every encode holds them in memory, 4 bytes each."""


@dataclass(frozen=True)
class Layout:
    """How the upright picture becomes the output's, in pixels.

    `crop` is x, y, width and height of what is kept of it; `bars` are what is added at the left, top, right and bottom.
    """

    crop: tuple[int, int, int, int] | None
    width: int
    height: int
    bars: tuple[int, int, int, int]
    sample_aspect_ratio: Fraction

    @property
    def is_as_it_was(self) -> bool:
        return self.crop is None and not any(self.bars)


def kept_size(video: VideoStream, wanted: VideoSettings) -> tuple[int, int]:
    """Return width and height of the upright picture without what is cut off. Raises InvalidProfile."""
    width, height = video.shown_size
    if wanted.crop is None:
        return width, height
    left = width - wanted.crop.left - wanted.crop.right, height - wanted.crop.top - wanted.crop.bottom
    if min(left) < _SMALLEST:
        raise InvalidProfile(
            f"video.crop: leaves {max(left[0], 0)}x{max(left[1], 0)} of a picture of {width}x{height}; "
            f"allowed: to leave {_SMALLEST} rows and columns"
        )
    return left


def layout(video: VideoStream, wanted: VideoSettings) -> Layout:
    """Return the layout that the settings ask for. Raises InvalidProfile where nothing would be left."""
    width, height = kept_size(video, wanted)
    x, y = (wanted.crop.left, wanted.crop.top) if wanted.crop else (0, 0)
    ratio = video.shown_sample_aspect_ratio
    box = (wanted.width, wanted.height)
    bars = (0, 0, 0, 0)
    if wanted.scale_mode == "fit" or box[0] is None or box[1] is None:
        size = fitted_size((width, height), *box, upscale=wanted.allow_upscale)
        ratio = _sample_aspect_ratio((width, height), ratio, size)
    else:
        size = box[0], box[1]
        shape = Fraction(width, height) * ratio
        if wanted.scale_mode == "fill":
            x, y, width, height = _middle_of(x, y, width, height, Fraction(*size) / ratio)
        if wanted.scale_mode == "pad":
            size, bars = _between_bars(size, shape, None if wanted.allow_upscale else (width * ratio, height))
        elif not wanted.allow_upscale:
            shrunk = min(Fraction(1), width * ratio / size[0], Fraction(height, size[1]))
            size = even(size[0] * shrunk), even(size[1] * shrunk)
        ratio = Fraction(1)
    whole = (x, y, width, height) == (0, 0, *video.shown_size)
    return Layout(None if whole else (x, y, width, height), *size, bars, ratio)


def _middle_of(x: int, y: int, width: int, height: int, shape: Fraction) -> tuple[int, int, int, int]:
    """Return the middle of a picture, cut to a shape: width over height, in its own pixels."""
    inner = min(width, even(height * shape)), min(height, even(width / shape))
    return x + (width - inner[0]) // 4 * 2, y + (height - inner[1]) // 4 * 2, *inner


def _between_bars(
    box: tuple[int, int], shape: Fraction, largest: tuple[Fraction, int] | None
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Return the size of a picture in a box of square pixels, and the bars around it."""
    width = min(Fraction(box[0]), box[1] * shape)
    if largest is not None:
        width = min(width, max(largest[0], largest[1] * shape))
    size = min(box[0], even(width)), min(box[1], even(width / shape))
    left, top = (box[0] - size[0]) // 4 * 2, (box[1] - size[1]) // 4 * 2
    return size, (left, top, box[0] - size[0] - left, box[1] - size[1] - top)


def fitted_size(size: tuple[int, int], width: int | None, height: int | None, *, upscale: bool) -> tuple[int, int]:
    """Fit a picture into the box, keeping its shape; even sizes. Without a box it keeps its size."""
    scale = fit_scale(size, width, height)
    if scale == 1 or (scale > 1 and not upscale):
        return size
    return even(size[0] * scale), even(size[1] * scale)


def fit_scale(size: tuple[int, int], width: int | None, height: int | None) -> Fraction:
    """Return by how much a picture must be scaled to fill the box; 1 without a box."""
    scales = [Fraction(width, size[0])] if width else []
    scales += [Fraction(height, size[1])] if height else []
    return min(scales, default=Fraction(1))


def even(value: Fraction) -> int:
    """Return the even number nearest to a size, and never none."""
    return max(2, 2 * round(value / 2))


def _sample_aspect_ratio(was: tuple[int, int], ratio: Fraction, size: tuple[int, int]) -> Fraction:
    """Return the ratio that shows the picture in the shape it had, whatever the rounding did to its size."""
    exact = ratio * Fraction(was[0], size[0]) / Fraction(was[1], size[1])
    # A rounding of one pixel is not worth an odd ratio that some players ignore and others stretch by.
    return ratio if abs(exact / ratio - 1) < Fraction(1, 100) else exact.limit_denominator(255)


def planned_overlays(
    overlays: Sequence[Overlay], images: Mapping[str, Image], size: tuple[int, int], ratio: Fraction, font: str | None
) -> tuple[PlannedOverlay, ...]:
    """Return the overlays of a picture of this size, in its pixels. Raises InvalidWatermark for one that is too large.

    `images` has those that are named, `ratio` is the sample aspect ratio.
    """
    return tuple(_planned(each, images, size, ratio, font) for each in overlays)


def _planned(
    overlay: Overlay, images: Mapping[str, Image], size: tuple[int, int], ratio: Fraction, font: str | None
) -> PlannedOverlay:
    image = None if overlay.image is None else images[overlay.image]
    height = max(1, round(size[1] * overlay.height_share))
    width = 0 if image is None else max(1, round(height * Fraction(image.width, image.height) / ratio))
    if image is not None and (width > size[0] or height > size[1]):
        raise InvalidWatermark(
            f"{image.name}: {overlay.height_share:g} of the height makes it {width}x{height}, "
            f"more than the picture's {size[0]}x{size[1]}"
        )
    if image is not None and image.frames * width * height > _MOST_PIXELS_THAT_MOVE:
        raise InvalidWatermark(
            f"{image.name}: its {image.frames} frames of {width}x{height} are more than can be laid over a video; "
            f"allowed: {_MOST_PIXELS_THAT_MOVE:,} pixels"
        )
    return PlannedOverlay(
        image=image, text=overlay.text, position=overlay.position, margin=round(size[1] * overlay.margin),
        width=width, height=height, opacity=overlay.opacity, colour=overlay.colour,
        start_s=Fraction(str(overlay.start_s)), end_s=None if overlay.end_s is None else Fraction(str(overlay.end_s)),
        font=None if image else font,
    )  # fmt: skip

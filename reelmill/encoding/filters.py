"""Builds the graph that makes a segment's frames of decoded ones. Pure.

A piece must be what one run over the whole source would have made there: filters that look at several frames come
before `trim`, and all that depends on the time comes after it, while frames still have the source's own times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from reelmill.encoding.overlaid import DrawnSubtitles, Overlaid
from reelmill.media.images import Image
from reelmill.media.source import Colour, Source, VideoStream
from reelmill.planning.plan import PlannedOverlay, PlannedSubtitles, Segment, VideoRendition

_Filters = Iterable[tuple[str, dict[str, Any]]]

_DENOISERS: dict[str, tuple[str, dict[str, Any]]] = {
    # The average of five frames where they differ by noise only; see FILTER_LEAD_FRAMES.
    "light": ("atadenoise", {"s": 5}),
    "strong": ("nlmeans", {"s": 3, "p": 5, "r": 11}),
}
_PEAK_NITS = 1000
_MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_UNSAID_IS_709_FROM = 720
"""Lines from which players take a picture that doesn't say its colour matrix for BT.709."""
_ZSCALE_MATRICES = {1: "709", 5: "470bg", 6: "170m", 9: "2020_ncl", 10: "2020_cl"}
_ZSCALE_PRIMARIES = {1: "709", 5: "470bg", 6: "170m", 9: "2020", 12: "smpte432"}
_ZSCALE_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}
_HDR_SIDE_DATA = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS", "DOVI_METADATA")
_SHADOW = 0.6
_FULL = 2
_SDR = Colour(range=1, primaries=1, transfer=1, matrix=1)
_HALF_A_MILLISECOND = Fraction(1, 2000)
_SUBTITLE_TICK_S = Fraction(1, 8000)


def trimmed(stream: Any, source: Source, rendition: VideoRendition, segment: Segment) -> Any:
    """Return the node that gives the frames of the segment with the source's own times.

    It is the same for all renditions that have the same `shared_part`.
    """
    assert source.video is not None
    for name, arguments in (*_before_trim(rendition, source.video), *_trim(segment)):
        stream = stream.filter(name, **arguments)
    return stream


def shaped(
    stream: Any, source: Source, rendition: VideoRendition, segment: Segment, images: Sequence[Any], above: Overlaid
) -> Any:
    """Return the node that shapes them for the rendition, the first at time 0.

    `above` is laid over them; `images` are the inputs of its images, in order.
    """
    assert source.video is not None
    for name, arguments in _shape(rendition, source.video):
        stream = stream.filter(name, **arguments)
    if rendition.pad != (0, 0):
        stream = _padded(stream, rendition)
    base, zero_s = _clock(rendition, source)
    waiting = iter(images)
    for overlay in rendition.overlays:
        shown = _shown(overlay, zero_s)
        if overlay.image is not None:
            image = _image(next(waiting), overlay, overlay.image, rendition, source.video, segment.start * base)
            stream = ffmpeg.filter([stream, image], "overlay", **_image_place(overlay), **shown)
        else:
            stream = stream.filter("drawtext", **_text(overlay, above.font, zero_s), **shown)
    if rendition.subtitles is not None and above.subtitles is not None:
        # Their times are those of the whole source, with which they are spoken, also where a clip of it is used.
        whole_zero_s = zero_s - (source.zero_s - source.start_s)
        for name, arguments in _subtitled(rendition, rendition.subtitles, above.subtitles, base, whole_zero_s):
            stream = stream.filter(name, **arguments)
    return stream.filter("setsar", sar=str(rendition.sample_aspect_ratio)).filter("setpts", expr=_less(segment.start))


def _before_trim(rendition: VideoRendition, video: VideoStream) -> _Filters:
    if rendition.joined:
        yield "settb", {"expr": str(video.time_base)}
    if rendition.deinterlace:
        yield "bwdif", {"mode": "send_frame"}
        yield "settb", {"expr": str(video.time_base)}  # it counts in half ticks
    if rendition.denoise != "none":
        yield _DENOISERS[rendition.denoise]
    if rendition.frame_rate:
        yield "setpts", {"expr": _less(rendition.first_pts)}
        yield "fps", {"fps": str(rendition.frame_rate)}


def _trim(segment: Segment) -> _Filters:
    if not segment.is_whole:
        yield "trim", {"start_pts": segment.start} | ({} if segment.end is None else {"end_pts": segment.end})


def _shape(rendition: VideoRendition, video: VideoStream) -> _Filters:
    if rendition.crop:
        x, y, width, height = rendition.crop
        yield "crop", {"w": width, "h": height, "x": x, "y": y}
    size: dict[str, Any] = {"w": rendition.width, "h": rendition.height}
    yield "scale", size | ({"interl": -1} if rendition.interlaced else {})
    if rendition.tone_map:
        yield from _tone_mapped(video.colour)
    yield "format", {"pix_fmts": rendition.pixel_format}
    if rendition.joined and rendition.joined.colour:
        yield from _in_colour(_SDR if rendition.tone_map else video.colour, rendition.joined.colour, video)
    if any(rendition.bars):
        left, top, right, bottom = rendition.bars
        width, height = left + rendition.width + right, top + rendition.height + bottom
        yield "pad", {"w": width, "h": height, "x": left, "y": top, "color": "black"}


def _tone_mapped(colour: Colour) -> _Filters:
    """Make SDR of HDR: to linear light, into the primaries of BT.709, and its highlights folded into the range."""
    yield "zscale", {
        "tin": _ZSCALE_TRANSFERS[colour.transfer], "min": _ZSCALE_MATRICES.get(colour.matrix, "2020_ncl"),
        "pin": _ZSCALE_PRIMARIES.get(colour.primaries, "2020"), "rin": "full" if colour.range == 2 else "limited",
        "t": "linear", "npl": 100,
    }  # fmt: skip
    yield "format", {"pix_fmts": "gbrpf32le"}
    yield "zscale", {"p": "709"}
    yield "tonemap", {"tonemap": "hable", "desat": 0, "peak": _PEAK_NITS / 100}
    yield "zscale", {"t": "709", "m": "709", "r": "limited"}
    for kind in _HDR_SIDE_DATA:
        yield "sidedata", {"mode": "delete", "type": kind}


def _in_colour(has: Colour, wanted: Colour, video: VideoStream) -> _Filters:
    """Convert matrix and range, and have the frames say of their colours what the others say."""
    matrices = [_MATRICES.get(each.matrix, _unsaid_matrix(video.shown_size[1])) for each in (has, wanted)]
    ranges = ["full" if each.range == _FULL else "limited" for each in (has, wanted)]
    if matrices[0] != matrices[1] or ranges[0] != ranges[1]:
        yield "scale", {
            "in_color_matrix": matrices[0], "out_color_matrix": matrices[1], "in_range": ranges[0],
            "out_range": ranges[1], "flags": "bicubic+accurate_rnd+full_chroma_int",
        }  # fmt: skip
    yield "setparams", {
        "range": wanted.range, "color_primaries": wanted.primaries, "color_trc": wanted.transfer,
        "colorspace": wanted.matrix,
    }  # fmt: skip


def _padded(stream: Any, rendition: VideoRendition) -> Any:
    """Repeat the last column or row, of luma only: subsampled chroma of an odd size reaches over the edge already."""
    right, bottom = rendition.pad
    planes = stream.filter_multi_output("extractplanes", planes="y+u+v")
    luma = planes[0].filter("pad", w=rendition.width + right, h=rendition.height + bottom)
    luma = luma.filter("fillborders", right=right, bottom=bottom, mode="smear")
    joined = [luma, planes[1], planes[2]]
    return ffmpeg.filter(joined, "mergeplanes", mapping="0x001020", format=rendition.pixel_format)


def _clock(rendition: VideoRendition, source: Source) -> tuple[Fraction, Fraction]:
    """Return the time base in which frames count after `trim`, and what they show at the start of the result."""
    assert source.video is not None
    zero_s = source.zero_s - (rendition.joined.offset_s if rendition.joined else 0)
    if rendition.frame_rate:
        return 1 / rendition.frame_rate, zero_s - rendition.first_pts * source.video.time_base
    return source.video.time_base, zero_s


def _shown(overlay: PlannedOverlay, zero_s: Fraction) -> dict[str, Any]:
    if overlay.end_s is None and not overlay.start_s:
        return {}
    when = f"gte(t,{_seconds(overlay.start_s + zero_s)})"
    if overlay.end_s is not None:
        when += f"*lt(t,{_seconds(overlay.end_s + zero_s)})"
    return {"enable": when}


def _seconds(value: Fraction) -> str:
    return f"{float(value):.6f}"


def _image(
    image: Any, overlay: PlannedOverlay, what: Image, rendition: VideoRendition, video: VideoStream, from_s: Fraction
) -> Any:
    """Return the image as it is laid over frames from a time on: in their colours, and where it moves, in its turn."""
    colour = rendition.joined.colour if rendition.joined and rendition.joined.colour else video.colour
    full = colour.range == _FULL and not rendition.tone_map
    image = image.filter("format", pix_fmts="rgba")
    if overlay.opacity < 1:
        image = image.filter("colorchannelmixer", aa=f"{overlay.opacity:g}")
    image = image.filter(
        "scale", w=overlay.width, h=overlay.height, flags="bicubic+accurate_rnd+full_chroma_int",
        out_color_matrix=_matrix(rendition, video), out_range="full" if full else "limited",
    )  # fmt: skip
    image = image.filter("format", pix_fmts=rendition.pixel_format.replace("yuv", "yuva"))
    if not what.moves:
        return image.filter("setpts", expr=f"({floor(from_s)})/TB")
    turns = floor(from_s * what.rate / what.frames)
    image = image.filter("fps", fps=str(what.rate)).filter("tpad", stop=what.frames, stop_mode="clone")
    image = image.filter("trim", end_frame=what.frames).filter("loop", loop=-1, size=what.frames)
    return image.filter("setpts", expr=f"N+({turns * what.frames})")


def _matrix(rendition: VideoRendition, video: VideoStream) -> str:
    if rendition.tone_map:
        return "bt709"
    colour = rendition.joined.colour if rendition.joined and rendition.joined.colour else video.colour
    return _MATRICES.get(colour.matrix, _unsaid_matrix(rendition.size[1]))


def _unsaid_matrix(lines: int) -> str:
    return "bt709" if lines >= _UNSAID_IS_709_FROM else "smpte170m"


def _image_place(overlay: PlannedOverlay) -> dict[str, Any]:
    assert overlay.image is not None
    x, y = _place(overlay, "main_w", "main_h", "overlay_w", "overlay_h")
    # What moves has no end, and the video's must be the end of both.
    return {"x": x, "y": y, "format": "auto"} | ({"shortest": 1} if overlay.image.moves else {})


def _text(overlay: PlannedOverlay, font: Path | None, zero_s: Fraction) -> dict[str, Any]:
    x, y = _place(overlay, "w", "h", "text_w", "text_h")
    colour, far = overlay.colour.replace("#", "0x"), max(1, overlay.height // 20)
    if overlay.text is None:
        words = {"text": f"%{{pts:hms:{_seconds(-zero_s)}}}"}
    else:
        words = {"text": overlay.text, "expansion": "none"}
    return {
        "fontfile": str(font), **words, "fontsize": overlay.height, "y_align": "font", "x": x, "y": y,
        "fontcolor": f"{colour}@{overlay.opacity:g}", "shadowcolor": f"black@{_SHADOW * overlay.opacity:g}",
        "shadowx": far, "shadowy": far,
    }  # fmt: skip


def _subtitled(
    rendition: VideoRendition, planned: PlannedSubtitles, drawn: DrawnSubtitles, base: Fraction, zero_s: Fraction
) -> _Filters:
    """Draw the subtitles while times count from the start of the source.

    The filter cuts times off to milliseconds: half of one is added, in a time base in which that can be said, and of
    which the frames' own is a multiple.
    """
    fine = base / ceil(base / _SUBTITLE_TICK_S)
    ahead = round((zero_s - _HALF_A_MILLISECOND) / fine)
    yield "settb", {"expr": str(fine)}
    yield "setpts", {"expr": _less(ahead)}
    yield "ass", {
        "filename": str(drawn.script), "fontsdir": str(drawn.fonts), "shaping": "complex",
        "original_size": f"{planned.shown_width}x{rendition.size[1]}",
    }  # fmt: skip
    yield "setpts", {"expr": _less(-ahead)}
    yield "settb", {"expr": str(base)}


def _place(overlay: PlannedOverlay, width: str, height: str, own_width: str, own_height: str) -> tuple[str, str]:
    vertical, _, horizontal = overlay.position.partition("-")
    if not horizontal and vertical in ("left", "right"):
        vertical, horizontal = "", vertical
    x = {"left": f"{overlay.margin}", "right": f"{width}-{own_width}-{overlay.margin}"}
    y = {"top": f"{overlay.margin}", "bottom": f"{height}-{own_height}-{overlay.margin}"}
    middle = f"({width}-{own_width})/2", f"({height}-{own_height})/2"
    return x.get(horizontal, middle[0]), y.get(vertical, middle[1])


def _less(pts: int) -> str:
    return f"PTS-{pts}" if pts >= 0 else f"PTS+{-pts}"

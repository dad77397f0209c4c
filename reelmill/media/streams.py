"""Describes the streams of an open container in the words of `reelmill.media.source`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from typing import Any, cast

from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelmill.media.containers import open_container
from reelmill.storage.readable import Readable

Span = tuple[int, int]
_FIRST_FRAME_PACKETS = 400
_HDR = {
    SideData.MASTERING_DISPLAY_METADATA: "mastering_display",
    SideData.CONTENT_LIGHT_LEVEL: "content_light",
    SideData.DOVI_METADATA: "dolby_vision",
}
_NOT_TAGS = re.compile(
    r"^(major_brand|minor_version|compatible_brands|encoder|duration|_statistics.*|bps.*|number_of_.*|vendor_id"
    r"|handler_name|language|title)$",
    re.IGNORECASE,
)


def main_video(container: InputContainer) -> VideoStream | None:
    """Return the video stream that is encoded: the first that is not cover art, a default one before others."""
    moving = [each for each in container.streams.video if not is_cover(each) and has_picture(each)]
    return next((each for each in moving if each.disposition & Disposition.default), moving[0] if moving else None)


def has_picture(stream: Any) -> bool:
    """Whether the header says how large the picture is; a stream of an unknown codec has no decoder at all."""
    return stream.codec_context is not None and bool(stream.codec_context.width)


def is_cover(stream: VideoStream) -> bool:
    return bool(
        stream.disposition & (Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails)
    )


def first_frame(media: Readable, demuxer: str) -> VideoFrame | None:
    """Decode the first frame of the main video, for what only a frame tells; None when none decodes soon."""
    with open_container(media, demuxer) as container:
        video = main_video(container)
        if video is None:
            return None
        for number, packet in enumerate(container.demux(video)):
            with suppress(FFmpegError):
                for frame in packet.decode():
                    return frame
            if number > _FIRST_FRAME_PACKETS:
                break
    return None


def describe_streams(container: InputContainer, spans: dict[int, Span], frame: VideoFrame | None) -> dict[str, Any]:
    """Return the stream fields of a `Source` as JSON values."""
    chosen = main_video(container)
    found: dict[str, Any] = {"video": None, "audio": [], "subtitles": [], "others": [], "more_video": []}
    for stream in cast(Iterable[Any], container.streams):
        common = _common(stream, spans.get(stream.index))
        if stream.type == "video":
            if is_cover(stream) or not has_picture(stream):
                found["others"].append({**common, "kind": "cover"})
            elif chosen is not None and stream.index == chosen.index:
                found["video"] = {**common, **_video(stream, frame)}
            else:
                found["more_video"].append({**common, **_video(stream, None)})
        elif stream.type == "audio":
            found["audio"].append({**common, **_audio(stream)})
        elif stream.type == "subtitle":
            found["subtitles"].append(common)
        else:
            found["others"].append({**common, "kind": "attachment" if stream.type == "attachment" else "data"})
    found["chapters"] = [_chapter(each) for each in container.chapters()]
    found["tags"] = {key: value for key, value in container.metadata.items() if not _is_technical(key)}
    return found


def _is_technical(key: str) -> bool:
    return bool(_NOT_TAGS.match(key)) and key.lower() != "title"


def _common(stream: Any, span: Span | None) -> dict[str, Any]:
    codec = stream.codec_context
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    language = tags.get("language")
    return {
        "index": stream.index,
        "codec": codec.codec.canonical_name if codec is not None else "none",
        "time_base": str(stream.time_base or Fraction(1)),
        "start_pts": span[0] if span else stream.start_time,
        "end_pts": span[1] if span else None,
        "language": None if language in (None, "und") else language,
        "title": tags.get("title"),
        "dispositions": [str(each.name) for each in Disposition if each & stream.disposition],
    }


def _video(stream: VideoStream, frame: VideoFrame | None) -> dict[str, Any]:
    codec = stream.codec_context
    side_data = cast(Iterable[Any], frame.side_data if frame else ())
    hdr = {_HDR[each.type] for each in side_data if each.type in _HDR}
    return {
        "width": codec.width,
        "height": codec.height,
        "sample_aspect_ratio": str(stream.sample_aspect_ratio or Fraction(1)),
        "pixel_format": frame.format.name if frame else codec.pix_fmt or "unknown",
        "frame_rate": str(stream.guessed_rate or stream.average_rate) if stream.guessed_rate else None,
        "rotation_deg": frame.rotation % 360 if frame else 0,
        "field_order": _field_order(codec.field_order, frame),
        "colour": {
            "range": int(codec.color_range), "primaries": int(codec.color_primaries),
            "transfer": int(codec.color_trc), "matrix": int(codec.colorspace),
        },
        "hdr": sorted(hdr),
    }  # fmt: skip


def _field_order(order: object, frame: VideoFrame | None) -> str:
    name = str(getattr(order, "name", order)).lower()
    if name in ("tt", "tb", "bt", "bb"):
        return "top_first" if name in ("tt", "bt") else "bottom_first"
    if frame is not None and frame.interlaced_frame:
        return "top_first"
    return "progressive" if name == "progressive" else "unknown"


def _audio(stream: Any) -> dict[str, Any]:
    codec = stream.codec_context
    return {
        "channels": codec.channels,
        "layout": codec.layout.name,
        "sample_rate_hz": codec.sample_rate,
    }


def _chapter(chapter: Any) -> dict[str, str]:
    base = chapter["time_base"]
    return {
        "start_s": str(chapter["start"] * base),
        "end_s": str(chapter["end"] * base),
        "title": chapter["metadata"].get("title", ""),
    }

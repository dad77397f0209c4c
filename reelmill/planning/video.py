"""Decides how the video is encoded for a format: size, pixel format, rate, quality."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from av.video.format import VideoFormat

from reelmill.errors import InvalidProfile
from reelmill.formats import Format
from reelmill.media.frame_index import FrameIndex
from reelmill.media.images import Image
from reelmill.media.source import Source, VideoStream
from reelmill.media.subtitles import Subtitles
from reelmill.planning.clip import refuse_copied_clip
from reelmill.planning.picture import layout, planned_overlays
from reelmill.planning.plan import VideoRendition
from reelmill.planning.subtitles import planned_subtitles
from reelmill.profiles.encoders import VIDEO_ENCODERS, VideoEncoder
from reelmill.profiles.profile import Profile, codec_for
from reelmill.profiles.video import VideoSettings

_FALLBACK_RATE = Fraction(25)
_HIGHEST_NOMINAL_RATE = 120


def video_rendition(
    source: Source, index: FrameIndex, format: Format, profile: Profile, wanted: VideoSettings,
    images: Mapping[str, Image], font: str | None, subtitles: Subtitles | None,
) -> VideoRendition:  # fmt: skip
    """Return the rendition, without segments, that the format needs. `wanted` is the profile's `video`, or a rung.

    `images` has those that are laid over the picture, `font` names the one of texts, `subtitles` are drawn. Raises
    InvalidProfile, InvalidWatermark.
    """
    video = source.video
    assert video is not None
    codec = codec_for(format.name, profile)[0]
    assert codec is not None
    if codec == "copy":
        refuse_copied_clip(source, profile, "video")
    may_copy = profile.copy_when_fits and not format.packaged and source.clip is None
    fits = may_copy and can_copy(video, index, format, profile)
    if codec == "copy" or fits:
        return _copy(video, index, format, profile)
    encoder = VIDEO_ENCODERS[codec]
    tone_map = wanted.tone_map == "auto" and is_hdr(video)
    pixel_format = _pixel_format(video.pixel_format, wanted.pixel_format, encoder, in_8_bits=tone_map)
    shape = layout(video, wanted)
    width, height = shape.width, shape.height
    even_w, even_h = "444" not in pixel_format, "420" in pixel_format
    resized = (width, height) != (shape.crop[2:] if shape.crop else video.shown_size)
    pad = (0, 0) if resized else (width % 2 * even_w, height % 2 * even_h)
    if resized:
        width, height = width - width % 2 * even_w, height - height % 2 * even_h
    rate = _output_rate(video, index, format, wanted.frames_per_s)
    deinterlace = wanted.deinterlace == "always" or (wanted.deinterlace == "auto" and is_interlaced(video))
    nominal = rate or nominal_rate(video, index)
    interval_s = wanted.keyframe_interval_s
    crf = None if wanted.bitrate_bps else wanted.crf if wanted.crf is not None else encoder.default_crf
    made = VideoRendition(
        id="",
        codec=codec,
        stream_index=video.index,
        width=width,
        height=height,
        pad=pad,
        sample_aspect_ratio=shape.sample_aspect_ratio,
        pixel_format=pixel_format,
        crf=crf,
        bitrate_bps=wanted.bitrate_bps,
        max_bitrate_bps=wanted.max_bitrate_bps,
        vbv_buffer_bits=wanted.vbv_buffer_bits,
        preset=wanted.preset or encoder.default_preset,
        keyframe_interval_frames=round(interval_s * nominal) if interval_s and not format.packaged else None,
        b_frames=format.reorders_frames,
        frame_rate=rate,
        deinterlace=deinterlace,
        interlaced=is_interlaced(video) and not deinterlace and codec == "h264" and not resized,
        time_base=1 / rate if rate else index.time_base,
        first_pts=index.first,
        fixed_keyframes=format.packaged,
        crop=shape.crop,
        bars=shape.bars,
        denoise=wanted.denoise,
        tone_map=tone_map,
        may_vary=profile.quality.better_tries > 0,
    )
    overlays = planned_overlays(wanted.overlays, images, made.size, made.sample_aspect_ratio, font)
    burned = None
    if subtitles is not None and wanted.burn_subtitles is not None and font is not None:
        burned = planned_subtitles(subtitles, wanted.burn_subtitles, made, video.colour.transfer, font)
    name = f"{codec}-{min(made.size)}p"
    return made.model_copy(update={"id": name, "overlays": overlays, "subtitles": burned})


def can_copy(video: VideoStream, index: FrameIndex, format: Format, profile: Profile) -> bool:
    """Whether the source's packets already are what the profile asks for, and the format can hold them."""
    wanted = profile.video
    shape = layout(video, wanted)
    asked = wanted.crf, wanted.bitrate_bps, wanted.max_bitrate_bps, wanted.frame_rate, wanted.keyframe_interval_s
    return (
        video.codec == codec_for(format.name, profile)[0]
        and all(each is None for each in asked)
        and wanted.pixel_format in ("source", video.pixel_format)
        and shape.is_as_it_was
        and (shape.width, shape.height) == video.shown_size
        and not wanted.overlays
        and wanted.burn_subtitles is None
        and wanted.denoise == "none"
        and not (wanted.tone_map == "auto" and is_hdr(video))
        and (not video.rotation_deg or format.rotation)
        and wanted.deinterlace == "keep"
        and index.fault is None
        and format.variable_frame_rate
        and format.reorders_frames
    )


def _copy(video: VideoStream, index: FrameIndex, format: Format, profile: Profile) -> VideoRendition:
    if video.codec not in format.video_codecs:
        raise InvalidProfile(
            f"profile {profile.name}: video.codec: copy keeps {video.codec}, which {format.name} can't hold; "
            f"allowed: {', '.join(format.video_codecs)}"
        )
    return VideoRendition(
        id="copy-video", codec="copy", stream_index=video.index, width=video.width, height=video.height, pad=(0, 0),
        sample_aspect_ratio=video.sample_aspect_ratio, pixel_format=video.pixel_format, crf=None, bitrate_bps=None,
        max_bitrate_bps=None, vbv_buffer_bits=None, preset=None, keyframe_interval_frames=None, b_frames=True,
        frame_rate=None, deinterlace=False, interlaced=False, time_base=video.time_base,
        first_pts=index.first,
    )  # fmt: skip


def is_hdr(video: VideoStream) -> bool:
    """Whether the picture is said to be in PQ or HLG."""
    return video.colour.transfer in (16, 18)


def _pixel_format(source: str, wanted: str, encoder: VideoEncoder, *, in_8_bits: bool) -> str:
    """Return the wanted format, or the encoder's nearest that holds the source's depth and chroma."""
    if wanted != "source":
        return wanted
    source = source.replace("yuvj", "yuv")
    if in_8_bits:
        source = source.replace("10le", "")
    if source in encoder.pixel_formats:
        return source
    depth, chroma = _depth_and_chroma(source)
    deep = "10le" if depth > 8 and not in_8_bits else ""
    best = f"yuv{chroma}p{deep}"
    return best if best in encoder.pixel_formats else f"yuv420p{deep}"


def _depth_and_chroma(pixel_format: str) -> tuple[int, str]:
    """Return the bits of a sample, and the chroma subsampling that holds all of the format's chroma."""
    described = VideoFormat(pixel_format, 16, 16)
    depth = max(component.bits for component in described.components)
    if described.is_rgb or described.has_palette:
        return depth, "444"
    if len(described.components) < 3:  # grey, perhaps with alpha
        return depth, "420"
    wide, high = described.chroma_width(16) > 8, described.chroma_height(16) > 8
    return depth, "444" if wide else "422" if high else "420"


def _output_rate(video: VideoStream, index: FrameIndex, format: Format, wanted: Fraction | None) -> Fraction | None:
    if wanted is not None:
        return wanted
    nominal = nominal_rate(video, index)
    broken = index.origin == "decode" and index.fault is not None
    return nominal if broken or not format.variable_frame_rate else None


def nominal_rate(video: VideoStream, index: FrameIndex) -> Fraction:
    """Return the rate the source means to have: what its header says, else the average of its frames."""
    rate = video.frame_rate
    if rate is None or rate > _HIGHEST_NOMINAL_RATE:
        if len(index) < 2:
            return _FALLBACK_RATE
        average = (len(index) - 1) / ((index.times[-1] - index.first) * index.time_base or Fraction(1))
        rate = min(average, Fraction(_HIGHEST_NOMINAL_RATE)).limit_denominator(1001)
    ntsc = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    return ntsc if abs(ntsc - rate) < rate / 50_000 else rate


def is_interlaced(video: VideoStream) -> bool:
    """Whether its frames are two fields each, taken one after the other."""
    return video.field_order in ("top_first", "bottom_first")

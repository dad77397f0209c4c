"""What a profile says of the picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reelmill.profiles.encoders import VIDEO_ENCODERS, PixelFormat, VideoCodec
from reelmill.profiles.picture import Crop, Denoise, Overlay, ScaleMode, scale_mode_problems
from reelmill.profiles.problems import Problem, not_allowed, refuse
from reelmill.profiles.subtitles import BurnedSubtitles

_FRAME_RATE = re.compile(r"[1-9][0-9]{0,8}(?:/[1-9][0-9]{0,8})?")
_MAX_FRAME_RATE = 1000
_FRAME_RATES = f"1 to {_MAX_FRAME_RATE}, a whole number or a fraction such as 30000/1001"
_SIZES = "16 to 16384, even unless pixel_format is yuv444p or yuv444p10le"
_CRFS = "0 to 51 (h264, hevc), 0 to 63 (vp9, av1)"
_PRESETS = "ultrafast to placebo by name (h264, hevc), 0 to 8 (vp9), 0 to 13 (av1)"
_VBV_BUFFER_S = (Fraction(2, 100), Fraction(10))


class VideoSettings(BaseModel):
    """How the video is encoded. Whatever is left out is taken from the source or from the encoder's defaults."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    codec: Literal[VideoCodec, "copy"] | None = Field(
        default=None, json_schema_extra={"position": 1},
        description="Codec of the video, or `copy` to keep the source's packets; the format's own when left out",
    )  # fmt: skip
    crf: float | None = Field(
        default=None, allow_inf_nan=False, json_schema_extra={"position": 2, "allowed": _CRFS},
        description="Constant quality, lower is better; excludes `bitrate_bps`",
    )  # fmt: skip
    bitrate_bps: int | None = Field(
        default=None, ge=1_000, le=1_000_000_000, json_schema_extra={"position": 3},
        description="Average bits a second; excludes `crf`",
    )  # fmt: skip
    max_bitrate_bps: int | None = Field(
        default=None, ge=1_000, le=1_000_000_000, json_schema_extra={"position": 4},
        description="Most bits a second over the buffer; needs `vbv_buffer_bits`",
    )  # fmt: skip
    vbv_buffer_bits: int | None = Field(
        default=None, ge=1_000, le=2_000_000_000, json_schema_extra={"position": 5},
        description="Size of the player's buffer, 0.02 to 10 seconds of `max_bitrate_bps`, which it needs",
    )  # fmt: skip
    preset: str | None = Field(
        default=None, json_schema_extra={"position": 6, "allowed": _PRESETS},
        description="Speed against size: a name of x264 and x265, a number of VP9 and AV1",
    )  # fmt: skip
    width: int | None = Field(
        default=None, ge=16, le=16_384, json_schema_extra={"position": 7, "allowed": _SIZES},
        description="Width of the picture; with `height` a box it is fitted into, alone the height follows",
    )  # fmt: skip
    height: int | None = Field(
        default=None, ge=16, le=16_384, json_schema_extra={"position": 8, "allowed": _SIZES},
        description="Height of the picture; with `width` a box it is fitted into, alone the width follows",
    )  # fmt: skip
    allow_upscale: bool = Field(
        default=False, json_schema_extra={"position": 9},
        description="Enlarge a picture smaller than `width` and `height`",
    )  # fmt: skip
    frame_rate: str | None = Field(
        default=None, json_schema_extra={"position": 10, "allowed": _FRAME_RATES},
        description="Frames a second, the same throughout; the source's own when left out",
    )  # fmt: skip
    pixel_format: Literal["source", PixelFormat] = Field(
        default="source", json_schema_extra={"position": 11},
        description="Chroma subsampling and bit depth",
    )  # fmt: skip
    keyframe_interval_s: float | None = Field(
        default=None, ge=0.1, le=300, allow_inf_nan=False, json_schema_extra={"position": 12},
        description="Most seconds between two keyframes; the encoder's own when left out",
    )  # fmt: skip
    deinterlace: Literal["keep", "auto", "always"] = Field(
        default="keep", json_schema_extra={"position": 13},
        description="Make progressive frames: never, where the source is interlaced, or always",
    )  # fmt: skip

    crop: Crop | None = Field(
        default=None, json_schema_extra={"position": 14},
        description="What is cut off the edges, before the picture is scaled",
    )  # fmt: skip
    scale_mode: ScaleMode = Field(
        default="fit", json_schema_extra={"position": 15},
        description="What `width` and `height` mean: the picture is fitted into them, gets black bars (pad), loses "
        "what stands out (fill), or is stretched",
    )  # fmt: skip
    denoise: Denoise = Field(
        default="none", json_schema_extra={"position": 16},
        description="Remove noise: that of a camera in a dark hall (light), or more than that, slowly (strong)",
    )  # fmt: skip
    tone_map: Literal["keep", "auto"] = Field(
        default="keep", json_schema_extra={"position": 17},
        description="Make SDR of a source that is HDR (auto), in 8 bits unless `pixel_format` says otherwise",
    )  # fmt: skip
    overlays: tuple[Overlay, ...] = Field(
        default=(), max_length=8, strict=False, json_schema_extra={"position": 18, "allowed": "at most 8 overlays"},
        description="Images, texts and clocks laid over the picture, the later over the earlier",
    )  # fmt: skip

    burn_subtitles: BurnedSubtitles | None = Field(
        default=None, json_schema_extra={"position": 19},
        description="Subtitles that become part of the picture, above all overlays",
    )  # fmt: skip

    @property
    def frames_per_s(self) -> Fraction | None:
        """Return `frame_rate` as an exact number, None when the source's own is kept."""
        return None if self.frame_rate is None else Fraction(self.frame_rate)

    @field_validator("preset", "frame_rate", mode="before")
    @classmethod
    def _whole_number_as_text(cls, value: object) -> object:
        return str(value) if type(value) is int else value

    @field_validator("frame_rate")
    @classmethod
    def _possible_frame_rate(cls, value: str | None) -> str | None:
        if value is None or (_FRAME_RATE.fullmatch(value) and 1 <= Fraction(value) <= _MAX_FRAME_RATE):
            return value
        raise ValueError(f"frame_rate is not {_FRAME_RATES}")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse(setting_problems(self))
        return self


def setting_problems(video: VideoSettings) -> Iterator[Problem]:
    """Yield what does not fit together, whatever the format."""
    if video.codec == "copy":
        yield from _set_beside_copy(video)
        return
    yield from _rate_problems(video)
    yield from _size_problems(video)
    yield from scale_mode_problems(video.scale_mode, video.width, video.height)
    if video.codec is not None:
        yield from encoder_problems(video, video.codec)
        return
    # The format chooses the codec, which is checked with it; these hold for whatever it chooses.
    if video.crf is not None and not 0 <= video.crf <= VIDEO_ENCODERS["h264"].max_crf:
        yield not_allowed("crf", video.crf, f"0 to {VIDEO_ENCODERS['h264'].max_crf}")
    if video.preset is not None and not any(video.preset in each.presets for each in VIDEO_ENCODERS.values()):
        yield not_allowed("preset", video.preset, _PRESETS)


def encoder_problems(video: VideoSettings, codec: str, reason: str = "") -> Iterator[Problem]:
    """Yield what `video` asks of the encoder of `codec` that it can't do. `reason` says where the codec comes from."""
    encoder = VIDEO_ENCODERS[codec]
    if video.crf is not None and not 0 <= video.crf <= encoder.max_crf:
        yield not_allowed("crf", video.crf, f"0 to {encoder.max_crf}", reason)
    if video.preset is not None and video.preset not in encoder.presets:
        yield not_allowed("preset", video.preset, ", ".join(encoder.presets), reason)
    if video.pixel_format != "source" and video.pixel_format not in encoder.pixel_formats:
        reason = reason or f" for {codec}"
        yield not_allowed("pixel_format", video.pixel_format, ", ".join(("source", *encoder.pixel_formats)), reason)
    for field in ("bitrate_bps", "max_bitrate_bps"):
        asked = getattr(video, field)
        if asked is not None and asked > encoder.max_bitrate_bps:
            yield not_allowed(field, asked, f"1000 to {encoder.max_bitrate_bps}", reason or f" for {codec}")
    if video.max_bitrate_bps is not None and codec == "vp9" and video.bitrate_bps is None:
        yield Problem("max_bitrate_bps", "vp9 takes it only together with bitrate_bps")
    if video.max_bitrate_bps is not None and codec == "av1" and video.bitrate_bps is not None:
        yield Problem("max_bitrate_bps", "av1 takes it only together with crf, not with bitrate_bps")


def _set_beside_copy(video: VideoSettings) -> Iterator[Problem]:
    for name, field in VideoSettings.model_fields.items():
        if name != "codec" and getattr(video, name) != field.default:
            yield Problem(name, "can't be changed where codec is copy; allowed: leave it out")


def _rate_problems(video: VideoSettings) -> Iterator[Problem]:
    most_bps, buffer_bits = video.max_bitrate_bps, video.vbv_buffer_bits
    if video.crf is not None and video.bitrate_bps is not None:
        yield Problem("crf", "excludes bitrate_bps; allowed: one of the two")
    if most_bps is None and buffer_bits is not None:
        yield Problem("vbv_buffer_bits", "needs max_bitrate_bps; allowed: both or none of the two")
    if most_bps is None:
        return
    if buffer_bits is None:
        yield Problem("max_bitrate_bps", "needs vbv_buffer_bits; allowed: both or none of the two")
    elif not _VBV_BUFFER_S[0] <= Fraction(buffer_bits, most_bps) <= _VBV_BUFFER_S[1]:
        low, high = (int(seconds * most_bps) for seconds in _VBV_BUFFER_S)
        yield not_allowed("vbv_buffer_bits", buffer_bits, f"{low} to {high}", f" with max_bitrate_bps {most_bps}")
    if video.bitrate_bps is not None and most_bps < video.bitrate_bps:
        yield not_allowed("max_bitrate_bps", most_bps, f"bitrate_bps, {video.bitrate_bps}, or more")


def _size_problems(video: VideoSettings) -> Iterator[Problem]:
    if video.pixel_format.startswith("yuv444p"):
        return
    for field in ("width", "height"):
        size = getattr(video, field)
        if size is not None and size % 2:
            yield not_allowed(field, size, _SIZES)

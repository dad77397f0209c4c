"""What a profile says of streaming: the ladder of renditions, and how they are cut into files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reelmill.profiles.problems import Problem, not_allowed
from reelmill.profiles.video import VideoSettings, setting_problems

_RATES = ("crf", "bitrate_bps", "max_bitrate_bps", "vbv_buffer_bits")


class Rung(BaseModel):
    """One rendition of the ladder: its size, and its rate where that is not what `video` says."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    height: int = Field(
        ge=16, le=16_384, json_schema_extra={"position": 1},
        description="Height of the picture, an even number; its width where the picture stands upright",
    )  # fmt: skip
    width: int | None = Field(
        default=None, ge=16, le=16_384, json_schema_extra={"position": 2},
        description="With `height` a box the picture is fitted into, turned where the picture stands upright",
    )  # fmt: skip
    crf: float | None = Field(
        default=None, allow_inf_nan=False,
        json_schema_extra={"position": 3, "allowed": "as in `video`"},
        description="As in `video`; a rung that sets one of the four rates takes none of them from there",
    )  # fmt: skip
    bitrate_bps: int | None = Field(
        default=None, ge=1_000, le=1_000_000_000, json_schema_extra={"position": 4},
        description="As in `video`",
    )  # fmt: skip
    max_bitrate_bps: int | None = Field(
        default=None, ge=1_000, le=1_000_000_000, json_schema_extra={"position": 5},
        description="As in `video`",
    )  # fmt: skip
    vbv_buffer_bits: int | None = Field(
        default=None, ge=1_000, le=2_000_000_000, json_schema_extra={"position": 6},
        description="As in `video`",
    )  # fmt: skip


class StreamingSettings(BaseModel):
    """How HLS and DASH are cut into segments and files."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    segment_s: float = Field(
        default=4.0, ge=1, le=30, allow_inf_nan=False, json_schema_extra={"position": 1},
        description="Seconds from one keyframe to the next, in every rendition; each begins a segment",
    )  # fmt: skip
    files: Literal["segments", "renditions"] = Field(
        default="segments", json_schema_extra={"position": 2},
        description="A file for each segment, or one for each rendition, of which players fetch byte ranges",
    )  # fmt: skip

    @property
    def exact_segment_s(self) -> Fraction:
        """Return `segment_s` as it was written, to the millisecond."""
        return Fraction(self.segment_s).limit_denominator(1000)


def rung_video(video: VideoSettings, rung: Rung, *, upright: bool = False) -> VideoSettings:
    """Return `video` with what the rung sets, unchecked. A rung never enlarges the picture."""
    own = rung.model_dump(exclude_none=True, exclude={"width", "height"})
    size = (rung.height, rung.width) if upright else (rung.width, rung.height)
    replaced = _RATES if own else ()
    kept = video.model_dump(exclude={"width", "height", "allow_upscale", *replaced})
    kept |= {"crop": video.crop, "overlays": video.overlays, "burn_subtitles": video.burn_subtitles}
    return VideoSettings.model_construct(**(kept | own), width=size[0], height=size[1])


def ladder_problems(video: VideoSettings, ladder: Sequence[Rung]) -> Iterator[Problem]:
    """Yield what is wrong with a ladder, beside `video`."""
    if ladder and video.codec == "copy":
        yield Problem("ladder", "needs encoding, and video.codec is copy; allowed: leave one of the two out")
        return
    for number, (upper, lower) in enumerate(pairwise(ladder), start=1):
        if lower.height >= upper.height:
            yield not_allowed(f"ladder.{number}.height", lower.height, f"less than {upper.height}, of the rung before")
    for number, rung in enumerate(ladder):
        for problem in setting_problems(rung_video(video, rung)):
            yield problem._replace(field=f"ladder.{number}.{problem.field}")

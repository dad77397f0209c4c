"""What a profile says of the pictures that are taken from the video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reelmill.profiles.problems import Problem, not_allowed, refuse

PictureFormat = Literal["jpeg", "webp", "png"]
LARGEST_SIDE = 16_383
"""Pixels: more than this WebP can't hold."""
_MOMENT = re.compile(r"auto|[0-9]{1,6}(?:\.[0-9]{1,3})?|(?:100|[0-9]{1,2}(?:\.[0-9]{1,3})?)%")
_MOMENTS = "auto, seconds such as 12.5, or a share such as 25%"
_MOST_PREVIEW_S = 60


class _Settings(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PosterSettings(_Settings):
    """One picture that stands for the video."""

    at: str = Field(
        default="auto", json_schema_extra={"position": 1, "allowed": _MOMENTS},
        description="Which moment it shows; `auto` takes one that is rich in detail, not a black one",
    )  # fmt: skip
    width: int = Field(
        default=1280, ge=16, le=8192, json_schema_extra={"position": 2},
        description="Width in pixels; a smaller video is not enlarged",
    )  # fmt: skip
    format: PictureFormat = Field(default="jpeg", json_schema_extra={"position": 3}, description="Kind of file")
    quality: int = Field(
        default=90, ge=1, le=100, json_schema_extra={"position": 4},
        description="Of JPEG and WebP, higher is better",
    )  # fmt: skip

    @field_validator("at", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return f"{value:f}".rstrip("0").rstrip(".") if type(value) in (int, float) else value

    @field_validator("at")
    @classmethod
    def _possible_moment(cls, value: str) -> str:
        if not _MOMENT.fullmatch(value):
            raise ValueError(f"at is not {_MOMENTS}")
        return value

    def moment_s(self, first_s: Fraction, duration_s: Fraction) -> Fraction | None:
        """Return the player's time, where the first frame is shown at `first_s`; None for `auto`."""
        if self.at == "auto":
            return None
        return first_s + duration_s * Fraction(self.at[:-1]) / 100 if self.at.endswith("%") else Fraction(self.at)


class ThumbnailSettings(_Settings):
    """Single pictures, spread over the video."""

    every_s: float | None = Field(
        default=None, ge=0.1, le=3600, allow_inf_nan=False, json_schema_extra={"position": 1},
        description="Seconds from one to the next, the first frame first; excludes `count`",
    )  # fmt: skip
    count: int | None = Field(
        default=None, ge=1, le=1000, json_schema_extra={"position": 2},
        description="How many, each in the middle of its share of the video; 10 where `every_s` is left out too",
    )  # fmt: skip
    width: int = Field(
        default=320, ge=16, le=8192, json_schema_extra={"position": 3},
        description="Width in pixels; a smaller video is not enlarged",
    )  # fmt: skip
    format: PictureFormat = Field(default="jpeg", json_schema_extra={"position": 4}, description="Kind of file")
    quality: int = Field(
        default=80, ge=1, le=100, json_schema_extra={"position": 5},
        description="Of JPEG and WebP, higher is better",
    )  # fmt: skip

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.every_s is not None and self.count is not None:
            refuse([Problem("count", "excludes every_s; allowed: one of the two")])
        return self


class SpriteSettings(_Settings):
    """Small pictures on common sheets, which a player shows above its time line."""

    every_s: float | None = Field(
        default=None, ge=0.1, le=3600, allow_inf_nan=False, json_schema_extra={"position": 1},
        description="Seconds from one picture to the next; when left out whole seconds, so that there are 400 at most",
    )  # fmt: skip
    tile_width: int = Field(
        default=160, ge=16, le=640, json_schema_extra={"position": 2}, description="Width of a picture in pixels"
    )
    columns: int = Field(
        default=10, ge=1, le=100, json_schema_extra={"position": 3}, description="Pictures side by side on a sheet"
    )
    rows: int = Field(
        default=10, ge=1, le=100, json_schema_extra={"position": 4},
        description=f"Most rows of a sheet; fewer where it would be higher than {LARGEST_SIDE} pixels",
    )  # fmt: skip
    format: PictureFormat = Field(default="jpeg", json_schema_extra={"position": 5}, description="Kind of file")
    quality: int = Field(
        default=75, ge=1, le=100, json_schema_extra={"position": 6},
        description="Of JPEG and WebP, higher is better",
    )  # fmt: skip

    @model_validator(mode="after")
    def _sheet_is_possible(self) -> Self:
        if self.columns * self.tile_width > LARGEST_SIDE:
            most = LARGEST_SIDE // self.tile_width
            refuse([not_allowed("columns", self.columns, f"1 to {most}", f" with tile_width {self.tile_width}")])
        return self


class PreviewSettings(_Settings):
    """A short moving picture without sound."""

    start_s: float | None = Field(
        default=None, ge=0, le=172_800, allow_inf_nan=False, json_schema_extra={"position": 1},
        description="When its one snippet begins, in seconds; several are spread over the video when left out",
    )  # fmt: skip
    snippets: int = Field(
        default=4, ge=1, le=20, json_schema_extra={"position": 2},
        description="How many snippets follow one another, where `start_s` is left out",
    )  # fmt: skip
    snippet_s: float = Field(
        default=1.0, ge=0.2, le=30, allow_inf_nan=False, json_schema_extra={"position": 3},
        description="Seconds of each; of a video too short for them all of it is shown instead",
    )  # fmt: skip
    width: int = Field(
        default=320, ge=16, le=1280, json_schema_extra={"position": 4},
        description="Width in pixels; a smaller video is not enlarged",
    )  # fmt: skip
    frame_rate: int = Field(default=10, ge=1, le=30, json_schema_extra={"position": 5}, description="Pictures a second")
    format: Literal["webp", "gif"] = Field(
        default="webp", json_schema_extra={"position": 6},
        description="Kind of file; GIF is several times as large, with 256 colours",
    )  # fmt: skip
    quality: int = Field(
        default=60, ge=1, le=100, json_schema_extra={"position": 7}, description="Of WebP, higher is better"
    )
    loop: bool = Field(default=True, json_schema_extra={"position": 8}, description="Begin again at the end")

    @property
    def count(self) -> int:
        """Return how many snippets there are."""
        return self.snippets if self.start_s is None else 1

    @model_validator(mode="after")
    def _is_short(self) -> Self:
        if self.count * self.snippet_s > _MOST_PREVIEW_S:
            longest = _MOST_PREVIEW_S / self.count
            refuse([not_allowed("snippet_s", self.snippet_s, f"0.2 to {longest:g}", f" with {self.count} snippets")])
        return self


class PictureSettings(_Settings):
    """Which pictures are taken from the video. What is left out is not made; `{}` stands for the defaults of one."""

    poster: PosterSettings | None = Field(
        default=None, json_schema_extra={"position": 1}, description="One picture that stands for the video"
    )
    thumbnails: ThumbnailSettings | None = Field(
        default=None, json_schema_extra={"position": 2}, description="Single pictures, spread over the video"
    )
    sprites: SpriteSettings | None = Field(
        default=None, json_schema_extra={"position": 3},
        description="Small pictures on common sheets, with a WebVTT file that says which part is shown when",
    )  # fmt: skip
    preview: PreviewSettings | None = Field(
        default=None, json_schema_extra={"position": 4}, description="A short moving picture without sound"
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        refuse(_nothing_asked(self))
        return self


def _nothing_asked(pictures: PictureSettings) -> Iterator[Problem]:
    names = PictureSettings.model_fields
    if not any(getattr(pictures, name) for name in names):
        yield Problem("", f"asks for nothing; allowed: one or more of {', '.join(names)}")


ALL_PICTURES = PictureSettings(
    poster=PosterSettings(), thumbnails=ThumbnailSettings(), sprites=SpriteSettings(), preview=PreviewSettings()
)
"""What a job gets that asks for pictures with a profile that doesn't say which."""

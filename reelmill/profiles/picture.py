"""What a profile says of changes to the picture: what is cut off, and what is laid over it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reelmill.profiles.problems import Problem, not_allowed, refuse

Position = Literal[
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
]  # fmt: skip
ScaleMode = Literal["fit", "pad", "fill", "stretch"]
Denoise = Literal["none", "light", "strong"]

LONGEST_TEXT = 1000
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_EVEN = "0 to 16382, an even number"


class Crop(BaseModel):
    """What is cut off the upright picture, in its own pixels."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    left: int = Field(
        default=0, ge=0, le=16_382, json_schema_extra={"position": 1, "allowed": _EVEN},
        description="Columns cut off at the left",
    )  # fmt: skip
    top: int = Field(
        default=0, ge=0, le=16_382, json_schema_extra={"position": 2, "allowed": _EVEN},
        description="Rows cut off at the top",
    )  # fmt: skip
    right: int = Field(
        default=0, ge=0, le=16_382, json_schema_extra={"position": 3, "allowed": _EVEN},
        description="Columns cut off at the right",
    )  # fmt: skip
    bottom: int = Field(
        default=0, ge=0, le=16_382, json_schema_extra={"position": 4, "allowed": _EVEN},
        description="Rows cut off at the bottom",
    )  # fmt: skip

    @model_validator(mode="after")
    def _even(self) -> Self:
        sides = {name: getattr(self, name) for name in type(self).model_fields}
        refuse(not_allowed(name, size, _EVEN) for name, size in sides.items() if size % 2)
        return self


class Overlay(BaseModel):
    """An image, a text or a clock laid over the picture, at one place and size in every rendition."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    image: str | None = Field(
        default=None, json_schema_extra={"position": 1, "allowed": "path or s3:// address of PNG, JPEG, WebP or GIF"},
        description="A PNG, JPEG, WebP or GIF; one that moves goes on from segment to segment",
    )  # fmt: skip
    text: str | None = Field(
        default=None, json_schema_extra={"position": 2, "allowed": f"1 to {LONGEST_TEXT} characters"},
        description="A text, shown as it stands; may have several lines",
    )  # fmt: skip
    clock: bool = Field(
        default=False, json_schema_extra={"position": 3},
        description="The time of the source, to the millisecond; one of `image`, `text` and `clock` is needed",
    )  # fmt: skip
    position: Position = Field(
        default="bottom-right", json_schema_extra={"position": 4}, description="Where in the picture",
    )  # fmt: skip
    margin: float = Field(
        default=0.03, ge=0, le=0.5, allow_inf_nan=False, json_schema_extra={"position": 5},
        description="Distance from the edges, as a share of the picture's height",
    )  # fmt: skip
    height: float | None = Field(
        default=None, ge=0.005, le=1, allow_inf_nan=False, json_schema_extra={"position": 6},
        description="Height of the image, or of a line of text, as a share of the picture's; 0.1, or 0.05, "
        "when left out",
    )  # fmt: skip
    opacity: float = Field(
        default=1.0, ge=0, le=1, allow_inf_nan=False, json_schema_extra={"position": 7},
        description="1 hides what is below, 0 shows nothing",
    )  # fmt: skip
    colour: str = Field(
        default="#ffffff", json_schema_extra={"position": 8, "allowed": "# and six hexadecimal digits, quoted"},
        description="Colour of a text, as `\"#rrggbb\"`; its shadow is black",
    )  # fmt: skip
    start_s: float = Field(
        default=0.0, ge=0, le=1_000_000, allow_inf_nan=False, json_schema_extra={"position": 9},
        description="Second of the source from which it is shown",
    )  # fmt: skip
    end_s: float | None = Field(
        default=None, ge=0, le=1_000_000, allow_inf_nan=False, json_schema_extra={"position": 10},
        description="Second of the source from which it is no longer shown; to the end when left out",
    )  # fmt: skip

    @property
    def height_share(self) -> float:
        return self.height if self.height is not None else 0.1 if self.image is not None else 0.05

    @field_validator("start_s", "end_s", "margin", "height", "opacity", mode="before")
    @classmethod
    def _whole_number_as_number(cls, value: object) -> object:
        return float(value) if type(value) is int else value

    @field_validator("colour")
    @classmethod
    def _colour(cls, value: str) -> str:
        if not _COLOUR.fullmatch(value):
            raise ValueError("colour is not #rrggbb")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse(self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        kinds = [name for name in ("image", "text", "clock") if getattr(self, name) not in (None, False)]
        if len(kinds) != 1:
            yield Problem(
                "", f"has {' and '.join(kinds) or 'none'} of image, text and clock; allowed: one of the three"
            )
        if self.text is not None and (why := text_fault(self.text)):
            yield Problem("text", f"{why}; allowed: 1 to {LONGEST_TEXT} characters")
        if self.end_s is not None and self.end_s <= self.start_s:
            yield not_allowed("end_s", self.end_s, f"more than start_s, {self.start_s:g}")


def text_fault(text: str) -> str | None:
    """Return why a text can't be shown; None when it can."""
    if not text.strip():
        return "is empty"
    if len(text) > LONGEST_TEXT:
        return f"is {len(text):,} characters long"
    odd = next((each for each in text if each != "\n" and not (each.isprintable() or each == "\u200d")), None)
    return None if odd is None else f"holds the character U+{ord(odd):04X}, which can't be shown"


def scale_mode_problems(mode: ScaleMode, width: int | None, height: int | None) -> Iterator[Problem]:
    """Yield what the way of scaling needs and does not have."""
    if mode != "fit" and (width is None or height is None):
        yield Problem("scale_mode", f"{mode} needs width and height; allowed: fit, or all three")

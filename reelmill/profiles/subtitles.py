"""What a profile says of the subtitles that become part of the picture."""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reelmill.profiles.problems import Problem, not_allowed, refuse

_TRACK = re.compile(r"[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_ENDINGS = (".srt", ".vtt", ".ass")
_TRACKS = "a language, the number of a stream, default or forced"


class BurnedSubtitles(BaseModel):
    """Which subtitles are drawn into the picture, and how large where they don't say it themselves."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    track: str | None = Field(
        default=None, json_schema_extra={"position": 1, "allowed": _TRACKS},
        description="A text track of the source: the first in a language, such as `eng`, that is not a forced one; the "
        "stream of this number; or the one that is marked as `default` or `forced`",
    )  # fmt: skip
    file: str | None = Field(
        default=None, json_schema_extra={"position": 2, "allowed": "path or s3:// address of SRT, WebVTT or ASS"},
        description="A file, whose times count from the start of the source; one of `track` and `file` is needed",
    )  # fmt: skip
    height: float = Field(
        default=0.075, ge=0.01, le=0.3, allow_inf_nan=False, json_schema_extra={"position": 3},
        description="Height of a line, as a share of the shorter side of the picture; ASS has its own",
    )  # fmt: skip
    margin: float = Field(
        default=0.05, ge=0, le=0.4, allow_inf_nan=False, json_schema_extra={"position": 4},
        description="Distance from the edges, as a share of the picture's height and width; ASS has its own",
    )  # fmt: skip

    @field_validator("track", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return str(value) if type(value) is int else value

    @field_validator("height", "margin", mode="before")
    @classmethod
    def _whole_number_as_number(cls, value: object) -> object:
        return float(value) if type(value) is int else value

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        kinds = [name for name in ("track", "file") if getattr(self, name) is not None]
        if len(kinds) != 1:
            refuse([Problem("", f"has {' and '.join(kinds) or 'none'} of track and file; allowed: one of the two")])
        if self.track is not None and not _TRACK.fullmatch(self.track):
            refuse([not_allowed("track", self.track, _TRACKS)])
        return self


def is_subtitle_file(track_or_file: str) -> bool:
    """Whether this is the path or address of a file, not a track of the source."""
    return "/" in track_or_file or track_or_file.lower().endswith(_ENDINGS)

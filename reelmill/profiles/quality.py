"""What a profile says of quality: whether it is measured, and what is not good enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reelmill.profiles.problems import Problem, refuse


class QualitySettings(BaseModel):
    """Every segment of the video is compared with the source, as it was after scaling and all other changes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    measure: bool = Field(
        default=False, json_schema_extra={"position": 1},
        description="Compare what was encoded with the source: VMAF, SSIM and PSNR",
    )  # fmt: skip
    every_frames: int = Field(
        default=5, ge=1, le=1000, json_schema_extra={"position": 2},
        description="Compare one of so many frames; 1 compares all",
    )  # fmt: skip
    min_vmaf: float | None = Field(
        default=None, ge=0, le=100, allow_inf_nan=False, json_schema_extra={"position": 3},
        description="The job fails when a segment has less, on average",
    )  # fmt: skip
    min_ssim: float | None = Field(
        default=None, ge=0, le=1, allow_inf_nan=False, json_schema_extra={"position": 4},
        description="The same of SSIM",
    )  # fmt: skip
    min_psnr_db: float | None = Field(
        default=None, ge=0, le=100, allow_inf_nan=False, json_schema_extra={"position": 5},
        description="The same of PSNR of luma, in decibels",
    )  # fmt: skip

    better_tries: int = Field(
        default=0, ge=0, le=5, json_schema_extra={"position": 6},
        description="How often a segment that has less is encoded again, better each time, before the job fails",
    )  # fmt: skip

    @property
    def compare_every(self) -> int | None:
        """Of how many frames one is compared; None where nothing is measured."""
        return self.every_frames if self.measure else None

    @property
    def floors(self) -> dict[str, float]:
        """What is the least that each measure must be, by its name."""
        wanted = {"vmaf": self.min_vmaf, "ssim": self.min_ssim, "psnr_db": self.min_psnr_db}
        return {name: least for name, least in wanted.items() if least is not None}

    @field_validator("min_vmaf", "min_ssim", "min_psnr_db", mode="before")
    @classmethod
    def _whole_number_as_number(cls, value: object) -> object:
        return float(value) if type(value) is int else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse(self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        if not self.measure:
            for name in self.floors:
                yield Problem(f"min_{name}", "needs measure: true; allowed: both, or none of the two")
        if self.better_tries and not self.floors:
            yield Problem("better_tries", "needs min_vmaf, min_ssim or min_psnr_db; allowed: both, or 0")

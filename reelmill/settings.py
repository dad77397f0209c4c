"""Settings of one machine, from `REELMILL_*` environment variables. A job's own choices are in its profile."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_work_dir() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "reelmill"


class Settings(BaseSettings):
    """What may differ from machine to machine; a job gives the same result under any of it."""

    model_config = SettingsConfigDict(env_prefix="REELMILL_", frozen=True, extra="ignore")

    ffmpeg: Path | None = Field(default=None, description="ffmpeg to run; the one of the lock file when unset")
    work_dir: Path = Field(default_factory=_default_work_dir, description="Folder of unfinished work, kept for resume")
    source_root: Path | None = Field(
        default=None, description="Folder that every source must be in; anywhere when unset"
    )
    output_root: Path | None = Field(
        default=None, description="Folder that every output must be in; anywhere when unset"
    )
    workers: PositiveInt = Field(default_factory=_usable_cores, description="ffmpeg processes at once")
    segment_s: PositiveFloat = Field(default=30.0, description="Length aimed at for a segment, in seconds")
    max_encode_tasks: PositiveInt = Field(
        default=1000, description="Most encode tasks of one job (segments x renditions)"
    )
    retries: NonNegativeInt = Field(
        default=3, description="Times a task is tried again after ffmpeg failed, stalled or died"
    )
    stall_timeout_s: PositiveFloat = Field(
        default=120.0, description="Seconds without progress before ffmpeg is killed"
    )
    probe_timeout_s: PositiveFloat = Field(
        default=30.0, description="Seconds without progress before probing is given up"
    )
    niceness: NonNegativeInt = Field(default=5, description="Niceness of ffmpeg, 0 to 19")
    max_pixels: PositiveInt = Field(default=8192 * 8192, description="Most pixels of one picture")
    max_duration_s: PositiveFloat = Field(default=48 * 3600.0, description="Longest source, in seconds")
    max_gap_s: PositiveFloat = Field(default=3600.0, description="Longest time between two frames, in seconds")
    max_frame_rate: PositiveFloat = Field(default=1000.0, description="Most frames a second")
    max_streams: PositiveInt = Field(default=128, description="Most streams of a source")
    max_channels: PositiveInt = Field(default=64, description="Most channels of an audio track")
    max_outputs: PositiveInt = Field(default=64, description="Most outputs of a job")


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Read the settings once per process."""
    return Settings()

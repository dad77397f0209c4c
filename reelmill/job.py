"""A job: one source, the formats wanted of it, and where they go. The one parameter of the flow."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reelmill.errors import InvalidParameter, InvalidUri, LimitOutputs, OutputCollision, PathEscape
from reelmill.formats import FORMATS, FormatName
from reelmill.planning.plan import content_key
from reelmill.profiles.profile import Profile
from reelmill.settings import settings
from reelmill.storage.location import Location, S3Location, is_printable, parse_location

SHORTEST_SEGMENT_S = 0.1
_LONGEST_NAME = 200
DamagePolicy = Literal["strict", "lenient", "salvage"]


class TranscodeJob(BaseModel):
    """What to make of one source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="Path of the video, or s3://bucket/key", json_schema_extra={"position": 1})
    formats: tuple[FormatName, ...] = Field(
        default=(), description="Formats to make; the profile's own when empty", json_schema_extra={"position": 2}
    )
    profile: str | None = Field(
        default=None,
        description="Name of a built-in profile, or path or s3:// address of a profile file",
        json_schema_extra={"position": 3},
    )
    output: str | None = Field(
        default=None,
        description="Folder or s3://bucket/prefix for the results; when empty, one named after the source",
        json_schema_extra={"position": 4},
    )  # fmt: skip
    name: str | None = Field(
        default=None, description="File name of the results without its ending; the source's own when empty",
        json_schema_extra={"position": 5},
    )  # fmt: skip
    segment_s: float | None = Field(
        default=None, description="Length of a segment in seconds; chosen by the planner when empty",
        json_schema_extra={"position": 6},
    )  # fmt: skip
    workers: int | None = Field(
        default=None,
        description="ffmpeg processes at once; one for each core when empty",
        json_schema_extra={"position": 7},
    )
    damage: DamagePolicy = Field(
        default="lenient", json_schema_extra={"position": 8},
        description="A damaged source is refused (strict) or encoded with a warning (lenient), also cut off (salvage)",
    )  # fmt: skip
    copy_when_fits: bool = Field(
        default=False,
        description="Copy streams that already are what a format needs",
        json_schema_extra={"position": 9},
    )
    source_size_bytes: int | None = Field(
        default=None, description="Size the source must have, when it is known", json_schema_extra={"position": 10}
    )
    replace: bool = Field(
        default=False,
        description="Replace what an earlier job published in the output folder; refused otherwise",
        json_schema_extra={"position": 11},
    )

    @property
    def source_location(self) -> Location:
        location = parse_location(self.source, "source", settings().source_root)
        if isinstance(location, S3Location) and not location.key:
            raise InvalidUri(f"source: {location} is a bucket, not an object")
        return location

    @property
    def output_location(self) -> Location:
        root = settings().output_root
        return parse_location(self.output or self._default_output(root), "output", root)

    def _default_output(self, root: str | None) -> str:
        """Name a folder after the source. In a common root its whole path is part of it: two sources, two folders."""
        if root is None:
            return f"{self.base_name}.reelmill"
        source, base = str(_resolved(self.source_location)), settings().source_root
        if base is not None:
            base = str(parse_location(base, "source root")) if "://" in base else str(Path(base).resolve())
            source = source.removeprefix(base.rstrip("/"))
        return f"{source.removeprefix('s3://').lstrip('/')}.reelmill"

    @property
    def base_name(self) -> str:
        """Name of the result files, without ending. Never leads out of the output folder."""
        name = self.name if self.name is not None else PurePosixPath(self.source).stem
        bad = not name or name in (".", "..") or "/" in name or "\\" in name or not is_printable(name)
        if bad or len(name.encode()) > _LONGEST_NAME:
            raise PathEscape(f"name: {name[:100]!r} is not a plain file name of at most {_LONGEST_NAME} bytes")
        return name


def check_job(job: TranscodeJob, profile: Profile) -> tuple[FormatName, ...]:
    """Return the formats of the job, each once and in order, or raise JobRejected for what can't be."""
    formats = job.formats or profile.formats
    if job.segment_s is not None and not (math.isfinite(job.segment_s) and job.segment_s >= SHORTEST_SEGMENT_S):
        raise InvalidParameter(
            f"segment_s (--segment-seconds): {job.segment_s:g} is not allowed; allowed: {SHORTEST_SEGMENT_S} or more"
        )
    if job.workers is not None and job.workers < 1:
        raise InvalidParameter(f"workers: {job.workers} is not allowed; allowed: 1 or more")
    if len(formats) > settings().max_outputs:
        raise LimitOutputs(f"{len(formats)} outputs are more than {settings().max_outputs}")
    if len(set(formats)) < len(formats):
        twice = next(each for each in formats if formats.count(each) > 1)
        raise OutputCollision(f"{twice} is asked for twice: two outputs would be {job.base_name}.{twice}")
    source, output = _resolved(job.source_location), _resolved(job.output_location)
    for each in formats:
        if output / f"{job.base_name}.{FORMATS[each].name}" == source:
            raise OutputCollision(f"the output {source.name} would be the source itself")
    return formats


def job_key(source_identity: str, profile: Profile, formats: tuple[str, ...], job: TranscodeJob) -> str:
    """Name the job by what it makes of which content: equal requests have one key on every machine."""
    return content_key(
        source_identity, profile.model_dump_json(exclude={"name", "description", "formats"}),
        ",".join(sorted(formats)), job.base_name, job.damage, str(job.segment_s), str(job.copy_when_fits),
    )  # fmt: skip


def _resolved(location: Location) -> Location:
    return location.resolve() if isinstance(location, Path) else location

"""A job: one source, the formats wanted of it, and where they go. The one parameter of the flow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from reelmill.errors import InvalidParameter, InvalidUri, LimitOutputs, OutputCollision, PathEscape, UriSchemeNotAllowed
from reelmill.formats import FORMATS, FormatName
from reelmill.planning.plan import content_key
from reelmill.profiles.profile import Profile
from reelmill.settings import settings

SHORTEST_SEGMENT_S = 0.1
_LONGEST_NAME, _LONGEST_PATH = 200, 4000
DamagePolicy = Literal["strict", "lenient", "salvage"]


class TranscodeJob(BaseModel):
    """What to make of one source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="Path of the video", json_schema_extra={"position": 1})
    formats: tuple[FormatName, ...] = Field(
        default=(), description="Formats to make; the profile's own when empty", json_schema_extra={"position": 2}
    )
    profile: str | None = Field(
        default=None,
        description="Name of a built-in profile, or path of a profile file",
        json_schema_extra={"position": 3},
    )
    output: str | None = Field(
        default=None, description="Folder for the results; SOURCE.reelmill in the current folder when empty",
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

    @property
    def source_path(self) -> Path:
        return _local_path(self.source, "source", settings().source_root)

    @property
    def output_path(self) -> Path:
        name = self.output or f"{self.base_name}.reelmill"
        return _local_path(name, "output", settings().output_root)

    @property
    def base_name(self) -> str:
        """Name of the result files, without ending. Never leads out of the output folder."""
        name = self.name if self.name is not None else Path(self.source).stem
        bad = not name or name in (".", "..") or "/" in name or "\\" in name or not _is_printable_utf8(name)
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
    source, output = job.source_path.resolve(), job.output_path.resolve()
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


def _is_printable_utf8(text: str) -> bool:
    """Whether the text has no control characters, and none that UTF-8 can't hold."""
    return not any(each < " " or "\x7f" <= each < "\xa0" or "\ud800" <= each <= "\udfff" for each in text)


def _local_path(text: str, field: str, root: Path | None) -> Path:
    if not text or not _is_printable_utf8(text) or len(text) > _LONGEST_PATH:
        raise InvalidUri(f"{field}: {text[:100]!r} is not a path")
    scheme, mark, _ = text.partition("://")
    if mark and scheme.isalnum():
        try:
            urlsplit(text)
        except ValueError as error:
            raise InvalidUri(f"{field}: {text[:100]!r} is not a URI: {error}") from error
        raise UriSchemeNotAllowed(f"{field}: {scheme.lower()}:// is not opened; allowed: a path")
    path = Path(text)
    if root is None:
        return path
    inside = (root / path).resolve()
    if not inside.is_relative_to(root.resolve()):
        raise PathEscape(f"{field}: {text} leads out of {root.name}")
    return inside

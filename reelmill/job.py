"""A job: one source, the formats wanted of it, and where they go. The one parameter of the flow."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from reelmill.errors import InvalidParameter, LimitOutputs, OutputCollision, PathEscape
from reelmill.formats import FORMATS, FormatName
from reelmill.forms import as_form
from reelmill.profiles.loading import builtin_profiles
from reelmill.profiles.profile import Profile
from reelmill.settings import MOST_WORKERS, settings
from reelmill.storage.digests import content_key
from reelmill.storage.location import Location, is_printable, parse_location, source_location

SHORTEST_SEGMENT_S = 0.1
_LONGEST_NAME = 200
_MOST_FOLLOWING = 100
_NOT_MADE: Any = {
    "name": True, "description": True, "formats": True,
    "video": {"overlays": {"__all__": {"image"}}, "burn_subtitles": {"file"}},
}  # fmt: skip
"""What of a profile has no part in what is made: names. Images and files of subtitles are known by their content."""
DamagePolicy = Literal["strict", "lenient", "salvage"]
Exact = Annotated[Decimal, PlainSerializer(float, when_used="json"), WithJsonSchema({"type": "number"})]
"""A number in JSON, and exact here: what a person types has fewer digits than a float keeps."""


class Clip(BaseModel):
    """The part of a source that is used: what begins from `start` to before `end`."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=as_form)

    start: Exact | None = Field(default=None, description="In seconds. When empty: its beginning")
    end: Exact | None = Field(default=None, description="In seconds. When empty: its end")


class Following(BaseModel):
    """A source that follows the first one in the result."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=as_form)

    source: str = Field(description="Path of the video on the machine that does the work, or s3://bucket/key")
    clip: Annotated[Clip, WithJsonSchema(Clip.model_json_schema())] | None = Field(
        default=None, description="Use a part of it only, to the frame. When empty: all of it"
    )

    @property
    def location(self) -> Location:
        return source_location(self.source, "append")


class TranscodeJob(BaseModel):
    """What to make of one source."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=as_form)

    source: str = Field(description="Path of the video on the machine that does the work, or s3://bucket/key")
    formats: tuple[FormatName, ...] = Field(
        default=(), description="As many as you like. When empty: those of the profile, and mp4 without one"
    )
    profile: str | None = Field(
        default=None,
        description=f"Codecs, quality and size. One of {', '.join(builtin_profiles())}, "
        "or the path or s3:// address of a profile file",
    )
    output: str | None = Field(
        default=None,
        description="Folder for the results, or s3://bucket/prefix. When empty: one named after the source",
    )
    name: str | None = Field(
        default=None, title="File name", description="Of the results, without ending. When empty: the source's own"
    )
    clip: Annotated[Clip, WithJsonSchema(Clip.model_json_schema())] | None = Field(
        default=None, description="Use a part of the source only, to the frame. When empty: all of it"
    )
    append: tuple[Following, ...] = Field(
        default=(), description="Further sources, joined to the first in this order, to the frame"
    )
    pictures: bool = Field(
        default=False,
        title="Take pictures",
        description="Poster, thumbnails, sprites and preview, as the profile says; all of them where it says nothing",
    )
    watermark: str | None = Field(
        default=None,
        description="PNG, JPEG, WebP or GIF, laid over the video at the bottom right. A path or s3:// address",
    )
    watermark_text: str | None = Field(
        default=None, title="Text of the watermark", description="Laid over the video at the bottom left, as it stands"
    )
    burn_subtitles: str | None = Field(
        default=None,
        title="Subtitles burned in",
        description="Become part of the picture: a language such as eng, the number of a stream, default or forced; or "
        "a file, .srt, .vtt or .ass, a path or s3:// address",
    )
    copy_when_fits: bool = Field(
        default=False,
        title="Copy when it fits",
        description="Copy streams that already are what a format needs, instead of encoding them again",
    )
    replace: bool = Field(
        default=False,
        title="Replace an earlier result",
        description="What another job published in the same folder gives way to this one's result; refused otherwise",
    )
    damage: DamagePolicy = Field(
        default="lenient",
        title="If the source is damaged",
        description="strict refuses it; lenient encodes it with a warning; salvage does so even when its end is "
        "missing",
    )
    segment_s: float | None = Field(
        default=None,
        title="Segment length",
        description="In seconds. When empty: chosen for the source",
        json_schema_extra={"minimum": SHORTEST_SEGMENT_S},
    )
    budget: Exact | None = Field(
        default=None,
        description="What a run may cost, in the currency of the prices that are set. It is refused when more is "
        "expected, and stopped when more is spent",
        json_schema_extra={"minimum": 0},
    )
    workers: int | None = Field(
        default=None,
        description="How many ffmpeg run at once. When empty: one for each core",
        json_schema_extra={"minimum": 1, "maximum": MOST_WORKERS},
    )
    callback_url: str | None = Field(
        default=None,
        title="Callback",
        description="https:// address that is told of progress and of the end. When empty: that of the settings",
    )
    source_size_bytes: int | None = Field(
        default=None,
        title="Size of the source",
        description="In bytes, if you know it: a source of another size is refused",
    )

    @property
    def source_location(self) -> Location:
        return source_location(self.source, "source")

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
        return f"{source.partition('://')[2] or source.lstrip('/')}.reelmill"

    @property
    def base_name(self) -> str:
        """Name of the result files, without ending. Never leads out of the output folder."""
        name = self.name if self.name is not None else PurePosixPath(self.source).stem
        bad = not name or name in (".", "..") or "/" in name or "\\" in name or not is_printable(name)
        if bad or len(name.encode()) > _LONGEST_NAME:
            refused = f"{name[:100]!r} is not a plain file name of at most {_LONGEST_NAME} bytes"
            if self.name is None:
                raise PathEscape(f"source: the results would be named after it, and {refused}; --name is another")
            raise PathEscape(f"name: {refused}")
        return name


def check_job(job: TranscodeJob, profile: Profile) -> tuple[FormatName, ...]:
    """Return the formats of the job, each once and in order, or raise JobRejected for what can't be."""
    formats = job.formats or profile.formats
    if job.segment_s is not None and not (math.isfinite(job.segment_s) and job.segment_s >= SHORTEST_SEGMENT_S):
        raise InvalidParameter(
            f"segment_s (--segment-seconds): {job.segment_s:g} is not allowed; allowed: {SHORTEST_SEGMENT_S} or more"
        )
    if job.workers is not None and not 1 <= job.workers <= MOST_WORKERS:
        raise InvalidParameter(f"workers: {job.workers} is not allowed; allowed: 1 to {MOST_WORKERS}")
    if job.budget is not None and job.budget <= 0:
        raise InvalidParameter(f"budget: {job.budget} is not allowed; allowed: more than 0")
    if len(formats) > settings().max_outputs:
        raise LimitOutputs(f"{len(formats)} outputs are more than {settings().max_outputs}")
    if len(set(formats)) < len(formats):
        twice = next(each for each in formats if formats.count(each) > 1)
        raise OutputCollision(f"{twice} is asked for twice: two outputs would be {job.base_name}.{twice}")
    if len(job.append) > _MOST_FOLLOWING:
        raise InvalidParameter(f"append: {len(job.append)} sources are more than {_MOST_FOLLOWING}")
    for clip in (job.clip, *(each.clip for each in job.append)):
        if clip is not None:
            refuse_bad_clip(clip)
    sources = [_resolved(each) for each in (job.source_location, *(each.location for each in job.append))]
    output = _resolved(job.output_location)
    for each in formats:
        out = output / f"{job.base_name}.{FORMATS[each].name}"
        if out in sources:
            raise OutputCollision(f"the output {out.name} would be the source itself")
    return formats


def refuse_bad_clip(clip: Clip) -> None:
    """Raise InvalidParameter for a clip that no source could have."""
    start, end = clip.start or 0, clip.end
    if start < 0:
        raise InvalidParameter(f"clip: start {start} is not allowed; allowed: 0 or more")
    if end is not None and end <= start:
        raise InvalidParameter(f"clip: end {end} is not allowed; allowed: more than its start, {start}")


def job_key(
    source_identity: str, profile: Profile, formats: tuple[str, ...], job: TranscodeJob, *laid_over: str
) -> str:
    """Name the job by what it makes of which content: equal requests have one key on every machine.

    `laid_over` names what else its result is made of.
    """
    return content_key(
        source_identity, profile.model_dump_json(exclude=_NOT_MADE),
        ",".join(sorted(formats)), job.base_name, job.damage, str(job.segment_s), str(job.copy_when_fits),
        job.clip.model_dump_json() if job.clip else "",
        ",".join(each.clip.model_dump_json() if each.clip else "" for each in job.append), *laid_over,
    )  # fmt: skip


def _resolved(location: Location) -> Location:
    return location.resolve() if isinstance(location, Path) else location

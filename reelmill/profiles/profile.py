"""A profile: what to encode, under a name. Checked as a whole before anything runs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reelmill.errors import InvalidProfile
from reelmill.formats import FORMATS, Format, FormatName
from reelmill.profiles import audio as audio_rules
from reelmill.profiles import video as video_rules
from reelmill.profiles.audio import AudioSettings
from reelmill.profiles.encoders import AUDIO_ENCODERS, VIDEO_ENCODERS
from reelmill.profiles.pictures import PictureSettings
from reelmill.profiles.problems import Problem, not_allowed, refuse
from reelmill.profiles.quality import QualitySettings
from reelmill.profiles.streaming import Rung, StreamingSettings, ladder_problems, rung_video
from reelmill.profiles.video import VideoSettings

__all__ = ["AudioSettings", "Profile", "Rung", "StreamingSettings", "VideoSettings", "check_formats", "codec_for"]


class Profile(BaseModel):
    """One profile file. A value that passed validation can be encoded in every format it lists."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    version: Literal[1] = Field(
        json_schema_extra={"position": 1},
        description="Version of this file format",
    )  # fmt: skip
    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Name of the profile",
        json_schema_extra={
            "position": 2,
            "allowed": "1 to 64 of a-z, 0-9, dot, underscore and hyphen, a letter or a digit first",
        },
    )  # fmt: skip
    description: str = Field(
        default="", max_length=500, json_schema_extra={"position": 3, "allowed": "text of at most 500 characters"},
        description="What the profile is for, in a sentence",
    )  # fmt: skip
    formats: tuple[FormatName, ...] = Field(
        default=("mp4",), strict=False, json_schema_extra={"position": 4},
        description="Formats to make where the job names none",
    )  # fmt: skip
    video: VideoSettings = Field(
        default_factory=VideoSettings, json_schema_extra={"position": 5},
        description="How the video is encoded",
    )  # fmt: skip
    audio: AudioSettings = Field(
        default_factory=AudioSettings, json_schema_extra={"position": 6},
        description="How the audio is encoded",
    )  # fmt: skip
    ladder: tuple[Rung, ...] = Field(
        default=(), max_length=12, strict=False,
        json_schema_extra={"position": 7, "allowed": "at most 12 rungs, the largest first"},
        description="Renditions of HLS and DASH; one, as `video` says, when left out",
    )  # fmt: skip
    streaming: StreamingSettings = Field(
        default_factory=StreamingSettings, json_schema_extra={"position": 8},
        description="How HLS and DASH are cut",
    )  # fmt: skip
    quality: QualitySettings = Field(
        default_factory=QualitySettings, json_schema_extra={"position": 9},
        description="Whether what was encoded is compared with the source, and how good it must be",
    )  # fmt: skip
    pictures: PictureSettings | None = Field(
        default=None, json_schema_extra={"position": 10},
        description="Poster, thumbnails, sprites and preview; none when left out",
    )  # fmt: skip
    copy_when_fits: bool = Field(
        default=False, json_schema_extra={"position": 11},
        description="Copy a stream that already is what the format needs instead of encoding it again",
    )  # fmt: skip

    @field_validator("version", mode="before")
    @classmethod
    def _whole_version(cls, value: object) -> object:
        if type(value) is not int:  # True and 1.0 equal 1
            raise ValueError("not a whole number")
        return value

    @field_validator("formats")
    @classmethod
    def _each_format_once(cls, formats: tuple[FormatName, ...]) -> tuple[FormatName, ...]:
        if not formats:
            raise ValueError("no format")
        refuse(Problem("", f"{each} is named twice") for each in FORMATS if formats.count(FORMATS[each].name) > 1)
        return formats

    @model_validator(mode="after")
    def _fits_its_formats(self) -> Self:
        refuse((*ladder_problems(self.video, self.ladder), *_format_problems(self, self.formats)))
        return self


def codec_for(format: FormatName, profile: Profile) -> tuple[str | None, str]:
    """Return the codec of video, None where the format has none, and of audio; either may be `copy`.

    Where `check_formats` passes the format holds what is returned; of `copy` the source decides.
    """
    container = FORMATS[format]
    video = None if container.is_audio_only else profile.video.codec or container.default_video
    return video, profile.audio.codec or container.default_audio


def check_formats(profile: Profile, formats: Iterable[FormatName]) -> None:
    """Raise InvalidProfile, naming format and codec, where a format can't hold what the profile makes for it."""
    problems = list(dict.fromkeys(_format_problems(profile, tuple(formats))))
    if problems:
        raise InvalidProfile(f"profile {profile.name}: " + "; ".join(map(str, problems)))


def _format_problems(profile: Profile, formats: tuple[FormatName, ...]) -> Iterator[Problem]:
    containers = [FORMATS[each] for each in formats]
    only_audio = all(container.is_audio_only for container in containers)
    for container in containers:
        if not container.is_audio_only or only_audio:
            yield from _video_problems(profile.video, container)
        if container.packaged:
            yield from _rung_problems(profile, container)
        yield from _audio_problems(profile.audio, container)


def _rung_problems(profile: Profile, container: Format) -> Iterator[Problem]:
    if profile.video.codec == "copy":
        yield not_allowed(
            "video.codec", "copy", ", ".join(container.video_codecs), f", {container.name} needs keyframes of its own"
        )
        return
    for number, rung in enumerate(profile.ladder):
        for problem in _video_problems(rung_video(profile.video, rung), container):
            if problem.field not in ("video.codec", "video.preset", "video.pixel_format"):  # said already
                yield problem._replace(field=f"ladder.{number}.{problem.field.removeprefix('video.')}")


def _video_problems(video: VideoSettings, container: Format) -> Iterator[Problem]:
    if video.codec == "copy":
        return
    if video.codec is not None:
        yield from _holds("video.codec", video.codec, container.name, container.video_codecs, VIDEO_ENCODERS)
    elif container.default_video is not None:
        reason = f" for {container.default_video}, the codec of {container.name}"
        for problem in video_rules.encoder_problems(video, container.default_video, reason):
            yield problem._replace(field=f"video.{problem.field}")


def _audio_problems(audio: AudioSettings, container: Format) -> Iterator[Problem]:
    if audio.codec == "copy":
        return
    codec = audio.codec or container.default_audio
    yield from _holds("audio.codec", codec, container.name, container.audio_codecs, AUDIO_ENCODERS)
    found = list(audio_rules.container_problems(audio, codec, container.name))
    if audio.codec is None:
        found += audio_rules.encoder_problems(audio, codec, f" for {codec}, the codec of {container.name}")
    for problem in found:
        yield problem._replace(field=f"audio.{problem.field}")


def _holds(
    field: str, codec: str, container: str, held: tuple[str, ...], encoders: Container[str]
) -> Iterator[Problem]:
    if codec not in held:
        allowed = ", ".join(each for each in held if each in encoders) or "leave it out"
        yield not_allowed(field, codec, allowed, f", {container} can't hold it")

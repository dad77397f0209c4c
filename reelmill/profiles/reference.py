"""Make docs/profiles.md from the models, the built-in profiles and the tables of formats and encoders.

Run as a module it prints the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reelmill.formats import FORMATS
from reelmill.profiles.encoders import AUDIO_ENCODERS, VIDEO_ENCODERS
from reelmill.profiles.loading import MAX_PROFILE_BYTES, builtin_profiles
from reelmill.profiles.picture import Crop, Overlay
from reelmill.profiles.pictures import (
    PictureSettings,
    PosterSettings,
    PreviewSettings,
    SpriteSettings,
    ThumbnailSettings,
)
from reelmill.profiles.problems import allowed_values, shown
from reelmill.profiles.profile import AudioSettings, Profile, Rung, StreamingSettings, VideoSettings
from reelmill.profiles.quality import QualitySettings
from reelmill.profiles.subtitles import BurnedSubtitles

EXAMPLE = """\
version: 1
name: team-review
description: What the editors look at before a release
formats: [mp4, mkv]
video:
  codec: h264
  crf: 21
  max_bitrate_bps: 6_000_000    # never more than this over the buffer
  vbv_buffer_bits: 12_000_000   # two seconds of it
  preset: fast
  width: 1920                   # a box: the picture is fitted into it
  height: 1080
  frame_rate: 30000/1001
  pixel_format: yuv420p
  keyframe_interval_s: 2
  deinterlace: auto
audio:
  codec: aac
  bitrate_bps: 160_000
  channels: 2
  sample_rate_hz: 48_000
copy_when_fits: false
"""

_PICTURES: dict[str, type[BaseModel]] = {
    "poster": PosterSettings, "thumbnails": ThumbnailSettings, "sprites": SpriteSettings, "preview": PreviewSettings,
}  # fmt: skip

_HOLDS = """\
## What each format holds

A codec that the format can't hold is refused before anything runs. More can be copied into a format than a profile
can encode.
"""

_INTRODUCTION = f"""\
# Profiles

A profile says what to encode: which codecs, how good, how large, and which formats to make when the job names none.
It is a YAML file with a name. Some come with Reelmill and are asked for by name, `web-720p`; your own are asked for
by path, `profiles/team-review.yaml`. A name that ends in `.yaml` or `.yml`, or has a `/` in it, is a path.

Only `version` and `name` are required. What is left out follows the source, or the default of the encoder.

```yaml
{EXAMPLE}```

A profile is checked whole before anything runs, and so is every format the job asks for. What is wrong is said in one
line: the file, the field, the value, and what would be allowed.

    team-review.yaml: video.crf: 999 is not allowed; allowed: 0 to 51

A file is plain YAML, at most {MAX_PROFILE_BYTES // 1024} KiB, without anchors, aliases, tags or keys given twice.
Words mean what they do in YAML 1.2: only `true` and `false` are truth values. `128_000` is a number.
"""


def profiles_reference() -> str:
    """Return the text of docs/profiles.md."""
    sections = (
        _INTRODUCTION,
        "## Fields of a profile\n\n" + _fields(Profile),
        "## Fields of `video`\n\n" + _fields(VideoSettings),
        "## Fields of `crop`\n\n" + _fields(Crop),
        "## Fields of an overlay\n\n" + _fields(Overlay),
        "## Fields of `burn_subtitles`\n\n" + _fields(BurnedSubtitles),
        "## Fields of `audio`\n\n" + _fields(AudioSettings),
        "## Fields of a rung of `ladder`\n\n" + _fields(Rung),
        "## Fields of `streaming`\n\n" + _fields(StreamingSettings),
        "## Fields of `quality`\n\n" + _fields(QualitySettings),
        "## Fields of `pictures`\n\n" + _fields(PictureSettings),
        *(f"### Fields of `pictures.{name}`\n\n" + _fields(model) for name, model in _PICTURES.items()),
        "## Built-in profiles\n\n" + _built_in(),
        _HOLDS + "\n" + _formats(),
        "## Encoders\n\n" + _video_encoders() + "\n" + _audio_encoders(),
    )
    return "\n".join(sections)


def _fields(model: type[BaseModel]) -> str:
    rows = (
        (f"`{name}`", _kind(field), allowed_values(field), _default(field), field.description or "")
        for name, field in model.model_fields.items()
    )
    return _table(("Field", "Type", "Allowed", "Default", "What it says"), rows)


def _kind(field: FieldInfo) -> str:
    names = {int: "whole number", float: "number", bool: "truth value", str: "text"}
    if get_origin(field.annotation) is tuple:
        return "list"
    for kind in (field.annotation, *get_args(field.annotation)):
        if kind in names:
            return names[kind]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return "fields"
    return "choice"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: object = None if field.default_factory else field.default
    if isinstance(default, tuple):
        return _listed(f"`{each}`" for each in cast("tuple[str, ...]", default))
    return "" if default in (None, "") else f"`{shown(default)}`"


def _built_in() -> str:
    rows = (
        (f"`{each.name}`", _listed(each.formats), _video_summary(each), _audio_summary(each.audio), each.description)
        for each in builtin_profiles().values()
    )
    return _table(("Name", "Formats", "Video", "Audio", "For"), rows)


def _video_summary(profile: Profile) -> str:
    video = profile.video
    quality = None if video.crf is None else f"CRF {video.crf:g}"
    preset = None if video.preset is None else f"preset {video.preset}"
    box = f"within {video.width} x {video.height}" if video.width and video.height else None
    ladder = profile.ladder
    rungs = f"{len(ladder)} rungs, {ladder[0].height} to {ladder[-1].height} lines" if ladder else None
    return _listed(part for part in (video.codec, quality, preset, box, rungs) if part)


def _audio_summary(audio: AudioSettings) -> str:
    rate = f"{audio.bitrate_bps // 1000} kb/s" if audio.bitrate_bps else None
    channels = {None: None, 1: "mono", 2: "stereo"}.get(audio.channels, f"{audio.channels} channels")
    return _listed(part for part in (audio.codec, rate, channels) if part)


def _formats() -> str:
    rows = (
        (f"`{each.name}`", _listed(each.video_codecs), _listed(each.audio_codecs), _listed(_defaults(each.name)))
        for each in FORMATS.values()
    )
    return _table(("Format", "Video", "Audio", "When the profile names none"), rows)


def _defaults(name: str) -> Iterator[str]:
    if default := FORMATS[name].default_video:
        yield default
    yield FORMATS[name].default_audio


def _video_encoders() -> str:
    head = ("Video", "Encoder", "CRF", "Default CRF", "Presets", "Default preset", "Pixel formats")
    rows: list[tuple[str, ...]] = []
    for codec, each in VIDEO_ENCODERS.items():
        crf = (f"0 to {each.max_crf}", str(each.default_crf))
        presets = (_span(each.presets), each.default_preset or "the encoder's")
        rows.append((f"`{codec}`", each.encoder, *crf, *presets, _listed(each.pixel_formats)))
    return _table(head, rows)


def _audio_encoders() -> str:
    head = ("Audio", "Encoder", "Default bits a second, each channel", "Channels", "Sample rates")
    rows: list[tuple[str, ...]] = []
    for codec, each in AUDIO_ENCODERS.items():
        counts, rates = (_listed(map(str, numbers)) for numbers in (each.channel_counts, each.sample_rates))
        rows.append((f"`{codec}`", each.encoder, str(each.default_bitrate_per_channel_bps), counts, rates))
    return _table(head, rows)


def _span(names: tuple[str, ...]) -> str:
    return f"{names[0]} to {names[-1]}" if names[0].isdigit() else _listed(names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(profiles_reference())

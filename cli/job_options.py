"""What every command that makes a job takes: one option for each of the job's fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Annotated

from cyclopts import Parameter

from reelmill.errors import InvalidParameter
from reelmill.formats import FormatName
from reelmill.job import Clip, DamagePolicy, Following, TranscodeJob

_FORMAT = Parameter(name=["--format", "-f"], negative="", consume_multiple=False)
_CLIP_OF = Parameter(negative="", consume_multiple=False, allow_leading_hyphen=True)  # `-` and `-1:05` are clips, too


@Parameter(name="*")
@dataclass(frozen=True)
class JobOptions:
    """What to make of a source.

    Parameters
    ----------
    format
        Format to make; may be given many times. The profile's own, or mp4, when not given.
    profile
        Name of a built-in profile (`reelmill profiles list`) or path or s3:// address of a profile file.
    output
        Folder or s3://bucket/prefix for the results; NAME.reelmill in the current folder when not given.
    name
        File name of the results without its ending; the source's own when not given.
    segment_seconds
        Length of a segment; chosen by the planner when not given.
    workers
        ffmpeg processes at once; one for each core when not given.
    budget
        What the job may cost. It is refused when more is expected, and stopped when more is spent.
    damage
        A damaged source is refused (strict) or encoded with a warning (lenient), also when cut off (salvage).
    callback_url
        https address that is told of progress and of the end; that of the settings when not given.
    pictures
        Take a poster, thumbnails, sprites and a preview too: those of the profile, or all where it names none.
    watermark
        Image laid over the video at the bottom right: PNG, JPEG, WebP or GIF, a path or s3:// address.
    watermark_text
        Text laid over the video at the bottom left, as it stands.
    burn_subtitles
        Subtitles that become part of the picture: a language such as eng, the number of a stream, default or forced;
        or a file, .srt, .vtt or .ass, a path or s3:// address.
    clip
        Use a part of the source only, to the frame: START-END in seconds or h:mm:ss, such as 10-1:05.5; either may be
        left out.
    append
        Source that follows in the result, to the frame; may be given many times.
    append_clip
        Part that is used of the first of those, of the second when given again, and so on; `-` for all of it.
    copy_when_fits
        Copy streams that already are what a format needs instead of encoding them again.
    replace
        Replace what an earlier job published in the output folder, as soon as the new result is complete.
    """

    format: Annotated[tuple[FormatName, ...], _FORMAT] = ()
    profile: Annotated[str | None, Parameter(name=["--profile", "-p"])] = None
    output: Annotated[str | None, Parameter(name=["--output", "-o"])] = None
    name: str | None = None
    segment_seconds: float | None = None
    workers: int | None = None
    budget: Decimal | None = None
    damage: DamagePolicy = "lenient"
    callback_url: str | None = None
    pictures: Annotated[bool, Parameter(negative="")] = False
    watermark: str | None = None
    watermark_text: str | None = None
    burn_subtitles: str | None = None
    clip: Annotated[str | None, _CLIP_OF] = None
    append: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = ()
    append_clip: Annotated[tuple[str, ...], _CLIP_OF] = ()
    copy_when_fits: Annotated[bool, Parameter(negative="")] = False
    replace: Annotated[bool, Parameter(negative="")] = False

    def job(self, source: str) -> TranscodeJob:
        """Return the job that makes this of a source. Raises InvalidParameter."""
        self._refuse_empty()
        return TranscodeJob(
            source=source, formats=self.format, profile=self.profile, output=self.output, name=self.name,
            segment_s=self.segment_seconds, workers=self.workers, budget=self.budget, damage=self.damage,
            callback_url=self.callback_url, pictures=self.pictures,
            clip=None if self.clip is None else clip_of(self.clip), append=tuple(self._following()),
            watermark=self.watermark, watermark_text=self.watermark_text, burn_subtitles=self.burn_subtitles,
            copy_when_fits=self.copy_when_fits,
            replace=self.replace,
        )  # fmt: skip

    def _refuse_empty(self) -> None:
        """Refuse an option without a value, as a shell makes of a variable that is not set."""
        for name, value in vars(self).items():
            if value == "":
                raise InvalidParameter(f"--{name.replace('_', '-')}: is empty; allowed: a value, or no such option")

    def _following(self) -> Iterator[Following]:
        if len(self.append_clip) > len(self.append):
            raise InvalidParameter("append_clip: there are more of them than of --append")
        for source, clip in zip_longest(self.append, self.append_clip):
            yield Following(source=source, clip=None if clip is None else clip_of(clip))


_TIME = r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)"
_CLIP = re.compile(rf"(?:{_TIME})?-(?:{_TIME})?")


def clip_of(text: str) -> Clip:
    """Read a clip as a person types it. Raises InvalidParameter."""
    found = _CLIP.fullmatch(text)
    if found is None:
        raise InvalidParameter(f"clip: {text[:100]!r} is not START-END; allowed: seconds or h:mm:ss, such as 10-1:05.5")
    return Clip(start=_seconds(found.groups()[:3]), end=_seconds(found.groups()[3:]))


def _seconds(parts: Sequence[str | None]) -> Decimal | None:
    if parts[2] is None:
        return None
    return sum((Decimal(part or 0) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True)), Decimal(0))

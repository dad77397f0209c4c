"""Looks at what is laid over the video: images, texts and subtitles, of the profile and of the job itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from reelmill.encoding.subtitles import extract_subtitles, read_subtitles
from reelmill.errors import InvalidParameter, InvalidWatermark
from reelmill.job import TranscodeJob
from reelmill.media.fonts import font_digest, refuse_unknown_characters
from reelmill.media.images import Image, open_image
from reelmill.media.source import Source
from reelmill.media.subtitles import Subtitles
from reelmill.planning.subtitles import choose_track
from reelmill.profiles.picture import LONGEST_TEXT, Overlay, text_fault
from reelmill.profiles.problems import explain
from reelmill.profiles.profile import Profile
from reelmill.profiles.subtitles import BurnedSubtitles, is_subtitle_file
from reelmill.settings import settings
from reelmill.storage.location import parse_location

_remembered: dict[tuple[object, ...], Subtitles] = {}
_ACCEPTING = "accept"
"""What runs before a job is begun."""


class LaidOver(NamedTuple):
    """What is laid over a video: images by name, the content of its texts' font, and the subtitles of a file."""

    images: dict[str, Image]
    font: str | None
    subtitles: Subtitles | None


NOTHING_LAID_OVER = LaidOver({}, None, None)


def with_overlays(profile: Profile, job: TranscodeJob) -> Profile:
    """Return the profile with what the job itself wants over the video. Raises JobRejected for what can't be."""
    overlays = (*profile.video.overlays, *_watermarks(job))
    burned = _burned_subtitles(job, profile.video.burn_subtitles)
    if (overlays, burned) == (profile.video.overlays, profile.video.burn_subtitles):
        return profile
    if profile.video.codec == "copy":
        asked = "burn_subtitles" if overlays == profile.video.overlays else "watermark"
        raise InvalidParameter(f"{asked}: profile {profile.name} copies the video; allowed: one that encodes it")
    video = profile.video.model_copy(update={"overlays": overlays, "burn_subtitles": burned})
    return profile.model_copy(update={"video": video})


def _burned_subtitles(job: TranscodeJob, own: BurnedSubtitles | None) -> BurnedSubtitles | None:
    """Return what the job says of subtitles, as large as the profile has them."""
    if job.burn_subtitles is None:
        return own
    kind = "file" if is_subtitle_file(job.burn_subtitles) else "track"
    sizes = {} if own is None else {"height": own.height, "margin": own.margin}
    try:
        return BurnedSubtitles.model_validate({kind: job.burn_subtitles, **sizes})
    except ValidationError as error:
        raise InvalidParameter(f"burn_subtitles: {explain(error, BurnedSubtitles)}") from None


def _watermarks(job: TranscodeJob) -> Iterator[Overlay]:
    if job.watermark is not None:
        yield Overlay(image=job.watermark, position="bottom-right")
    if job.watermark_text is not None:
        if why := text_fault(job.watermark_text):
            raise InvalidWatermark(f"watermark_text: {why}; allowed: 1 to {LONGEST_TEXT} characters")
        yield Overlay(text=job.watermark_text, position="bottom-left")


def laid_over(profile: Profile) -> LaidOver:
    """Look at what the profile lays over the video, as far as it needs no source.

    Raises JobRejected for what can't be shown, StoreFailed.
    """
    overlays = profile.video.overlays
    names = dict.fromkeys(each.image for each in overlays if each.image is not None)
    root = settings().source_root
    images = {
        name: open_image(parse_location(name, "watermark", root), max_pixels=settings().max_pixels) for name in names
    }
    for each in overlays:
        if each.text is not None:
            refuse_unknown_characters(each.text, what="text")
    burned = profile.video.burn_subtitles
    subtitles = None
    if burned is not None and burned.file is not None:
        subtitles = read_subtitles(parse_location(burned.file, "burn_subtitles", root), attempt=_ACCEPTING)
    drawn = burned is not None or any(each.image is None for each in overlays)
    return LaidOver(images, font_digest() if drawn else None, subtitles)


def subtitles_of(source: Source, profile: Profile, *, attempt: str) -> Subtitles:
    """Return the text of the track of the source that the profile burns in.

    What was read last is remembered: the whole source is read for it, and the command has it read before the flow does.
    Raises InvalidWatermark for a track that is not there or can't be shown, SourceChanged, StoreFailed.
    """
    burned = profile.video.burn_subtitles
    assert burned is not None
    assert burned.track is not None
    track = choose_track(source, burned.track)
    asked = (source.identity, track.index, font_digest())
    if asked not in _remembered:
        _remembered.clear()
        _remembered[asked] = extract_subtitles(source, track, attempt=attempt)
    return _remembered[asked]

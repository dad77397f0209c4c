"""Accepts a job and plans it: everything that can be known before anything is encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from reelmill.encoding.scan import scan_frames
from reelmill.errors import InvalidParameter, InvalidWatermark, OutputCollision, SourceChanged, SourceIncomplete
from reelmill.formats import FORMATS, FormatName
from reelmill.job import Clip, TranscodeJob, check_job, job_key
from reelmill.manifest import FILE_NAME
from reelmill.media.fonts import font_digest, refuse_unknown_characters
from reelmill.media.frame_index import EntryPoint, FrameIndex
from reelmill.media.images import Image, open_image
from reelmill.media.probe import clean_entries, probe, streams_with_cues
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_version
from reelmill.planning.clip import clipped
from reelmill.planning.plan import Plan
from reelmill.planning.planner import make_plan
from reelmill.profiles.loading import is_profile_file, load_profile
from reelmill.profiles.picture import LONGEST_TEXT, Overlay, text_fault
from reelmill.profiles.pictures import ALL_PICTURES
from reelmill.profiles.profile import Profile, check_formats
from reelmill.settings import settings
from reelmill.storage.digests import content_key
from reelmill.storage.location import Location, parse_location
from reelmill.storage.opening import open_store
from reelmill.storage.pinning import pin
from reelmill.storage.readable import Pinned

_remembered: dict[tuple[object, ...], tuple[Source, FrameIndex | None]] = {}
_looked_into: dict[tuple[str, int], bool] = {}
"""Whether the keyframe of a source, named by its identity, at this time is a clean one."""
_DEFAULT_PROFILE = Profile(version=1, name="default", description="The default codecs of each format")


@dataclass(frozen=True)
class AcceptedJob:
    """A job whose parameters were found to be possible, before its source was opened."""

    job: TranscodeJob
    profile: Profile
    formats: tuple[FormatName, ...]
    source: Pinned
    output: Location
    images: Mapping[str, Image] = field(default_factory=dict[str, Image])
    font: str | None = None
    """Content of the font of texts laid over the video; None without any."""

    @property
    def key(self) -> str:
        """Name the job by the content of its source and what is made of it."""
        shown = [self.images[each.image].identity for each in self.profile.video.overlays if each.image and self.images]
        return job_key(self.source.identity, self.profile, self.formats, self.job, *shown, self.font or "")

    @property
    def submission_key(self) -> str:
        """Name the request: equal ones, for the same content and the same place, have one key on every machine."""
        return content_key(self.key, self.portable().output or "")

    def portable(self) -> TranscodeJob:
        """Return the job as a process in another folder would have to be given it: with full paths."""
        profile = self.job.profile
        if profile is not None and is_profile_file(profile):
            profile = _absolute(parse_location(profile, "profile"))
        watermark = self.job.watermark
        if watermark is not None:
            watermark = _absolute(parse_location(watermark, "watermark", settings().source_root))
        return self.job.model_copy(
            update={
                "source": _absolute(self.source.location),
                "output": _absolute(self.output),
                "profile": profile,
                "watermark": watermark,
            }
        )


def accept_job(job: TranscodeJob) -> AcceptedJob:
    """Check everything that needs no look into the source, and pin it. Raises JobRejected, StoreFailed."""
    profile = _profile(job)
    formats = check_job(job, profile)
    check_formats(profile, formats)
    source, output = pin(job.source_location), job.output_location
    if isinstance(output, Path) and output.exists() and not output.is_dir():
        raise OutputCollision(f"output: {output} is a file, not a folder")
    open_store(output).stat(FILE_NAME)  # a bucket that isn't there or isn't ours is said now, too
    ffmpeg_version()  # a tool that is missing or too old is said now
    if job.source_size_bytes is not None and source.size_bytes != job.source_size_bytes:
        there = f"{source.size_bytes:,} of {job.source_size_bytes:,} bytes are there"
        raise SourceIncomplete(f"{source.location.name}: {there}")
    with_video = not all(FORMATS[each].is_audio_only for each in formats)
    images, font = laid_over(profile) if with_video else ({}, None)
    return AcceptedJob(job, profile, formats, source, output, images, font)


def laid_over(profile: Profile) -> tuple[dict[str, Image], str | None]:
    """Look at what the profile lays over the video: return its images by name, and its texts' font.

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
    return images, font_digest() if any(each.image is None for each in overlays) else None


def refuse_outdated(accepted: AcceptedJob) -> None:
    """Raise SourceChanged when the source is another one by now: a newer result must not be replaced by this one."""
    if pin(accepted.source.location).identity != accepted.source.identity:
        raise SourceChanged(f"{accepted.source.location.name} was replaced while the job ran")


def _absolute(location: Location) -> str:
    return str(location.absolute() if isinstance(location, Path) else location)


def _profile(job: TranscodeJob) -> Profile:
    profile = load_profile(job.profile) if job.profile else _DEFAULT_PROFILE
    if job.copy_when_fits:
        profile = profile.model_copy(update={"copy_when_fits": True})
    if job.pictures and profile.pictures is None:
        profile = profile.model_copy(update={"pictures": ALL_PICTURES})
    overlays = (*profile.video.overlays, *_watermarks(job))
    if overlays == profile.video.overlays:
        return profile
    if profile.video.codec == "copy":
        raise InvalidParameter(f"watermark: profile {profile.name} copies the video; allowed: one that encodes it")
    video = profile.video.model_copy(update={"overlays": overlays})
    return profile.model_copy(update={"video": video})


def _watermarks(job: TranscodeJob) -> Iterator[Overlay]:
    if job.watermark is not None:
        yield Overlay(image=job.watermark, position="bottom-right")
    if job.watermark_text is not None:
        if why := text_fault(job.watermark_text):
            raise InvalidWatermark(f"watermark_text: {why}; allowed: 1 to {LONGEST_TEXT} characters")
        yield Overlay(text=job.watermark_text, position="bottom-left")


def probe_job(accepted: AcceptedJob, attempt: str) -> tuple[Source, FrameIndex | None]:
    """Probe the job's source. Frame times that packets don't tell are learned by decoding it once.

    What was found last is remembered: a probe reads every packet, and the command has one made before the flow does.
    """
    salvage = accepted.job.damage == "salvage"
    formats, pictures = accepted.formats, accepted.profile.pictures
    with_video = pictures is not None or not all(FORMATS[each].is_audio_only for each in formats)
    asked = (accepted.source, salvage, with_video)
    if asked not in _remembered:
        source, index = probe(accepted.source, job_key=attempt, salvage=salvage)
        if index is not None and index.fault and with_video:
            index, _ = scan_frames(source, index, attempt=attempt)
        _remembered.clear()
        _remembered[asked] = source, index
    source, index = _remembered[asked]
    if accepted.job.clip is None:
        return source, index
    return _clipped(source, index if with_video else None, accepted.job.clip, attempt)


def _clipped(source: Source, index: FrameIndex | None, clip: Clip, attempt: str) -> tuple[Source, FrameIndex | None]:
    start_s, end_s = Fraction(clip.start or 0), None if clip.end is None else Fraction(clip.end)
    shown = frozenset[int]()
    if source.subtitles:
        shown = streams_with_cues(source, start_s, end_s or source.duration_s, job_key=attempt)
    return clipped(source, index, start_s, end_s, shown)


def plan_job(
    accepted: AcceptedJob, source: Source, index: FrameIndex | None, *, whole_because: str | None = None
) -> Plan:
    """Plan the job with this machine's settings.

    Where the container's word was taken for its keyframes, those that the plan uses are looked into; if one is not
    what it was said to be, the plan is made anew by the careful rule for those that nobody vouches for.
    """
    plan = _plan(accepted, source, index, whole_because)
    if index is None or not index.entries_are_claims:
        return plan
    base = index.time_base
    entries_s = [each.entry_s for video in plan.video for each in video.segments]
    entries_s += [each.entry_s for stills in (plan.pictures.stills if plan.pictures else ()) for each in stills.spans]
    wanted = {int(each / base) for each in entries_s if each is not None}
    unknown = sorted(pts for pts in wanted if (source.identity, pts) not in _looked_into)
    if unknown:
        found = zip(unknown, clean_entries(source, unknown), strict=True)
        _looked_into.update({(source.identity, pts): clean for pts, clean in found})
    if all(_looked_into[source.identity, pts] for pts in wanted):
        return plan
    entries = tuple(
        EntryPoint(each.pts, _looked_into.get((source.identity, each.pts), False)) for each in index.entries
    )
    return _plan(accepted, source, replace(index, entries=entries), whole_because)


def _plan(accepted: AcceptedJob, source: Source, index: FrameIndex | None, whole_because: str | None) -> Plan:
    job, limits = accepted.job, settings()
    return make_plan(
        job_key=accepted.key,
        base_name=job.base_name,
        source=source,
        index=index,
        profile=accepted.profile,
        formats=accepted.formats,
        workers=job.workers or limits.workers,
        segment_s=job.segment_s,
        default_segment_s=limits.segment_s,
        most_encode_tasks=limits.max_encode_tasks,
        whole_because=whole_because,
        images=accepted.images,
        font=accepted.font,
    )

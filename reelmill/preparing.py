"""Accepts a job and plans it: everything that can be known before anything is encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from reelmill.encoding.scan import scan_frames
from reelmill.errors import InvalidParameter, OutputCollision, SourceChanged, SourceIncomplete
from reelmill.formats import FORMATS, FormatName
from reelmill.job import Clip, TranscodeJob, check_job, job_key
from reelmill.laying_over import NOTHING_LAID_OVER, laid_over, subtitles_of, with_overlays
from reelmill.manifest import FILE_NAME
from reelmill.media.frame_index import EntryPoint
from reelmill.media.images import Image
from reelmill.media.probe import clean_entries, probe, streams_with_cues
from reelmill.media.source import Source
from reelmill.media.subtitles import Subtitles
from reelmill.media.tool import ffmpeg_version
from reelmill.planning.clip import clipped
from reelmill.planning.joining import Probed
from reelmill.planning.plan import Plan
from reelmill.planning.planner import make_plan
from reelmill.profiles.loading import is_profile_file, load_profile
from reelmill.profiles.pictures import ALL_PICTURES
from reelmill.profiles.profile import Profile, check_formats
from reelmill.profiles.subtitles import is_subtitle_file
from reelmill.settings import settings
from reelmill.storage.digests import content_key
from reelmill.storage.location import Location, parse_location
from reelmill.storage.opening import open_store
from reelmill.storage.pinning import pin, release
from reelmill.storage.readable import Pinned

_remembered: dict[tuple[object, ...], Probed] = {}
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
    subtitles: Subtitles | None = None
    """Those that are burned in. Of a file they are known at once, of a track see `with_subtitles`."""
    more: tuple[Pinned, ...] = ()
    """Sources that follow the first."""

    @property
    def key(self) -> str:
        """Name the job by the content of its source and what is made of it."""
        shown = [self.images[each.image].identity for each in self.profile.video.overlays if each.image and self.images]
        shown += [each.identity for each in self.more]
        burned = self.profile.video.burn_subtitles
        if self.subtitles is not None and burned is not None and burned.file is not None:
            shown.append(self.subtitles.digest)
        return job_key(self.source.identity, self.profile, self.formats, self.job, *shown, self.font or "")

    @property
    def sources(self) -> tuple[Pinned, ...]:
        return self.source, *self.more

    def release(self) -> None:
        """Give back the room that what was read of the sources takes on this machine's disk."""
        for each in self.sources:
            release(each)

    @property
    def burns_track(self) -> bool:
        """Whether subtitles of the source are burned in."""
        burned = self.profile.video.burn_subtitles
        return burned is not None and burned.track is not None and _has_video(self.formats)

    @property
    def submission_key(self) -> str:
        """Name the request: equal ones, for the same content and the same place, have one key on every machine."""
        return content_key(self.key, self.portable().output or "")

    def portable(self) -> TranscodeJob:
        """Return the job as a process in another folder would have to be given it: with full paths."""
        profile = self.job.profile
        if profile is not None and is_profile_file(profile):
            profile = _absolute(parse_location(profile, "profile"))
        root = settings().source_root
        watermark, burned = self.job.watermark, self.job.burn_subtitles
        if watermark is not None:
            watermark = _absolute(parse_location(watermark, "watermark", root))
        if burned is not None and is_subtitle_file(burned):
            burned = _absolute(parse_location(burned, "burn_subtitles", root))
        return self.job.model_copy(
            update={
                "source": _absolute(self.source.location),
                "append": tuple(
                    each.model_copy(update={"source": _absolute(pinned.location)})
                    for each, pinned in zip(self.job.append, self.more, strict=True)
                ),
                "output": _absolute(self.output),
                "profile": profile,
                "watermark": watermark,
                "burn_subtitles": burned,
            }
        )


def accept_job(job: TranscodeJob) -> AcceptedJob:
    """Check everything that needs no look into the source, and pin it. Raises JobRejected, StoreFailed."""
    profile = _profile(job)
    formats = check_job(job, profile)
    check_formats(profile, formats)
    source, output = pin(job.source_location), job.output_location
    open_store(output).stat(FILE_NAME)  # a bucket that isn't there, or a place that isn't ours, is said now, too
    if isinstance(output, Path) and output.exists() and not output.is_dir():
        raise OutputCollision(f"output: {output} is a file, not a folder")
    ffmpeg_version()  # a tool that is missing or too old is said now
    if job.source_size_bytes is not None and source.size_bytes != job.source_size_bytes:
        there = f"{source.size_bytes:,} of {job.source_size_bytes:,} bytes are there"
        raise SourceIncomplete(f"{source.location.name}: {there}")
    laid = laid_over(profile) if _has_video(formats) else NOTHING_LAID_OVER
    more = tuple(pin(each.location) for each in job.append)
    if more:
        _refuse_for_joined(profile)
    return AcceptedJob(job, profile, formats, source, output, *laid, more=more)


def _refuse_for_joined(profile: Profile) -> None:
    wants = {"pictures are taken of": profile.pictures, "subtitles are burned into": profile.video.burn_subtitles}
    for what, wanted in wants.items():
        if wanted is not None:
            raise InvalidParameter(f"append: no {what} joined sources; allowed: a further job for the result")


def _has_video(formats: tuple[FormatName, ...]) -> bool:
    return not all(FORMATS[each].is_audio_only for each in formats)


def with_subtitles(accepted: AcceptedJob, source: Source, attempt: str) -> AcceptedJob:
    """Return the job with the subtitles of the source that are to be burned in, if any are.

    Raises InvalidWatermark for a track that is not there or can't be shown, SourceChanged, StoreFailed.
    """
    if not accepted.burns_track:
        return accepted
    return replace(accepted, subtitles=subtitles_of(source, accepted.profile, attempt=attempt))


def refuse_outdated(accepted: AcceptedJob) -> None:
    """Raise SourceChanged when the source is another one by now: a newer result must not be replaced by this one."""
    for each in accepted.sources:
        if pin(each.location).identity != each.identity:
            raise SourceChanged(f"{each.location.name} was replaced while the job ran")


def _absolute(location: Location) -> str:
    return str(location.absolute() if isinstance(location, Path) else location)


def _profile(job: TranscodeJob) -> Profile:
    profile = load_profile(job.profile) if job.profile else _DEFAULT_PROFILE
    if job.copy_when_fits:
        profile = profile.model_copy(update={"copy_when_fits": True})
    if job.pictures and profile.pictures is None:
        profile = profile.model_copy(update={"pictures": ALL_PICTURES})
    return with_overlays(profile, job)


def probe_job(accepted: AcceptedJob, attempt: str) -> tuple[Probed, ...]:
    """Probe the job's sources. Frame times that packets don't tell are learned by decoding a source once.

    What was found last is remembered: a probe reads every packet, and the command has one made before the flow does.
    """
    clips = (accepted.job.clip, *(each.clip for each in accepted.job.append))
    found = {each: _probe(accepted, each, attempt) for each in dict.fromkeys(accepted.sources)}
    _remembered.clear()
    _remembered.update({_asked(accepted, each): probed for each, probed in found.items()})
    return tuple(
        _clipped(found[pinned], clip, attempt) if clip else found[pinned]
        for pinned, clip in zip(accepted.sources, clips, strict=True)
    )


def _asked(accepted: AcceptedJob, pinned: Pinned) -> tuple[object, ...]:
    return pinned, accepted.job.damage == "salvage", _with_video(accepted)


def _with_video(accepted: AcceptedJob) -> bool:
    return accepted.profile.pictures is not None or _has_video(accepted.formats)


def _probe(accepted: AcceptedJob, pinned: Pinned, attempt: str) -> Probed:
    known = _remembered.get(_asked(accepted, pinned))
    if known is not None:
        return known
    source, index = probe(pinned, job_key=attempt, salvage=accepted.job.damage == "salvage")
    if index is not None and index.fault and _with_video(accepted):
        index, _ = scan_frames(source, index, attempt=attempt)
    if index is not None and not _with_video(accepted) and (index.fault or accepted.more):
        index = None  # only its sound is wanted
    return Probed(source, index)


def scan_job(probed: Sequence[Probed], attempt: str) -> tuple[tuple[Probed, ...], tuple[str, ...]]:
    """Decode every source once; return them with the times that come out, and what the decoder complained of."""
    scanned: list[Probed] = []
    complaints: list[str] = []
    for each in probed:
        index = each.index
        if index is not None:
            index, complained = scan_frames(each.source, index, attempt=attempt)
            complaints += complained
        scanned.append(Probed(each.source, index))
    return tuple(scanned), tuple(complaints)


def have_same_times(probed: Sequence[Probed], others: Sequence[Probed]) -> bool:
    """Whether the frames of the same sources are shown at the same times."""
    return all(
        one.index is None or other.index is None or one.index.times == other.index.times
        for one, other in zip(probed, others, strict=True)
    )


def _clipped(probed: Probed, clip: Clip, attempt: str) -> Probed:
    source, index = probed.source, probed.index
    start_s, end_s = Fraction(clip.start or 0), None if clip.end is None else Fraction(clip.end)
    shown = frozenset[int]()
    if source.subtitles:
        shown = streams_with_cues(source, start_s, end_s or source.duration_s, job_key=attempt)
    return Probed(*clipped(source, index, start_s, end_s, shown))


def plan_job(accepted: AcceptedJob, probed: Sequence[Probed], *, whole_because: str | None = None) -> Plan:
    """Plan the job with this machine's settings.

    Where the container's word was taken for its keyframes, those that the plan uses are looked into; if one is not
    what it was said to be, the plan is made anew by the careful rule for those that nobody vouches for.
    """
    plan = _plan(accepted, probed, whole_because)
    doubted = tuple(_looked_at(each, plan, number) for number, each in enumerate(probed))
    return plan if doubted == tuple(probed) else _plan(accepted, doubted, whole_because)


def _looked_at(each: Probed, plan: Plan, number: int) -> Probed:
    """Look into the keyframes of a source at which the plan enters it; return what is known of them then."""
    source, index = each.source, each.index
    if index is None or not index.entries_are_claims:
        return each
    video = plan.parts[number].video if plan.parts else plan.video
    entries_s = [segment.entry_s for rendition in video for segment in rendition.segments]
    entries_s += [each.entry_s for stills in (plan.pictures.stills if plan.pictures else ()) for each in stills.spans]
    wanted = {int(each / index.time_base) for each in entries_s if each is not None}
    unknown = sorted(pts for pts in wanted if (source.identity, pts) not in _looked_into)
    if unknown:
        found = zip(unknown, clean_entries(source, unknown), strict=True)
        _looked_into.update({(source.identity, pts): clean for pts, clean in found})
    if all(_looked_into[source.identity, pts] for pts in wanted):
        return each
    entries = tuple(
        EntryPoint(each.pts, _looked_into.get((source.identity, each.pts), False)) for each in index.entries
    )
    return Probed(source, replace(index, entries=entries))


def _plan(accepted: AcceptedJob, probed: Sequence[Probed], whole_because: str | None) -> Plan:
    job, limits = accepted.job, settings()
    plan = make_plan(
        job_key=accepted.key,
        base_name=job.base_name,
        source=probed[0].source,
        index=probed[0].index,
        more=probed[1:],
        profile=accepted.profile,
        formats=accepted.formats,
        workers=job.workers or limits.tasks_at_once,
        segment_s=job.segment_s,
        default_segment_s=limits.segment_s,
        most_encode_tasks=limits.max_encode_tasks,
        whole_because=whole_because,
        images=accepted.images,
        font=accepted.font,
        subtitles=accepted.subtitles,
    )
    if limits.fan_out == "dask":  # the workers are many machines, and an encoder has the cores of one
        return plan.model_copy(update={"encoder_threads": min(plan.encoder_threads, limits.workers)})
    return plan

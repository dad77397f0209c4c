"""Which uploads make a job, and which job: what the `intake_` settings say."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from reelmill.errors import EventRejected, InvalidParameter, JobRejected, TriggerLoop
from reelmill.intake.notifications import Notification
from reelmill.job import TranscodeJob
from reelmill.manifest import FILE_NAME
from reelmill.settings import settings
from reelmill.storage.location import Location, S3Location, is_inside, parse_location
from reelmill.storage.working import work_location
from reelmill.transfer.job import TransferJob, accept_transfer

_DEFAULT_OUTPUT_SUFFIX = ".reelmill"


def inboxes() -> tuple[Location, ...]:
    """Return the folders and prefixes whose uploads are taken.

    TriggerLoop where something that Reelmill writes would be an upload, InvalidParameter where outputs have no place.
    """
    wanted = settings()
    found = tuple(_resolved(parse_location(each, "intake_inbox")) for each in wanted.intake_inbox)
    if not found:
        return ()
    if wanted.output_root is None:
        raise InvalidParameter("output_root: with an inbox it must be set (REELMILL_OUTPUT_ROOT), outside the inbox")
    output = _resolved(parse_location(wanted.output_root, "output_root"))
    for inbox in found:
        if is_inside(output, inbox) or is_inside(inbox, output):
            raise TriggerLoop(f"output_root: {output} and the inbox {inbox} must not be one inside the other")
        for name, place in (
            ("work_dir", work_location()),
            ("scratch_dir", wanted.scratch_dir),
            ("intake_dead_letters", dead_letter_location()),
        ):
            if is_inside(_resolved(place), inbox):
                raise TriggerLoop(f"{name}: {place} must not be in the inbox {inbox}")
    return found


def dead_letter_location() -> Location:
    """Return where messages are put that nobody can use."""
    wanted = settings().intake_dead_letters
    return parse_location(wanted, "intake_dead_letters") if wanted else work_location() / "dead-letters"


def is_upload(location: Location) -> bool:
    """Whether something of this name is an upload that counts: in an inbox, a video by its ending, and not ours.

    A link that leads out of its inbox is none. Whether it is there is not asked.
    """
    resolved = _resolved(location)
    return any(is_inside(resolved, inbox) and _counts(_below(location, inbox)) for inbox in inboxes())


def job_for(location: Location) -> TranscodeJob:
    """Return the job for an upload, the same whoever told of it. Raises TriggerLoop, InvalidParameter, PathEscape."""
    wanted = settings()
    job = TranscodeJob(source=str(location), profile=wanted.intake_profile, formats=wanted.intake_formats, replace=True)
    _refuse_loop(job)
    return job


def transfers_for(notification: Notification) -> tuple[TransferJob, ...]:
    """Return the transfers that a notification asks for: those it holds, and a copy of each object that is mirrored.

    TriggerLoop where a copy would be mirrored, too.
    """
    source, destination = mirror() or (None, "")
    mirrored: list[TransferJob] = []
    if isinstance(source, S3Location):
        for each in notification.objects:
            place = S3Location(each.bucket, each.key, source.store)  # a notification does not name the store
            if is_inside(place, source) and place != source and not each.key.endswith("/"):
                path = f"{destination}/{_below(place, source)}"
                mirrored.append(TransferJob(source=str(place), destination=path, replace=True))
    return (*notification.transfers, *dict.fromkeys(mirrored))


def mirror() -> tuple[Location, str] | None:
    """Return what is mirrored and the folder it goes to; None unless both are set. TriggerLoop, JobRejected."""
    wanted = settings()
    if not wanted.mirror_source or not wanted.mirror_destination:
        return None
    job = TransferJob(source=wanted.mirror_source, destination=wanted.mirror_destination, recursive=True)
    return accept_transfer(job).source, wanted.mirror_destination.rstrip("/")


def _listened_to() -> set[str]:
    """Return the buckets whose notifications are some use."""
    mirror = settings().mirror_source
    places = (*inboxes(), *([parse_location(mirror, "mirror_source")] if mirror else []))
    return {each.bucket for each in places if isinstance(each, S3Location)}


def jobs_for(notification: Notification) -> tuple[tuple[TranscodeJob, ...], tuple[str, ...]]:
    """Return the jobs that a notification asks for, each once, and the reasons why some of it was refused."""
    jobs: dict[TranscodeJob, None] = {}
    refused: list[str] = list(notification.rejected)
    buckets = _listened_to()
    for each in notification.objects:
        try:
            if each.bucket not in buckets:
                raise EventRejected(f"no inbox is in the bucket {each.bucket[:100]!r}")
            if each.key.endswith("/") or not is_upload(S3Location(each.bucket, each.key)):
                continue
            jobs[job_for(parse_location(f"s3://{each.bucket}/{each.key}", "event"))] = None
        except JobRejected as error:
            refused.append(f"{error.code}: {error}")
    for job in notification.jobs:
        try:
            _refuse_loop(job)
            jobs[job] = None
        except JobRejected as error:
            refused.append(f"{error.code}: {error}")
    return tuple(jobs), tuple(refused)


def _refuse_loop(job: TranscodeJob) -> None:
    places = inboxes()
    if job.output is None and settings().output_root is None:
        raise InvalidParameter("output: the job names none, and the setting REELMILL_OUTPUT_ROOT is not set")
    output = _resolved(job.output_location)
    for inbox in places:
        if is_inside(output, inbox):
            raise TriggerLoop(f"output: {output} is in the inbox {inbox}, so that the results would make new jobs")


def _below(location: Location, inbox: Location) -> PurePosixPath:
    """Return the path of an upload from its inbox on, by the name it was given there."""
    if isinstance(location, S3Location) and isinstance(inbox, S3Location):
        return PurePosixPath(location.key[len(inbox.key) :].lstrip("/"))
    path, folder = Path(str(location)).absolute(), Path(str(inbox))
    return PurePosixPath((path if path.is_relative_to(folder) else path.resolve()).relative_to(folder))


def _counts(path: PurePosixPath) -> bool:
    hidden = any(each.startswith(".") and each not in (".", "..") for each in path.parts)  # drafts of outputs are, too
    in_output = any(each.endswith(_DEFAULT_OUTPUT_SUFFIX) for each in path.parts[:-1])
    if hidden or in_output or path.name == FILE_NAME or path.name.endswith(".part"):
        return False
    suffixes = {f".{each.lower().lstrip('.')}" for each in settings().intake_suffixes}
    return path.suffix.lower() in suffixes


def _resolved(location: Location) -> Location:
    return location.resolve() if isinstance(location, Path) else location

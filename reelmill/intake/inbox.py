"""Lists an inbox, and finds the uploads that were not worked on: also those whose notification was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reelmill.errors import JobRejected, SourceNotFound
from reelmill.intake.rules import inboxes, is_upload, job_for
from reelmill.job import TranscodeJob
from reelmill.manifest import read_manifest
from reelmill.settings import settings
from reelmill.storage.location import Location, S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.pinning import pin

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """A complete file or object in an inbox. `etag` changes with its content."""

    location: Location
    etag: str


def uploads(inbox: Location) -> Iterator[Upload]:
    """Yield what is in an inbox, in no order, without files that somebody may still be writing.

    SourceNotFound when the inbox isn't there: a disk that isn't mounted is no empty inbox.
    """
    if isinstance(inbox, Path) and not inbox.is_dir():
        raise SourceNotFound(f"inbox: there is no folder {inbox}")
    for each in open_store(inbox).list():
        location = inbox / each.key
        if each.key and not each.key.endswith("/") and is_upload(location) and _is_settled(location):
            yield Upload(location, each.etag)


def unfinished_uploads(inbox: Location | None = None) -> Iterator[TranscodeJob]:
    """Yield a job for each upload for which nothing was published as it is now; in all inboxes when none is named.

    What a manifest says is enough, whatever profile it was made by: a new profile does not encode an inbox anew.
    """
    for place in inboxes() if inbox is None else (inbox,):
        with ThreadPoolExecutor(settings().s3_streams, thread_name_prefix="sweep") as pool:
            found = pool.map(unfinished, uploads(place))
            yield from (job for job in found if job is not None)


def unfinished(upload: Upload) -> TranscodeJob | None:
    """Return the job for an upload, None when its result is published. What no job can be made of is logged."""
    try:
        job = job_for(upload.location)
        manifest = read_manifest(open_store(job.output_location))
        if manifest is None or manifest.source.identity != pin(job.source_location).identity:
            return job
    except JobRejected as error:
        _log.warning("%r in the inbox makes no job: %s: %s", str(upload.location), error.code, error)
    return None


def _is_settled(location: Location) -> bool:
    """Whether a file has not been written for a while. An object is in its bucket whole, or not at all.

    Told by the time of the last change to the inode, which, unlike that of the content, nobody can set.
    """
    if isinstance(location, S3Location):
        return True
    try:
        return time.time() - location.stat().st_ctime >= settings().intake_settle_s
    except OSError:
        return False

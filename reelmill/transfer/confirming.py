"""Confirms a copy that is there already: an earlier run may have ended before it had everything that it should have."""

from __future__ import annotations

from reelmill.storage.file_notes import is_noted
from reelmill.storage.location import Location, S3Location
from reelmill.storage.s3_objects import keep_tags, look_at
from reelmill.transfer.comparing import content_of_file
from reelmill.transfer.ends import STAMP, SourceFile, tags_kept
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.verifying import compare_with_source


def confirm_copy(
    source: SourceFile, destination: Location, accepted: AcceptedTransfer, attempt: str, *, was_killed: bool = False
) -> str | None:
    """Give a copy that an earlier run made the tags it lacks, and compare it when the job says full.

    So it is when that run `was_killed` before it had done so itself. Returns a warning where the source's tags can't
    be read; VerifyFailed when the copy differs.
    """
    compares = accepted.job.verify == "full" or was_killed
    if not isinstance(destination, S3Location):
        if compares and content_of_file(source, destination) != "same":
            is_ours = is_noted(destination, source.identity)
            compare_with_source(source, destination, accepted, attempt, is_ours=is_ours)
        return None
    tags, warning = tags_kept(source)
    is_ours = bool(tags or compares) and _is_ours(source, destination)
    if tags and is_ours:
        keep_tags(destination, tags)
    if compares:
        compare_with_source(source, destination, accepted, attempt, is_ours=is_ours)
    return warning


def _is_ours(source: SourceFile, destination: S3Location) -> bool:
    """Whether a run of ours put what is there, as the copy of this source."""
    found = look_at(destination)
    return found is not None and found.metadata.get(STAMP) == source.identity

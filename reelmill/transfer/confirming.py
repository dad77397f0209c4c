"""Confirms a copy that is there already: an earlier run may have ended before it had everything that it should have."""

from __future__ import annotations

from reelmill.storage.location import Location, S3Location
from reelmill.storage.s3_objects import keep_tags, look_at
from reelmill.transfer.ends import STAMP, SourceFile, tags_kept


def confirm_copy(source: SourceFile, destination: Location) -> str | None:
    """Give a copy that an earlier run made the tags it lacks. Return a warning where the source's can't be read."""
    if not isinstance(destination, S3Location):
        return None
    tags, warning = tags_kept(source)
    if tags and is_ours(source, destination):
        keep_tags(destination, tags)
    return warning


def is_ours(source: SourceFile, destination: S3Location) -> bool:
    """Whether a run of ours put what is there, as the copy of this source."""
    found = look_at(destination)
    return found is not None and found.metadata.get(STAMP) == source.identity

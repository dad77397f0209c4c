"""How fast the last transfer between the same two stores went: by that the next one's parts are cut."""

from __future__ import annotations

import logging

from pydantic import Field, ValidationError

from reelmill.errors import JobRejected, StoreFailed
from reelmill.frozen import Frozen
from reelmill.storage.digests import content_key
from reelmill.storage.location import Location, S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.working import work_location

_log = logging.getLogger(__name__)


class _Rate(Frozen):
    stream_bytes_per_s: float = Field(gt=0)


def measured_rate(source: Location, destination: Location) -> float | None:
    """Return the bytes a second that each stream moved last time; None when that was never measured."""
    content = open_store(work_location()).read(_key(source, destination))
    try:
        return _Rate.model_validate_json(content).stream_bytes_per_s if content is not None else None
    except ValidationError:
        return None


def note_rate(source: Location, destination: Location, stream_bytes_per_s: float) -> None:
    """Note it for the next transfer, which goes by the size alone where it can't be noted."""
    content = _Rate(stream_bytes_per_s=stream_bytes_per_s).model_dump_json().encode()
    try:
        open_store(work_location()).write(_key(source, destination), content)
    except (StoreFailed, JobRejected) as error:
        _log.warning("the rate of this transfer was not noted for the next one: %s", error)


def _key(source: Location, destination: Location) -> str:
    ends = (f"s3+{each.store}" if isinstance(each, S3Location) else "" for each in (source, destination))
    return f"rates/{content_key(*ends)}.json"

"""Gives the store for a location, and small files from wherever they are."""

from __future__ import annotations

from reelmill.storage.local import LocalStore
from reelmill.storage.location import Location, S3Location, parse_location
from reelmill.storage.store import Store


def open_store(location: Location) -> Store:
    """Return the store whose keys are below a location. Nothing is asked or made yet."""
    if not isinstance(location, S3Location):
        return LocalStore(location)
    from reelmill.storage.s3 import S3Store  # boto3 takes its time to load

    return S3Store(location)


def read_small(text: str, field: str, limit_bytes: int) -> bytes | None:
    """Return the first `limit_bytes` of the file or object at an address; None when there is none."""
    location = parse_location(text, field)
    if isinstance(location, S3Location):
        return open_store(location.root).read(location.key, limit_bytes)
    return open_store(location.parent).read(location.name, limit_bytes)

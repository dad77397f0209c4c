"""Pins a source to what it is now, and opens it for reading: never a mixture of what it was and what it became."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from reelmill.errors import SourceChanged, SourceNotFound
from reelmill.storage.location import Location, S3Location
from reelmill.storage.readable import Pinned, Readable

SAMPLE_BYTES = 1 << 20


def pin(location: Location) -> Pinned:
    """Look at a source. Raises SourceNotFound, BucketNotFound, StoreAccessDenied, StoreFailed."""
    if not isinstance(location, S3Location):
        return _pin_file(location)
    from reelmill.storage.s3_source import pin_object

    return pin_object(location)


def _pin_file(path: Path) -> Pinned:
    """The identity has size, time of the last change, and the first and last MiB; the path is not part of it."""
    try:
        path = path.resolve(strict=True)
        stat = path.stat()
        if not path.is_file():
            raise SourceNotFound(f"source: {path} is not a file")
        digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
        with path.open("rb") as file:
            digest.update(file.read(SAMPLE_BYTES))
            if stat.st_size > SAMPLE_BYTES:
                file.seek(max(SAMPLE_BYTES, stat.st_size - SAMPLE_BYTES))
                digest.update(file.read())
    except FileNotFoundError as error:
        raise SourceNotFound(f"source: there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise SourceNotFound(f"source: {path}: {getattr(error, 'strerror', None) or error}") from error
    return Pinned(path, stat.st_size, str(stat.st_mtime_ns), digest.hexdigest())


@contextmanager
def opened(pinned: Pinned) -> Generator[Readable]:
    """Open a source for as long as the block runs.

    SourceChanged when it is not, or no longer, what was pinned, whatever else went wrong; StoreFailed when it can't be
    read.
    """
    if not isinstance(pinned.location, S3Location):
        _refuse_changed_file(pinned, pinned.location)
        try:
            yield pinned.location
        finally:
            _refuse_changed_file(pinned, pinned.location)
        return
    from reelmill.storage.s3_source import opened_object  # boto3 takes its time to load

    with opened_object(pinned) as media:
        yield media


def release(pinned: Pinned) -> None:
    """Give back the room that what was read of an object takes on this machine's disk, unless somebody reads on."""
    if isinstance(pinned.location, S3Location):
        from reelmill.storage.s3_source import forget_blocks

        forget_blocks()


def _refuse_changed_file(pinned: Pinned, path: Path) -> None:
    with suppress(OSError):
        stat = path.stat()
        if (stat.st_size, str(stat.st_mtime_ns)) == (pinned.size_bytes, pinned.version):
            return
    raise SourceChanged(f"{path.name} was changed or removed while the job ran")

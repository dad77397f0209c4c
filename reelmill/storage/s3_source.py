"""A source in a bucket: pinned to one version, read by range, in blocks that this machine keeps for its next reader."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from reelmill.errors import SourceChanged, SourceNotFound, StoreConflict, StoreFailed
from reelmill.settings import settings
from reelmill.storage.blocks import BlockReader
from reelmill.storage.location import S3Location
from reelmill.storage.range_server import served
from reelmill.storage.readable import Loopback, Pinned
from reelmill.storage.s3 import refuse_missing_bucket
from reelmill.storage.s3_client import client, explained, reads_twice
from reelmill.storage.s3_upload import retried

_SHARE_OF_FREE_DISK = 0.5


def pin_object(where: S3Location) -> Pinned:
    try:
        with explained(f"source: {where}"):
            found: Any = client(where.store).head_object(Bucket=where.bucket, Key=where.key)
    except SourceNotFound as error:
        refuse_missing_bucket(where)
        raise SourceNotFound(f"source: there is no object {where}") from error
    version = found.get("VersionId")
    version = f"{found['ETag']} {version}" if version and version != "null" else found["ETag"]
    identity = hashlib.sha256(f"{where} {found['ContentLength']} {found['ETag']}".encode()).hexdigest()
    return Pinned(where, found["ContentLength"], version, identity)


@contextmanager
def opened_object(pinned: Pinned) -> Generator[Loopback]:
    """Serve a pinned object to this machine's tools for as long as the block runs; raises as `opened` does."""
    with _blocks_of(pinned) as blocks, served(blocks) as address:
        before = len(blocks.failures)
        try:
            yield Loopback(address, pinned.location.name)
        except Exception as error:
            for failure in blocks.failures[before:]:
                raise failure from error
            raise
        for failure in blocks.failures[before:]:
            raise failure


@dataclass
class _Kept:
    """The blocks of the source that was read last, kept for who reads it next; `users` have it open."""

    pinned: Pinned
    blocks: BlockReader
    users: int = field(default=0)


_lock = threading.Lock()
_kept: dict[Pinned, _Kept] = {}


@contextmanager
def _blocks_of(pinned: Pinned) -> Generator[BlockReader]:
    with _lock:
        for other in [each for each in _kept.values() if not each.users and each.pinned != pinned]:
            _kept.pop(other.pinned).blocks.close()
        if pinned not in _kept:
            _kept[pinned] = _Kept(pinned, _reader(pinned))
        kept = _kept[pinned]
        kept.users += 1
    try:
        yield kept.blocks
    finally:
        with _lock:
            kept.users -= 1


def forget_blocks() -> None:
    """Give back the room of every source that nobody reads now."""
    with _lock:
        for each in [each for each in _kept.values() if not each.users]:
            _kept.pop(each.pinned).blocks.close()


def _reader(pinned: Pinned) -> BlockReader:
    where = pinned.location
    assert isinstance(where, S3Location)
    folder = settings().scratch_dir
    folder.mkdir(parents=True, exist_ok=True)
    room = int(shutil.disk_usage(folder).free * _SHARE_OF_FREE_DISK)
    keep = min(settings().source_cache_mib << 20, room, pinned.size_bytes)
    twice = reads_twice(where.store)

    def read(start: int, end: int) -> bytes:
        return retried(lambda: _read_range(pinned, where, start, end, twice=twice))

    return BlockReader(read, pinned.size_bytes, folder=folder, keep_bytes=keep, streams=settings().s3_streams)


def _read_range(pinned: Pinned, where: S3Location, start: int, end: int, *, twice: bool) -> bytes:
    content = _get_range(pinned, where, start, end)
    if twice and _get_range(pinned, where, start, end) != content:
        raise StoreFailed(f"{where}: bytes {start:,} to {end:,} came differently when read again")
    return content


def _get_range(pinned: Pinned, where: S3Location, start: int, end: int) -> bytes:
    """Read a range of the pinned version; what the answer says of itself is believed no more than the request."""
    etag, _, version = pinned.version.partition(" ")
    options: Any = {"VersionId": version} if version else {}
    try:
        with explained(str(where)):
            answer = client(where.store).get_object(
                Bucket=where.bucket, Key=where.key, Range=f"bytes={start}-{end - 1}", IfMatch=etag, **options
            )
            with answer["Body"] as body:
                content = body.read()
    except (StoreConflict, SourceNotFound) as error:
        raise SourceChanged(f"{where} was changed or removed while the job ran") from error
    if answer["ETag"] != etag:
        raise SourceChanged(f"{where} was changed while the job ran")
    came = answer.get("ContentRange", "")
    if len(content) != end - start or came != f"bytes {start}-{end - 1}/{pinned.size_bytes}":
        raise StoreFailed(f"{where}: {len(content):,} bytes came ({came}) of {start:,} to {end:,}")
    return content

"""A lock in a bucket: an object that its holder keeps young. It ends with its holder, at the latest when it is old."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reelmill.errors import JobRunning, ReelmillError, SourceNotFound, StoreConflict, StoreFailed
from reelmill.storage.digests import content_md5
from reelmill.storage.location import S3Location
from reelmill.storage.s3_client import client, explained, server_time
from reelmill.storage.s3_upload import retried
from reelmill.storage.store import Holds

BEAT_S = 15.0
DEAD_AFTER_S = 75.0
"""Age by the store's clock at which a lease counts as given up: five beats were missed."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. `beat` makes the content, and so the ETag, a new one each time it is kept young."""

    host: str
    pid: int
    started: str | None
    id: str
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def is_dead_here(self) -> bool:
        """Whether it was a process of this machine that is no more."""
        return self.host == socket.gethostname() and _started(self.pid) != self.started


@contextmanager
def held_lease(where: S3Location, on_lost: Callable[[], None]) -> Generator[Holds]:
    """Hold the lease for as long as the block runs. JobRunning when another run, that seems alive, has it."""
    lost = threading.Event()

    def lose() -> None:
        lost.set()
        on_lost()

    us = Holder(socket.gethostname(), os.getpid(), _started(os.getpid()), uuid.uuid4().hex)
    try:
        _take(where, us)
    except StoreFailed:
        _give_back(where, us)  # perhaps only the answer was lost
        raise
    done = threading.Event()
    beat = threading.Thread(target=_keep, args=(where, us, done, lose), name="lease", daemon=True)
    beat.start()
    try:
        yield lambda: not lost.is_set() and _is(_read(where)[0], us)
    finally:
        done.set()
        beat.join()
        _give_back(where, us)


def _give_back(where: S3Location, us: Holder) -> None:
    """Remove the lease if it is ours. When that fails it ends by age."""
    with suppress(StoreFailed):
        if _is(_read(where)[0], us):
            with explained(str(where)):
                client(where.store).delete_object(Bucket=where.bucket, Key=where.key)


def is_held(where: S3Location) -> bool:
    """Whether somebody who seems alive has the lease."""
    holder, etag, age_s = _read(where)
    return etag is not None and _seems_alive(holder, age_s)


def _take(where: S3Location, us: Holder) -> None:
    if _put(where, us, IfNoneMatch="*"):
        return
    holder, etag, age_s = _read(where)
    if etag is not None and _seems_alive(holder, age_s):
        raise JobRunning(f"another run of the same job is at work: {holder or 'unknown'}, seen {age_s:.0f} s ago")
    if not (_replace(where, us, etag) if etag is not None else _put(where, us, IfNoneMatch="*")):
        raise JobRunning("another run of the same job has just begun")


def _seems_alive(holder: Holder | None, age_s: float) -> bool:
    return age_s < DEAD_AFTER_S and not (holder is not None and holder.is_dead_here())


def _keep(where: S3Location, us: Holder, done: threading.Event, on_lost: Callable[[], None]) -> None:
    """Write the lease anew, beat by beat. What others have written is not overwritten: then it is lost."""
    kept = time.monotonic()
    while not done.wait(BEAT_S):
        us = replace(us, beat=us.beat + 1)
        try:
            asked = time.monotonic()
            holder, etag, _ = _read(where)
            if etag is None or not _is(holder, us) or not _replace(where, us, etag):
                on_lost()
                return
            kept = asked
        except ReelmillError:
            if time.monotonic() - kept > DEAD_AFTER_S - 2 * BEAT_S:  # others may take it soon
                on_lost()
                return


def _is(holder: Holder | None, us: Holder) -> bool:
    return holder is not None and holder.id == us.id


def _replace(where: S3Location, us: Holder, etag: str) -> bool:
    """Put ours in the place of the one with this ETag. RFC 9110 has it in quotes; Ceph compares without."""
    return _put(where, us, IfMatch=etag) or _put(where, us, IfMatch=etag.strip('"'))


def _put(where: S3Location, us: Holder, **condition: str) -> bool:
    options: Any = condition
    content = json.dumps(asdict(us)).encode()

    def put() -> None:
        with explained(str(where)):
            client(where.store).put_object(
                Bucket=where.bucket, Key=where.key, Body=content, ContentMD5=content_md5(content), **options
            )

    try:
        retried(put)
    except (StoreConflict, SourceNotFound):
        return _read(where)[0] == us  # then it was ours, and only the answer was lost
    return True


def _read(where: S3Location) -> tuple[Holder | None, str | None, float]:
    """Return holder, ETag and age of the lease; no ETag when there is none, no holder when it can't be read."""

    def read() -> tuple[bytes, str, float]:
        with explained(str(where)):
            answer = client(where.store).get_object(Bucket=where.bucket, Key=where.key)
            with answer["Body"] as body:
                content = body.read()
        return content, answer["ETag"], (server_time(answer) - answer["LastModified"]).total_seconds()

    try:
        content, etag, age_s = retried(read)
    except SourceNotFound:
        return None, None, 0.0
    try:
        return Holder(**json.loads(content)), etag, age_s
    except (ValueError, TypeError):
        return None, etag, age_s


def _started(pid: int) -> str | None:
    """Return when a process was started, in clock ticks since boot (proc(5), field 22), and which boot; else None."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{ticks} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    except OSError:
        return None

"""A lock in a bucket: an object that its holder keeps young. It ends with its holder, at the latest when it is old."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reelmill.errors import JobRunning, ReelmillError, SourceNotFound, StoreConflict, StoreFailed
from reelmill.storage.location import S3Location
from reelmill.storage.s3_client import client, explained, server_time

BEAT_S = 15.0
DEAD_AFTER_S = 75.0
"""Age by the store's clock at which a lease counts as given up: five beats were missed."""


@contextmanager
def held_lease(where: S3Location, on_lost: Callable[[], None]) -> Generator[None]:
    """Hold the lease for as long as the block runs. JobRunning when another run, that seems alive, has it."""
    content = _our_name()
    _take(where, content)
    done = threading.Event()
    beat = threading.Thread(target=_keep, args=(where, content, done, on_lost), name="lease", daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()
        with suppress(StoreFailed):  # then it ends by age
            if _read(where)[0] == content:
                with explained(str(where)):
                    client().delete_object(Bucket=where.bucket, Key=where.key)


def is_held(where: S3Location) -> bool:
    """Whether somebody who seems alive has the lease."""
    held, etag, age_s = _read(where)
    return etag is not None and age_s < DEAD_AFTER_S and not _is_dead_here(held)


def _take(where: S3Location, content: bytes) -> None:
    if _put(where, content, IfNoneMatch="*"):
        return
    held, etag, age_s = _read(where)
    if held == content:
        return
    if etag is None:
        taken = _put(where, content, IfNoneMatch="*")
    else:
        if age_s < DEAD_AFTER_S and not _is_dead_here(held):
            raise JobRunning(f"another run of the same job is at work: {_holder(held)}, seen {age_s:.0f} s ago")
        taken = _replace(where, content, etag)
    if not taken:
        raise JobRunning("another run of the same job has just begun")


def _keep(where: S3Location, content: bytes, done: threading.Event, on_lost: Callable[[], None]) -> None:
    """Write the lease anew, beat by beat. What others have written is not overwritten: then it is lost."""
    missed_s = 0.0
    while not done.wait(BEAT_S):
        try:
            held, etag, _ = _read(where)
            if held != content or etag is None or not _replace(where, content, etag):
                on_lost()
                return
            missed_s = 0.0
        except ReelmillError:
            missed_s += BEAT_S
            if missed_s > DEAD_AFTER_S - 2 * BEAT_S:  # others may take it soon
                on_lost()
                return


def _replace(where: S3Location, content: bytes, etag: str) -> bool:
    """Put the content in the place of the one with this ETag. RFC 9110 has it in quotes; Ceph compares without."""
    return _put(where, content, IfMatch=etag) or _put(where, content, IfMatch=etag.strip('"'))


def _put(where: S3Location, content: bytes, **condition: str) -> bool:
    options: Any = condition
    try:
        with explained(str(where)):
            client().put_object(Bucket=where.bucket, Key=where.key, Body=content, **options)
    except (StoreConflict, SourceNotFound):
        return _read(where)[0] == content  # then it was ours, and only the answer was lost
    return True


def _read(where: S3Location) -> tuple[bytes, str | None, float]:
    """Return content, ETag and age of the lease; no content and no ETag when there is none."""
    try:
        with explained(str(where)):
            answer = client().get_object(Bucket=where.bucket, Key=where.key)
            with answer["Body"] as body:
                content = body.read()
    except SourceNotFound:
        return b"", None, 0.0
    return content, answer["ETag"], (server_time(answer) - answer["LastModified"]).total_seconds()


def _our_name() -> bytes:
    name = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid()), "id": uuid.uuid4().hex}
    return json.dumps(name).encode()


def _is_dead_here(held: bytes) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    try:
        name = json.loads(held)
        return name["host"] == socket.gethostname() and _started(name["pid"]) != name["started"]
    except (ValueError, KeyError, TypeError):
        return False


def _started(pid: int) -> str | None:
    """Return when a process was started, in clock ticks since boot (proc(5), field 22), and which boot; else None."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{ticks} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    except OSError:
        return None


def _holder(held: bytes) -> str:
    try:
        name = json.loads(held)
        return f"process {name['pid']} on {name['host']}"
    except (ValueError, KeyError, TypeError):
        return "an unknown process"

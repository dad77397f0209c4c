"""A prefix of a bucket as a store."""

from __future__ import annotations

import builtins
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

from reelmill.errors import BucketNotFound, SourceNotFound, StoreConflict, StoreFailed
from reelmill.settings import settings
from reelmill.storage.at_once import at_once
from reelmill.storage.digests import content_md5, file_digest
from reelmill.storage.ledger import Note, read_notes, write_note
from reelmill.storage.location import S3Location
from reelmill.storage.s3_client import client, explained, server_time
from reelmill.storage.s3_lease import held_lease, is_held
from reelmill.storage.s3_upload import Upload, abort_upload, begin_upload, complete_upload, is_md5, retried, send_parts
from reelmill.storage.store import Holds, ObjectStat, Staged, Store, Unpublished, leaves_to_sweep

_SHA256, _JOB = "reelmill-sha256", "reelmill-job"
_known_buckets: set[S3Location] = set()


@dataclass(frozen=True)
class S3Store:
    """Objects are those whose keys begin with the location's key and a slash."""

    location: S3Location

    def stat(self, key: str) -> ObjectStat | None:
        found = self._head(key)
        if found is None:
            return None
        age_s = (server_time(found) - found["LastModified"]).total_seconds()
        return ObjectStat(key, found["ContentLength"], found["ETag"].strip('"'), age_s)

    def read(self, key: str, limit_bytes: int = 1 << 28) -> bytes | None:
        return retried(lambda: self._read(self.location / key, limit_bytes))

    def _read(self, where: S3Location, limit_bytes: int) -> bytes | None:
        try:
            with explained(str(where)):
                answer = client(where.store).get_object(Bucket=where.bucket, Key=where.key)
                size = answer["ContentLength"]
                with answer["Body"] as body:
                    content = body.read(min(limit_bytes, size)) if size else b""
        except SourceNotFound:
            return None
        if len(content) < min(size, limit_bytes):
            raise StoreFailed(f"{where}: {len(content):,} of {size:,} bytes came")
        digest = answer["ETag"].strip('"')
        if len(content) == size and is_md5(digest, answer) and hashlib.md5(content).hexdigest() != digest:
            raise StoreFailed(f"{where}: what came is not what was stored (its MD5 differs)")
        return content

    def write(self, key: str, content: bytes) -> None:
        retried(lambda: self._put(self.location / key, content))

    def write_first(self, key: str, content: bytes) -> None:
        """Put a small object where there is none; StoreConflict when there is another one."""
        try:
            retried(lambda: self._put(self.location / key, content, IfNoneMatch="*"))
        except StoreConflict:
            if self.read(key) != content:  # else it was ours: the answer to it was lost, and asking again came too late
                raise

    def _put(self, where: S3Location, content: bytes, **options: Any) -> None:
        with explained(str(where)):
            answer = client(where.store).put_object(
                Bucket=where.bucket, Key=where.key, Body=content, ContentMD5=content_md5(content), **options
            )
        stored = answer["ETag"].strip('"')
        if is_md5(stored, answer) and stored != hashlib.md5(content).hexdigest():
            raise StoreFailed(f"{where}: what was stored is not what was sent (its MD5 differs)")

    def put_file(self, file: Path, key: str) -> None:
        where, size = self.location / key, file.stat().st_size
        metadata = {_SHA256: file_digest(file)}
        if size <= settings().s3_part_mib << 20:
            content = file.read_bytes()
            retried(lambda: self._put(where, content, Metadata=metadata))
            return
        upload = begin_upload(where, metadata)
        try:
            complete_upload(send_parts(upload, file))
        except BaseException:
            with leaves_to_sweep(f"an open upload to {where}"):
                abort_upload(upload)
            raise

    def fetch(self, key: str, folder: Path) -> Path:
        where, target = self.location / key, folder / key.rpartition("/")[2]
        found = self._head(key)
        if found is None:
            raise StoreConflict(f"{where} is gone")
        part, size, etag = settings().s3_part_mib << 20, int(found["ContentLength"]), str(found["ETag"])
        with NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as draft:
            path = Path(draft.name)
        try:
            with path.open("r+b") as file, ThreadPoolExecutor(settings().s3_streams) as pool:
                starts = range(0, size, part)
                ends = (min(start + part, size) for start in starts)
                for _ in pool.map(partial(_fetch_range, where, etag, file.fileno()), starts, ends):
                    pass
            return path.replace(target)
        finally:
            path.unlink(missing_ok=True)

    def holds(self, key: str, size_bytes: int, sha256: str) -> bool:
        found = self._head(key)
        return found is not None and found["ContentLength"] == size_bytes and found["Metadata"].get(_SHA256) == sha256

    def delete(self, *keys: str) -> None:
        at_once(self._delete, keys)

    def _delete(self, key: str) -> None:
        where = self.location / key
        with explained(str(where)):
            client(where.store).delete_object(Bucket=where.bucket, Key=where.key)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        root = f"{self.location.key}/" if self.location.key else ""
        for now, page in self._pages("list_objects_v2", root + prefix):
            for each in page.get("Contents", ()):
                age_s = (now - each["LastModified"]).total_seconds()
                yield ObjectStat(each["Key"].removeprefix(root), each["Size"], each["ETag"].strip('"'), age_s)

    def remove_empty(self, *folders: str) -> None:
        """Do nothing: a bucket has no folders."""

    def remove_all(self, prefix: str = "") -> None:
        self.delete(*(each.key for each in retried(lambda: builtins.list(self.list(prefix)))))
        for _, upload in self._open_uploads(f"{self.location.key}/{prefix}".removeprefix("/")):
            abort_upload(upload)

    def _pages(self, operation: Any, prefix: str) -> Iterator[tuple[datetime, dict[str, Any]]]:
        """Yield the pages of a listing, and when the server gave each of them."""
        paginator: Any = cast("Any", client(self.location.store)).get_paginator(operation)
        pages: Iterator[dict[str, Any]] = iter(paginator.paginate(Bucket=self.location.bucket, Prefix=prefix))

        def next_page() -> dict[str, Any] | None:
            with explained(str(self.location)):
                return next(pages, None)

        while (page := next_page()) is not None:
            yield server_time(page), page

    def _open_uploads(self, prefix: str) -> builtins.list[tuple[float, Upload]]:
        """Return the age, in seconds, of every open upload whose key begins with the prefix, and the upload."""

        def listed() -> Iterator[tuple[float, Upload]]:
            for now, page in self._pages("list_multipart_uploads", prefix):
                for each in page.get("Uploads", ()):
                    age_s = (now - each["Initiated"]).total_seconds()
                    yield age_s, Upload(self.location.bucket, each["Key"], each["UploadId"], store=self.location.store)

        return retried(lambda: builtins.list(listed()))

    def lock(self, key: str, *, on_lost: Callable[[], None]) -> AbstractContextManager[Holds]:
        return held_lease(self.location / key, on_lost)

    def is_locked(self, key: str) -> bool:
        return is_held(self.location / key)

    @contextmanager
    def draft(self, job_key: str, attempt: str, ledger: Store, scratch: Path) -> Generator[S3Draft]:
        """Give a folder of `scratch` for outputs. Staging one uploads its parts; publishing it completes the upload.

        So nothing is to be seen before, under any name, and nothing is copied. Each upload is noted in `ledger` when it
        begins, and aborted in the end; so are those that a killed attempt at the job left open.
        """
        draft = S3Draft(self.location, scratch / f"outputs-{attempt[:8]}", job_key, ledger)
        draft.abort_all()
        draft.folder.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft.folder, ignore_errors=True)
            with leaves_to_sweep(f"open uploads to {self.location}"):
                draft.abort_all()

    def left_behind(self, key: str, job_key: str) -> bool:
        found = self._head(key)
        return found is not None and found["Metadata"].get(_JOB) == job_key

    def unpublished(self) -> Iterator[Unpublished]:
        for age_s, upload in self._open_uploads(f"{self.location.key}/" if self.location.key else ""):
            yield Unpublished(str(upload.where), upload.as_json(), age_s, None)

    def abort_uploads(self, key: str, *, younger_than_s: float = math.inf, keep: str = "") -> None:
        """Abort every open upload to a key but the one to `keep`: also one that began without our learning its id."""
        where = self.location / key
        for age_s, upload in self._open_uploads(where.key):
            if upload.where == where and age_s < younger_than_s and upload.upload_id != keep:
                abort_upload(upload)

    def discard(self, unpublished: Unpublished) -> None:
        abort_upload(Upload.from_json(unpublished.token))

    def _head(self, key: str) -> dict[str, Any] | None:
        where = self.location / key
        try:
            with explained(str(where)):
                return cast("dict[str, Any]", client(where.store).head_object(Bucket=where.bucket, Key=where.key))
        except SourceNotFound:
            refuse_missing_bucket(where)
            return None


@dataclass(frozen=True)
class S3Draft:
    """Outputs of one attempt, in a folder of this machine until they are staged."""

    output: S3Location
    folder: Path
    job_key: str
    ledger: Store

    def elsewhere(self, folder: Path) -> S3Draft:
        return replace(self, folder=folder)

    def stage(self, key: str, sha256: str) -> Staged:
        file = self.folder / key
        upload = begin_upload(self.output / key, {_SHA256: sha256, _JOB: self.job_key})
        try:
            write_note(self.ledger, Note(str(self.output), key, upload.as_json()))
            sent = send_parts(upload, file)
        except BaseException:
            with leaves_to_sweep(f"an open upload to {upload.where}"):
                abort_upload(upload)
            raise
        size = file.stat().st_size
        file.unlink()
        return Staged(key, size, sha256, sent.as_json())

    def publish(self, staged: Staged) -> None:
        upload = Upload.from_json(staged.upload)
        target = S3Store(self.output)
        if target.stat(staged.key) is not None and not target.left_behind(staged.key, self.job_key):
            raise StoreConflict(f"{self.output / staged.key} was made by somebody else meanwhile")
        complete_upload(upload, if_absent=True)  # also when that was tried before

    def seal(self, key: str, content: bytes) -> None:
        S3Store(self.output).write_first(key, content)

    def abort_all(self) -> None:
        """Abort every upload to what was noted for this job: the folder is this job's, or it would not be here."""
        at_once(self._abort, read_notes(self.ledger))

    def _abort(self, noted: tuple[str, Note]) -> None:
        key, note = noted
        S3Store(self.output).abort_uploads(note.key)
        self.ledger.delete(key)


def refuse_missing_bucket(where: S3Location) -> None:
    """Raise BucketNotFound when it isn't the key that is missing but the whole bucket: a HEAD does not tell."""
    if where.root not in _known_buckets:
        try:
            with explained(str(where.root)):
                client(where.store).head_bucket(Bucket=where.bucket)
        except SourceNotFound as error:
            raise BucketNotFound(f"there is no bucket {where.bucket}") from error
        _known_buckets.add(where.root)


def _fetch_range(where: S3Location, etag: str, descriptor: int, start: int, end: int) -> None:
    os.pwrite(descriptor, retried(lambda: _get_range(where, etag, start, end)), start)


def _get_range(where: S3Location, etag: str, start: int, end: int) -> bytes:
    with explained(str(where)):
        answer = client(where.store).get_object(
            Bucket=where.bucket, Key=where.key, Range=f"bytes={start}-{end - 1}", IfMatch=etag
        )
        with answer["Body"] as body:
            content = body.read()
    if len(content) != end - start or answer["ETag"] != etag:
        raise StoreFailed(f"{where}: {len(content):,} of {end - start:,} bytes came")
    return content

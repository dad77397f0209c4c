"""Multipart uploads: every part is checked by its MD5, and nothing is visible before the upload is completed."""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from reelmill.errors import SourceNotFound, StoreConflict, StoreFailed, StoreThrottled, StoreUnreachable
from reelmill.settings import settings
from reelmill.storage.digests import composite_crc32, content_md5, crc32_text, multipart_etag
from reelmill.storage.location import S3Location
from reelmill.storage.s3_client import client, code_of, explained

Result = TypeVar("Result")
_MOST_PARTS = 10_000
_TRIES = 4
_FIRST_DELAY_S = 0.1
_CONTENT_TYPES = {
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    "m4s": "video/iso.segment",
    "vtt": "text/vtt",
    "mp4": "video/mp4",
}
"""By the ending of a key, where players that fetch the object ask for it."""
_MD5 = re.compile(r"[0-9a-f]{32}(-\d+)?")


@dataclass(frozen=True)
class Upload:
    """One multipart upload; `etags` and `crc32s` are those of its parts, from part 1 on, once they are sent."""

    bucket: str
    key: str
    upload_id: str
    etags: tuple[str, ...] = ()
    size_bytes: int = 0
    store: str = ""
    has_crc32: bool = False
    """Whether the server wants a CRC-32 with each part, and checks it."""
    crc32s: tuple[int, ...] = ()

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Upload:
        fields = json.loads(text)
        return cls(**fields | {name: tuple(fields[name]) for name in ("etags", "crc32s")})

    @property
    def where(self) -> S3Location:
        return S3Location(self.bucket, self.key, self.store)

    @property
    def etag(self) -> str:
        return multipart_etag([bytes.fromhex(each) for each in self.etags])


def retried(operation: Callable[[], Result]) -> Result:
    """Do it again when what came or went was not whole. boto3 retries what a server refuses, but not this."""
    for number in range(_TRIES):
        try:
            return operation()
        except (StoreThrottled, StoreUnreachable):
            raise
        except StoreFailed as error:
            if not error.retryable or number == _TRIES - 1:
                raise
            time.sleep(_FIRST_DELAY_S * 2**number * random.uniform(0.5, 1.5))
    raise AssertionError


def is_md5(etag: str, answer: Any) -> bool:
    """Whether the ETag is made of MD5s: not where the server encrypts with keys of KMS or the customer."""
    encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer
    return bool(_MD5.fullmatch(etag)) and not encrypted


def begin_upload(where: S3Location, metadata: dict[str, str]) -> Upload:
    """Open an upload. Whoever calls must abort it when it isn't completed."""
    content_type: Any = {"ContentType": kind} if (kind := _CONTENT_TYPES.get(where.name.rpartition(".")[2])) else {}
    with explained(str(where)):
        answer = client(where.store).create_multipart_upload(
            Bucket=where.bucket, Key=where.key, Metadata=metadata, **content_type
        )  # fmt: skip
    return Upload(where.bucket, where.key, answer["UploadId"], store=where.store)


def send_parts(upload: Upload, file: Path) -> Upload:
    """Send the whole file, several parts at once, and return the upload with the ETags of its parts."""
    size = file.stat().st_size
    part = max(settings().s3_part_mib << 20, -(-size // _MOST_PARTS))
    starts = range(0, max(size, 1), part)

    def send(number: int) -> str:
        with file.open("rb") as opened:
            opened.seek((number - 1) * part)
            content = opened.read(part)
        return retried(lambda: _send_part(upload, number, content))

    with ThreadPoolExecutor(settings().s3_streams) as pool:
        try:
            etags = tuple(pool.map(send, range(1, len(starts) + 1)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return replace(upload, etags=etags, size_bytes=size)


def _send_part(upload: Upload, number: int, content: bytes) -> str:
    with explained(f"{upload.where}, part {number}"):
        answer = client(upload.store).upload_part(
            Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id, PartNumber=number, Body=content,
            ContentMD5=content_md5(content),
        )  # fmt: skip
    etag = answer["ETag"].strip('"')
    if is_md5(etag, answer) and etag != hashlib.md5(content).hexdigest():
        raise StoreFailed(f"{upload.where}, part {number}: what was stored is not what was sent (its MD5 differs)")
    return etag


def complete_upload(upload: Upload, *, if_absent: bool = False) -> None:
    """Make the object of the parts, and check that it is the one meant. A lost answer is found out by looking.

    With `if_absent` StoreConflict when there is another object; some servers (Ceph 16) don't heed it.
    """
    condition: Any = {"IfNoneMatch": "*"} if if_absent else {}
    parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(upload.etags, 1)]
    for part, crc32 in zip(parts, upload.crc32s, strict=False):
        part["ChecksumCRC32"] = crc32_text(crc32)
    failure: Exception | None = None
    try:
        with explained(str(upload.where)):
            client(upload.store).complete_multipart_upload(
                Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id, MultipartUpload={"Parts": parts},
                **condition,
            )  # fmt: skip
    except (StoreFailed, SourceNotFound) as error:
        failure = error
    wrong = _difference(upload)
    if wrong and isinstance(failure, StoreConflict):
        raise failure
    if wrong and failure:
        raise StoreFailed(f"{upload.where}: the upload could not be completed") from failure
    if wrong:
        raise StoreFailed(f"{upload.where}: {wrong}")


def _difference(upload: Upload) -> str | None:
    try:
        with explained(str(upload.where)):
            found: Any = client(upload.store).head_object(Bucket=upload.bucket, Key=upload.key, ChecksumMode="ENABLED")
    except SourceNotFound:
        return "it is not there"
    etag = found["ETag"].strip('"')
    if found["ContentLength"] != upload.size_bytes:
        return f"{found['ContentLength']:,} of {upload.size_bytes:,} bytes are there"
    if is_md5(etag, found) and etag != upload.etag:
        return "what is there is not what was sent (its ETag differs)"
    if upload.has_crc32 and found.get("ChecksumCRC32") != composite_crc32(upload.crc32s):
        return "what is there is not what was sent (its CRC-32 differs)"
    return None


def abort_upload(upload: Upload) -> None:
    """End an upload that isn't wanted, with all of its parts; one that has ended already is no error.

    A part that is on its way when an upload is aborted may stay: S3's documentation says to abort until it is gone.
    """
    for number in range(_TRIES):
        try:
            with explained(str(upload.where)):
                client(upload.store).abort_multipart_upload(
                    Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id
                )
                client(upload.store).list_parts(Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id)
        except (SourceNotFound, StoreFailed) as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and code_of(cause) in ("NoSuchUpload", "404", "NoSuchKey"):
                return
            if number == _TRIES - 1:
                raise
        time.sleep(_FIRST_DELAY_S * 2**number)

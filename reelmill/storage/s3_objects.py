"""What a store says of an object besides its content, and uploads that give another one the same."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode

from botocore.exceptions import ClientError

from reelmill.errors import SourceChanged, SourceNotFound, StoreAccessDenied, StoreConflict, StoreFailed, UploadGone
from reelmill.storage.digests import content_md5
from reelmill.storage.location import S3Location
from reelmill.storage.s3 import S3Store, refuse_missing_bucket
from reelmill.storage.s3_client import client, code_of, explained
from reelmill.storage.s3_headers import as_meant, as_sent
from reelmill.storage.s3_upload import Upload, is_md5, retried
from reelmill.storage.store import leaves_to_sweep

_KEPT_HEADERS = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
)  # fmt: skip
_CLOCKS_STEP_S = 2.0
"""When an upload began is told in whole seconds."""
_NOT_KNOWN = ("InvalidArgument", "InvalidRequest", "NotImplemented", "400", "501")
"""What servers answer to a header that they don't know."""
_IN_PARTS = re.compile(r"[0-9a-f]{32}-(\d+)")


@dataclass(frozen=True)
class ObjectFacts:
    """An object as it was when it was looked at. `etag` has its quotes; `version` is empty in an unversioned bucket."""

    size_bytes: int
    etag: str
    version: str
    modified: datetime
    has_md5: bool
    """Whether the ETag is made of MD5s."""
    headers: dict[str, Any] = field(default_factory=dict[str, Any])
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    crc32: str | None = None
    """CRC-32 of the whole object as S3 writes it, where the store keeps one."""

    @property
    def parts(self) -> int | None:
        """In how many parts it was uploaded; None where the ETag doesn't say so."""
        found = _IN_PARTS.fullmatch(self.etag.strip('"')) if self.has_md5 else None
        return int(found[1]) if found else None


def look_at(where: S3Location) -> ObjectFacts | None:
    """Return what an object is now; None when there is none. BucketNotFound, StoreAccessDenied, StoreFailed."""
    try:
        with explained(str(where)):
            found: Any = client(where.store).head_object(Bucket=where.bucket, Key=where.key, ChecksumMode="ENABLED")
    except SourceNotFound:
        refuse_missing_bucket(where)
        return None
    version = found.get("VersionId", "")
    is_whole = found.get("ChecksumType") != "COMPOSITE" and "-" not in found.get("ChecksumCRC32", "-")
    return ObjectFacts(
        size_bytes=found["ContentLength"], etag=found["ETag"], version="" if version == "null" else version,
        modified=found["LastModified"], has_md5=is_md5(found["ETag"].strip('"'), found),
        headers={name: _meant(found[name]) for name in _KEPT_HEADERS if name in found},
        metadata={name: as_meant(value) for name, value in found.get("Metadata", {}).items()},
        crc32=found["ChecksumCRC32"] if is_whole else None,
    )  # fmt: skip


def _meant(value: Any) -> Any:
    return as_meant(value) if isinstance(value, str) else value  # Expires is a time


def _metadata_for(where: S3Location, metadata: dict[str, str]) -> dict[str, str]:
    return {name: as_sent(value, client(where.store).meta.endpoint_url) for name, value in metadata.items()}


def first_part_bytes(where: S3Location, facts: ObjectFacts) -> int | None:
    """Return the size of an object's first part as it was uploaded; None where the store doesn't say."""
    try:
        with explained(str(where)):
            found: Any = client(where.store).head_object(
                Bucket=where.bucket, Key=where.key, PartNumber=1, IfMatch=facts.etag
            )
    except (SourceNotFound, StoreConflict) as error:
        raise SourceChanged(f"{where} was changed or removed while it was looked at") from error
    except (StoreFailed, StoreAccessDenied):
        return None
    is_told = "PartsCount" in found and found["PartsCount"] == facts.parts
    return found["ContentLength"] if is_told else None


def tags_of(where: S3Location, facts: ObjectFacts) -> str:
    """Return the object's tags as the header `x-amz-tagging` has them. StoreAccessDenied where they may not be read."""
    named: Any = {"Bucket": where.bucket, "Key": where.key} | ({"VersionId": facts.version} if facts.version else {})
    with explained(f"tags of {where}"):
        found = _tags_in(client(where.store).get_object_tagging(**named))
    return urlencode(found, quote_via=quote)  # some servers (Ceph 16) take the usual + for a plus sign


def keep_tags(where: S3Location, tags: str) -> None:
    """Give an object its tags where it has not got them: some servers ignore those of an upload in parts."""
    wanted = dict(parse_qsl(tags, keep_blank_values=True))
    with explained(f"tags of {where}"):
        found = _tags_in(client(where.store).get_object_tagging(Bucket=where.bucket, Key=where.key))
        if found != wanted:
            tag_set: Any = [{"Key": name, "Value": value} for name, value in wanted.items()]
            client(where.store).put_object_tagging(Bucket=where.bucket, Key=where.key, Tagging={"TagSet": tag_set})


def _tags_in(answer: Any) -> dict[str, str]:
    """Return the tags of an answer: that of an object without any is empty on some servers (Ceph 16)."""
    return {each["Key"]: each["Value"] for each in answer.get("TagSet", ())}


def objects_below(where: S3Location) -> Iterator[tuple[str, int, str]]:
    """Yield key, size and ETag of the objects whose keys begin with the location's key and a slash; all of a bucket."""
    paginator: Any = cast("Any", client(where.store)).get_paginator("list_objects_v2")
    prefix = f"{where.key}/" if where.key else ""
    pages: Iterator[Any] = iter(paginator.paginate(Bucket=where.bucket, Prefix=prefix))
    while True:
        with explained(str(where)):
            page = next(pages, None)
        if page is None:
            return
        yield from ((each["Key"], each["Size"], each["ETag"]) for each in page.get("Contents", ()))


def begin_copy(
    where: S3Location, headers: dict[str, Any], metadata: dict[str, str], tags: str, *, with_crc32: bool
) -> Upload:
    """Open an upload of an object with these. Whoever calls must abort it when it isn't completed.

    An upload that an answer was lost to is open without anybody's knowing its id, and is aborted. `with_crc32` asks the
    server to check a CRC-32 with each part; what it answers says whether it does.
    """
    named: Any = {"Bucket": where.bucket, "Key": where.key, "Metadata": _metadata_for(where, metadata), **headers}
    named |= {"Tagging": tags} if tags else {}
    began, upload_id, is_alone = time.monotonic(), "", False
    try:
        answer = _create_upload(where, named, with_crc32=with_crc32)
        upload_id, is_alone = answer["UploadId"], not answer["ResponseMetadata"].get("RetryAttempts")
    finally:
        if not is_alone:
            with leaves_to_sweep(f"an open upload to {where}"):
                age_s = time.monotonic() - began + _CLOCKS_STEP_S
                S3Store(where.root).abort_uploads(where.key, younger_than_s=age_s, keep=upload_id)
    has_crc32 = with_crc32 and answer.get("ChecksumAlgorithm") == "CRC32"
    return Upload(where.bucket, where.key, upload_id, store=where.store, has_crc32=has_crc32)


def _create_upload(where: S3Location, named: Any, *, with_crc32: bool) -> Any:
    asked: Any = {"ChecksumAlgorithm": "CRC32"} if with_crc32 else {}
    try:
        with explained(str(where)):
            return client(where.store).create_multipart_upload(**named, **asked)
    except StoreFailed as error:
        cause = error.__cause__
        if not (with_crc32 and isinstance(cause, ClientError) and code_of(cause) in _NOT_KNOWN):
            raise
    return _create_upload(where, named, with_crc32=False)


def put_whole(
    where: S3Location,
    content: bytes,
    headers: dict[str, Any],
    metadata: dict[str, str],
    tags: str,
    *,
    if_absent: bool,
) -> str:
    """Put a small object, which the server checks by its MD5, and return its ETag. StoreConflict with `if_absent`.

    StoreFailed when the server says that it has something else; that is removed.
    """
    options: Any = headers | ({"Tagging": tags} if tags else {}) | ({"IfNoneMatch": "*"} if if_absent else {})

    def put() -> str:
        with explained(str(where)):
            answer = client(where.store).put_object(
                Bucket=where.bucket, Key=where.key, Body=content, ContentMD5=content_md5(content),
                Metadata=_metadata_for(where, metadata), **options,
            )  # fmt: skip
        etag = answer["ETag"].strip('"')
        if is_md5(etag, answer) and etag != hashlib.md5(content).hexdigest():
            remove_object(where, answer["ETag"])
            raise StoreFailed(f"{where}: what was stored is not what was sent (its MD5 differs)")
        return etag

    return retried(put)


def remove_object(where: S3Location, etag: str) -> None:
    """Remove an object, if it is still the one with that ETag."""
    if (found := look_at(where)) is not None and found.etag == etag:
        with explained(str(where)):
            client(where.store).delete_object(Bucket=where.bucket, Key=where.key)


def stored_parts(upload: Upload) -> dict[int, tuple[int, str]] | None:
    """Return size and ETag, without quotes, of the parts an open upload has, by number; None when it is not open."""

    def listed() -> dict[int, tuple[int, str]]:
        paginator: Any = cast("Any", client(upload.store)).get_paginator("list_parts")
        found: dict[int, tuple[int, str]] = {}
        with explained(str(upload.where)):
            for page in paginator.paginate(Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id):
                for each in page.get("Parts", ()):
                    found[each["PartNumber"]] = each["Size"], each["ETag"].strip('"')
        return found

    try:
        return retried(listed)
    except (SourceNotFound, UploadGone):
        return None


def copy_range(
    upload: Upload, number: int, source: S3Location, facts: ObjectFacts, start: int, end: int
) -> tuple[str, bool]:
    """Have the store itself copy a range into a part; return the part's ETag, and whether it is the MD5.

    SourceChanged when the source is not that any more, where the store heeds it: some (Ceph 16) don't.
    """
    named: Any = {"Bucket": source.bucket, "Key": source.key}
    named |= {"VersionId": facts.version} if facts.version else {}
    try:
        with explained(f"{upload.where}, part {number}"):
            answer: Any = client(upload.store).upload_part_copy(
                Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id, PartNumber=number, CopySource=named,
                CopySourceIfMatch=facts.etag, CopySourceRange=f"bytes={start}-{end - 1}",
            )  # fmt: skip
    except StoreConflict as error:
        raise SourceChanged(f"{source} was changed while the job ran") from error
    etag = answer["CopyPartResult"]["ETag"].strip('"')
    return etag, is_md5(etag, answer)

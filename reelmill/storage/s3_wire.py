"""Streams ranges out of objects and parts into uploads, with constant memory: presigned URLs and plain connections.

boto3 signs; the bytes go from one socket to the other through one buffer, which boto3's own bodies don't do.
"""

from __future__ import annotations

import re
import select
import ssl
import urllib.request
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from functools import lru_cache
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

from reelmill.errors import SourceChanged, SourceNotFound, StoreConflict, StoreFailed, StoreUnreachable
from reelmill.settings import settings
from reelmill.storage.digests import crc32_text
from reelmill.storage.location import S3Location
from reelmill.storage.s3_client import authorities_file, client, error_of
from reelmill.storage.s3_trailer import CRC32_HEADER, Frames, signed_put
from reelmill.storage.s3_upload import Upload, is_md5

BLOCK_BYTES = 256 << 10
_EXPIRES_S = 6 * 3600
_MOST_OF_AN_ERROR = 64 << 10
_FIELD = re.compile(r"<(Code|Message)>([^<]*)</")
_ENCRYPTION = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
}


class Wire:
    """The connections of one thread, for each server one to read by and one to write by, and its buffer.

    Ends with the block. The two may be open at once: bytes pass between two accounts of one server, too.
    """

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BLOCK_BYTES))
        self.requests = 0
        self._open: dict[str, HTTPConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        for each in self._open.values():
            each.close()
        self._open.clear()

    def connect(self, parts: SplitResult, method: str) -> HTTPConnection:
        """Return an open connection to the server of an address, for requests of that method."""
        name = f"{method} {parts.scheme}://{parts.netloc}"
        connection = self._open.get(name)
        if connection is None:
            connection = self._open[name] = _connection(parts)
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()  # the server has given it up
        if connection.sock is None:
            try:
                connection.connect()
            except OSError as error:
                raise StoreUnreachable(f"{parts.hostname}: {error}") from error
        self.requests += 1
        return connection


ReadInto = Callable[[memoryview], int]
"""Fills the front of a buffer and returns how many bytes came: none at the end."""


@contextmanager
def reading(
    wire: Wire, where: S3Location, etag: str, version: str, start: int, end: int, of: int
) -> Generator[ReadInto]:
    """Give what reads a half-open range of an object of `of` bytes, pinned to its ETag and version.

    SourceChanged when it is not that any more; StoreFailed when the answer isn't the range, or breaks off.
    """
    named: Any = {"Bucket": where.bucket, "Key": where.key} | ({"VersionId": version} if version else {})
    url = client(where.store).generate_presigned_url("get_object", Params=named, ExpiresIn=_EXPIRES_S)
    headers = {"Range": f"bytes={start}-{end - 1}", "If-Match": etag}
    with _asked(wire, "GET", url, str(where), headers) as connection:
        with _told(str(where)):
            answer = connection.getresponse()
        with closing(answer):
            try:
                _refuse_error(answer, str(where))
            except (SourceNotFound, StoreConflict) as error:
                raise SourceChanged(f"{where} was changed or removed while the job ran") from error
            if answer.headers.get("ETag") != etag:
                raise SourceChanged(f"{where} was changed while the job ran")
            came = answer.headers.get("Content-Range", "")
            if answer.status != HTTPStatus.PARTIAL_CONTENT or came != f"bytes {start}-{end - 1}/{of}":
                raise StoreFailed(f"{where}: {came or answer.status} came for the bytes from {start:,} to {end:,}")

            def read(block: memoryview) -> int:
                with _told(str(where)):
                    return answer.readinto(block)

            yield read


class PartSink:
    """Takes the bytes of one part, all of which must come, and says what the server stored."""

    def __init__(self, connection: HTTPConnection, what: str, frames: Frames | None):
        self._connection = connection
        self._what = what
        self._frames = frames

    def write(self, block: memoryview) -> None:
        self._send(self._frames.around(block) if self._frames else (block,))

    def stored_etag(self, crc32: int) -> tuple[str, bool]:
        """Return the ETag of what is stored, without quotes, and whether it is the MD5.

        StoreFailed where the server checks what it has stored, and it has not this CRC-32.
        """
        if self._frames:
            self._send((self._frames.end(crc32),))
        with _told(self._what), closing(self._connection.getresponse()) as answer:
            _refuse_error(answer, self._what)
            answer.read(_MOST_OF_AN_ERROR)
        if answer.headers.get(CRC32_HEADER, crc32_text(crc32)) != crc32_text(crc32):
            raise StoreFailed(f"{self._what}: what was stored is not what was sent (its CRC-32 differs)")
        encryption = {name: value for name, value in _ENCRYPTION.items() if value in answer.headers}
        seen = {name: answer.headers[value] for name, value in encryption.items()}
        etag = answer.headers.get("ETag", "").strip('"')
        return etag, is_md5(etag, seen)

    def _send(self, blocks: Iterable[memoryview | bytes]) -> None:
        with _told(self._what):
            try:
                for each in blocks:
                    self._connection.send(each)
            except ConnectionError:  # the server may have said why, and hung up
                with closing(self._connection.getresponse()) as answer:
                    _refuse_error(answer, self._what)
                raise


@contextmanager
def writing(wire: Wire, upload: Upload, number: int, size_bytes: int) -> Generator[PartSink]:
    """Give what takes the bytes of one part of an upload. StoreFailed and below when they don't arrive."""
    named: Any = {
        "Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.upload_id, "PartNumber": number,
    }  # fmt: skip
    url = client(upload.store).generate_presigned_url("upload_part", Params=named, ExpiresIn=_EXPIRES_S)
    what, headers, frames = f"{upload.where}, part {number}", {"Content-Length": str(size_bytes)}, None
    if upload.has_crc32:
        frames = Frames(size_bytes)
        url, headers = signed_put(upload.store, url, frames)
    with _asked(wire, "PUT", url, what, headers) as connection:
        yield PartSink(connection, what, frames)


@contextmanager
def _asked(wire: Wire, method: str, url: str, what: str, headers: dict[str, str]) -> Generator[HTTPConnection]:
    """Send the head of a request. Whatever goes wrong then ends the connection: nobody knows where it stands."""
    parts = urlsplit(url)
    connection = wire.connect(parts, method)
    is_relayed = parts.scheme == "http" and _proxy(parts.scheme, parts.netloc)
    try:
        with _told(what):
            target = url if is_relayed else f"{parts.path}?{parts.query}"
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
        yield connection
    except BaseException:
        connection.close()
        raise


@contextmanager
def _told(what: str) -> Generator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise StoreFailed(f"{what}: {type(error).__name__}: {error}") from error


def _refuse_error(answer: HTTPResponse, what: str) -> None:
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    said = dict(_FIELD.findall(answer.read(_MOST_OF_AN_ERROR).decode(errors="replace")))
    raise error_of(what, said.get("Code", str(answer.status)), str(answer.status), said.get("Message", ""))


def _connection(parts: SplitResult) -> HTTPConnection:
    proxy = _proxy(parts.scheme, parts.netloc)
    host, port = (proxy.hostname, proxy.port) if proxy else (parts.hostname, parts.port)
    assert host is not None
    timeout_s = settings().s3_timeout_s
    if parts.scheme == "http":
        return HTTPConnection(host, port, timeout=timeout_s)
    connection = HTTPSConnection(host, port, timeout=timeout_s, context=_trust(authorities_file()))
    if proxy:
        assert parts.hostname is not None
        connection.set_tunnel(parts.hostname, parts.port)
    return connection


@lru_cache(maxsize=4)
def _trust(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities)


def _proxy(scheme: str, host: str) -> SplitResult | None:
    """Return the proxy that the environment names for a host, as boto3 would use it."""
    address = urllib.request.getproxies().get(scheme)
    if not address or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")

"""Digests of whole files, and the ones that object stores make of parts."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path


def file_digest(path: Path) -> str:
    """SHA-256 of the whole file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_md5(content: bytes) -> str:
    """Return the value of the header Content-MD5 (RFC 1864), by which a server knows that all of it came."""
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def multipart_etag(part_md5s: list[bytes]) -> str:
    """Return the ETag that S3 gives to an object uploaded in parts: the MD5 of their MD5s, and their number."""
    return f"{hashlib.md5(b''.join(part_md5s)).hexdigest()}-{len(part_md5s)}"


def crc32_text(crc: int) -> str:
    """Return a CRC-32 as S3 writes it: base64 of its four bytes, the highest first."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def composite_crc32(crcs: Sequence[int]) -> str:
    """Return the CRC-32 that S3 gives to an object uploaded in parts that had one: that of theirs, and their number."""
    return f"{crc32_text(zlib.crc32(b''.join(each.to_bytes(4, 'big') for each in crcs)))}-{len(crcs)}"


def content_key(*parts: str) -> str:
    """Digest of `parts`, the same on every machine: names work by its content and recipe, never by a path."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]

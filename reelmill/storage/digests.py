"""Digests of whole files, and the ones that object stores make of parts."""

from __future__ import annotations

import base64
import hashlib
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


def content_key(*parts: str) -> str:
    """Digest of `parts`, the same on every machine: names work by its content and recipe, never by a path."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]

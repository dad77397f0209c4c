"""What makes a source the same source, wherever it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLE_BYTES = 1 << 20


def source_identity(path: Path) -> str:
    """Digest of the size, the time of the last change and the first and last MiB; the path is not part of it."""
    stat = path.stat()
    digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(SAMPLE_BYTES))
        if stat.st_size > SAMPLE_BYTES:
            file.seek(max(SAMPLE_BYTES, stat.st_size - SAMPLE_BYTES))
            digest.update(file.read())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of the whole file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Says with a file of which content it is the copy: in an extended attribute, where the file system keeps any."""

from __future__ import annotations

import logging
import os
from pathlib import Path

_ATTRIBUTE = "user.reelmill-source"
_log = logging.getLogger(__name__)


def note_content(file: Path, identity: str) -> None:
    """Note that a file, as it is now, is the copy of this content. It stays with the file when that is renamed."""
    try:
        os.setxattr(file, _ATTRIBUTE, _note(file, identity))
    except OSError as error:
        _log.info("%s: a later run won't know it by a note: %s", file, error.strerror)


def is_noted(file: Path, identity: str) -> bool:
    """Whether the file was noted to be the copy of this content, and has not been written to since."""
    try:
        return os.getxattr(file, _ATTRIBUTE) == _note(file, identity)
    except OSError:  # there is none, or there can't be any
        return False


def _note(file: Path, identity: str) -> bytes:
    found = file.stat()
    return f"{identity} {found.st_size} {found.st_mtime_ns}".encode()

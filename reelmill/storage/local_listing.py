"""What is below a folder of this machine, and what of it is no file that can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG


@dataclass(frozen=True)
class Listed:
    """A file, or something else and why it is left out. `is_failure` when there may be files in it."""

    path: Path
    size_bytes: int = 0
    left_out: str = ""
    is_failure: bool = False


def files_below(folder: Path) -> Iterator[Listed]:
    """Yield everything below a folder that is not itself a folder. Links to files are files; others are left out."""
    failed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=failed.append):
        folders.sort()
        for link in filter(Path.is_symlink, (Path(place, name) for name in folders)):
            yield Listed(link, left_out="it is a link to a folder, which is not followed")
        for name in sorted(names):
            if (found := _listed(Path(place, name))) is not None:
                yield found
    for error in failed:
        yield Listed(Path(error.filename), left_out=error.strerror or str(error), is_failure=True)


def _listed(path: Path) -> Listed | None:
    """Return what a path is; None when it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return Listed(path, left_out="it is a link to nothing") if path.is_symlink() else None
    except OSError as error:
        return Listed(path, left_out=error.strerror or str(error), is_failure=True)
    if not S_ISREG(found.st_mode):
        return Listed(path, left_out="it is not a file")
    return Listed(path, found.st_size)

"""Opens containers with PyAV: a forced demuxer, one file, nothing else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import av
from av.container import InputContainer
from av.format import ContainerFormat

from reelmill.media.hollow import Hollow
from reelmill.storage.readable import Readable


@contextmanager
def open_container(media: Readable | Hollow, demuxer: str) -> Generator[InputContainer]:
    """Open a file with a forced demuxer that can open nothing else.

    Raises PermissionError when the file refers to another one, and what PyAV raises for what it can't read.
    """
    with ExitStack() as files:  # PyAV leaves what it was given open

        def open_only_itself(url: str, flags: int, options: object) -> Any:
            if url != str(media):
                raise PermissionError(f"a source may not open {url}")
            return files.enter_context(media.open("rb"))

        container = files.enter_context(
            av.open(
                str(media), format=demuxer, io_open=open_only_itself,
                options={"protocol_whitelist": "file", "format_whitelist": demuxer_whitelist(demuxer)},
                metadata_errors="replace",
            )
        )  # fmt: skip
        yield container


def demuxer_whitelist(demuxer: str) -> str:
    """Return the value for `-format_whitelist`: the forced demuxer's full name, and nothing else."""
    return ContainerFormat(demuxer, "r").name

"""Opens containers with PyAV: a forced demuxer, one file, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer


def open_container(path: Path, demuxer: str) -> InputContainer:
    """Open a local file with a forced demuxer that can open nothing else."""

    def open_only_itself(url: str, flags: int, options: object) -> Any:
        if url != str(path):
            raise PermissionError(f"a source may not open {url}")
        return path.open("rb")

    return av.open(
        str(path), format=demuxer, io_open=open_only_itself,
        options={"protocol_whitelist": "file", "format_whitelist": demuxer_whitelist(demuxer)},
        metadata_errors="replace",
    )  # fmt: skip


def demuxer_whitelist(demuxer: str) -> str:
    """Return the value for `-format_whitelist`: the forced demuxer's full name, and nothing else."""
    return av.format.ContainerFormat(demuxer, "r").name

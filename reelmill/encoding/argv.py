"""What the argv of every ffmpeg run has in common: how times are printed, and how a source is opened. Pure.

Times are exact until they are printed here, in microseconds, the unit in which ffmpeg reads them.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from reelmill.media.containers import demuxer_whitelist
from reelmill.media.source import Source
from reelmill.storage.readable import Readable

Argv = list[str]
QUIET = ("-y", "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-nostats", "-progress", "pipe:1")


def seconds(value: Fraction) -> str:
    """Print a time for ffmpeg: decimal seconds, to the microsecond."""
    micros = round(value * 1_000_000)
    whole, rest = divmod(abs(micros), 1_000_000)
    return f"{'-' if micros < 0 else ''}{whole}.{rest:06d}"


def source_input(source: Source, media: Readable, **options: Any) -> Any:
    """Return the node that opens a source."""
    return media_input(media, source.demuxer, **options)


def media_input(media: Readable, demuxer: str, **options: Any) -> Any:
    """Return the node that opens media with this demuxer, and nothing else."""
    url, protocols = address_of(media)
    return ffmpeg.input(
        url, format=demuxer, protocol_whitelist=protocols, format_whitelist=demuxer_whitelist(demuxer), **options
    )


def address_of(media: Readable) -> tuple[str, str]:
    """Return the URL of what is opened, and the protocols that opening it may use."""
    return (f"file:{media}", "file") if isinstance(media, Path) else (str(media), "http,tcp")


def whole_argv(tool: str, output: Any) -> Argv:
    """Return the whole command that makes an output."""
    return [tool, *QUIET, *ffmpeg.get_args(output)]

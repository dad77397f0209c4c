"""Opens finished pictures again, to see what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from reelmill.errors import VerifyFailed
from reelmill.media.containers import open_container

_DECODERS = {"jpeg": "mjpeg", "png": "png", "webp": "webp"}
_WEBP_HEAD_BYTES = 12


def picture_size(path: Path, format: str, *, moving: bool) -> tuple[int, int]:
    """Return width and height of what is in the file, after decoding it; VerifyFailed when that is not possible."""
    try:
        if not moving:
            return _still_size(path, format)
        return _gif_size(path) if format == "gif" else _moving_webp_size(path.read_bytes())
    except (FFmpegError, OSError, IndexError, ValueError) as error:
        raise VerifyFailed(f"{path.name} can't be opened: {error}") from error


def _still_size(path: Path, format: str) -> tuple[int, int]:
    decoder: Any = av.CodecContext.create(_DECODERS[format], "r")
    frames = [*decoder.decode(av.Packet(path.read_bytes())), *decoder.decode(None)]
    return frames[0].width, frames[0].height


def _gif_size(path: Path) -> tuple[int, int]:
    with open_container(path, "gif") as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    return frames[-1]


def _moving_webp_size(content: bytes) -> tuple[int, int]:
    """Read the chunks of the file (RFC 9649, 2.7): no decoder here takes a WebP that moves."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise ValueError("it is not a whole WebP")
    position, size, frames = _WEBP_HEAD_BYTES, (0, 0), 0
    while position + 8 <= len(content):
        kind, length = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        if kind == b"VP8X":
            sides = content[position + 12 : position + 18]
            size = int.from_bytes(sides[:3], "little") + 1, int.from_bytes(sides[3:], "little") + 1
        frames += kind == b"ANMF"
        position += 8 + length + length % 2
    if not frames:
        raise ValueError("no picture of it moves")
    return size

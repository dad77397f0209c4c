"""Blu-ray bitmap subtitles (PGS, .sup), made here because ffmpeg turns no text into bitmaps."""

import struct
from pathlib import Path

_PALETTE, _OBJECT, _COMPOSITION, _WINDOW, _END = 0x14, 0x15, 0x16, 0x17, 0x80
_WIDTH, _HEIGHT = 64, 16
_X, _Y = 128, 150


def write_bitmap_subtitles(
    path: Path, picture: tuple[int, int] = (320, 180), shown_s: tuple[int, ...] = (1, 4)
) -> None:
    """A white bar near the bottom of `picture`, for one second from each of the times `shown_s`."""
    path.write_bytes(
        b"".join(
            _shown(picture, at_s, 2 * i) + _cleared(picture, at_s + 1, 2 * i + 1) for i, at_s in enumerate(shown_s)
        )
    )


def _shown(picture: tuple[int, int], at_s: int, number: int) -> bytes:
    objects = struct.pack(">HBBHH", 0, 0, 0, _X, _Y)
    colours = bytes([0, 0]) + bytes([1, 235, 128, 128, 255])
    # A run of 64 or less than 16,384 pixels of colour 1, then the end of the line.
    line = bytes([0, 0xC0 | _WIDTH >> 8, _WIDTH & 0xFF, 1, 0, 0])
    bitmap = struct.pack(">HH", _WIDTH, _HEIGHT) + line * _HEIGHT
    return b"".join(
        _segment(at_s, kind, payload)
        for kind, payload in (
            (_COMPOSITION, _composition(picture, number, 0x80, 1) + objects),
            (_WINDOW, _window()),
            (_PALETTE, colours),
            (_OBJECT, struct.pack(">HBB", 0, 0, 0xC0) + len(bitmap).to_bytes(3, "big") + bitmap),
            (_END, b""),
        )
    )


def _cleared(picture: tuple[int, int], at_s: int, number: int) -> bytes:
    segments = ((_COMPOSITION, _composition(picture, number, 0, 0)), (_WINDOW, _window()), (_END, b""))
    return b"".join(_segment(at_s, kind, payload) for kind, payload in segments)


def _composition(picture: tuple[int, int], number: int, state: int, objects: int) -> bytes:
    return struct.pack(">HHBHBBBB", *picture, 0x10, number, state, 0, 0, objects)


def _window() -> bytes:
    return struct.pack(">BBHHHH", 1, 0, _X, _Y, _WIDTH, _HEIGHT)


def _segment(at_s: int, kind: int, payload: bytes) -> bytes:
    return b"PG" + struct.pack(">IIBH", at_s * 90_000, 0, kind, len(payload)) + payload

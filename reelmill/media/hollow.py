"""An MP4 without its media: its packets have their places, sizes and times, and zeros for what is in them.

All of that is in the index, the moov box (ISO/IEC 14496-12, 8.2.1). Over a network it is what can be had at once.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from typing import Any, BinaryIO, cast

from av.container import InputContainer

from reelmill.media.demuxers import boxes_of
from reelmill.storage.readable import Readable

_KEPT_BYTES, _KEPT_SHARE = 4 << 20, 4
"""What is left of the media at its start, and at most one in so many bytes: opening looks at the first packets."""
_INDEXED_WHOLE = frozenset(
    ("h264", "hevc", "av1", "mpeg4", "prores", "dnxhd", "mjpeg", "aac", "alac", "flac", "opus", "ac3", "eac3",
     "mov_text", "none")
)  # fmt: skip
"""Codecs whose packets need no look inside for times and key frames. Of MP3 and MPEG-2, for example, they do."""


class Hollow:
    """A file with zeros in its `holes`, half-open ranges of bytes in ascending order. Can be opened like a path."""

    def __init__(self, media: Readable, holes: list[tuple[int, int]]):
        self.name = media.name
        self._media = media
        self._holes = holes

    def open(self, mode: str = "rb") -> BinaryIO:
        assert mode == "rb"
        return cast(BinaryIO, _HollowFile(self._media.open("rb"), self._holes))

    def __str__(self) -> str:
        return str(self._media)


def hollow(media: Readable, container: InputContainer) -> Hollow | None:
    """Return the file without its media, where that still tells everything about its packets; None elsewhere."""
    codecs = {each.codec_context.codec.canonical_name if each.codec_context else "none" for each in container.streams}
    if not codecs <= _INDEXED_WHOLE:
        return None
    with media.open("rb") as file:
        boxes = list(boxes_of(file, file.seek(0, io.SEEK_END)))
    if any(kind in (b"moof", b"sidx") for kind, _, _ in boxes):  # fragments: the index is all over the file
        return None
    media_boxes = [(start, end) for kind, start, end in boxes if kind == b"mdat"]
    return Hollow(media, [(start + min(_KEPT_BYTES, (end - start) // _KEPT_SHARE), end) for start, end in media_boxes])


class _HollowFile(io.RawIOBase):
    def __init__(self, file: BinaryIO, holes: list[tuple[int, int]]):
        self._file = file
        self._holes = holes
        self._starts = [start for start, _ in holes]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (self._file.seek(0, io.SEEK_END) if base is None else base)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        number = bisect_right(self._starts, self._position)
        if number and self._position < self._holes[number - 1][1]:
            count = min(len(view), self._holes[number - 1][1] - self._position)
            view[:count] = bytes(count)
        else:
            until = self._starts[number] if number < len(self._starts) else self._position + len(view)
            if self._file.tell() != self._position:
                self._file.seek(self._position)
            content = self._file.read(min(len(view), until - self._position))
            count = len(content)
            view[:count] = content
        self._position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

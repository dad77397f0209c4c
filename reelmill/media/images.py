"""Images that are laid over a video: four kinds are opened, each by a forced demuxer."""

from __future__ import annotations

from fractions import Fraction
from math import gcd
from typing import Literal

from av.error import FFmpegError

from reelmill.errors import FormatNotAllowed, InvalidWatermark, LimitPixels
from reelmill.frozen import Frozen
from reelmill.media.containers import open_container
from reelmill.storage.location import Location, known_location
from reelmill.storage.pinning import opened, pin
from reelmill.storage.readable import Pinned, Readable

_MOST_BYTES = 20 << 20
_MOST_FRAMES = 10_000
ImageDemuxer = Literal["png_pipe", "jpeg_pipe", "webp_pipe", "gif", "apng"]
_BEGINNINGS: tuple[tuple[bytes, ImageDemuxer], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png_pipe"), (b"\xff\xd8\xff", "jpeg_pipe"), (b"GIF87a", "gif"), (b"GIF89a", "gif"),
)  # fmt: skip


class Image(Frozen):
    """An image, pinned: see `Pinned`. One that moves has `frames` at `rate` a second, and begins again after them."""

    location: str
    identity: str
    size_bytes: int
    version: str
    demuxer: ImageDemuxer
    width: int
    height: int
    frames: int = 1
    rate: Fraction = Fraction(1)

    @property
    def name(self) -> str:
        return known_location(self.location).name

    @property
    def moves(self) -> bool:
        return self.frames > 1

    @property
    def pinned(self) -> Pinned:
        return Pinned(known_location(self.location), self.size_bytes, self.version, self.identity)


def open_image(location: Location, *, max_pixels: int) -> Image:
    """Look at an image, and decode its first frame.

    Raises FormatNotAllowed for what is no image, LimitPixels, InvalidWatermark for what is damaged or too large,
    SourceNotFound, SourceChanged, StoreFailed.
    """
    pinned = pin(location)
    if pinned.size_bytes > _MOST_BYTES:
        raise InvalidWatermark(
            f"{location.name}: {pinned.size_bytes:,} bytes are more than the {_MOST_BYTES:,} of an image"
        )
    with opened(pinned) as media:
        demuxer = _demuxer_of(media)
        try:
            size, frames, rate = _measure(media, demuxer, max_pixels)
        except (FFmpegError, PermissionError, ValueError, IndexError, StopIteration) as error:
            raise InvalidWatermark(f"{location.name} can't be decoded: {error}") from error
    return Image(
        location=str(pinned.location), identity=pinned.identity, size_bytes=pinned.size_bytes, version=pinned.version,
        demuxer=demuxer, width=size[0], height=size[1], frames=frames, rate=rate,
    )  # fmt: skip


def _demuxer_of(media: Readable) -> ImageDemuxer:
    with media.open("rb") as file:
        head = file.read(4096)
    for beginning, demuxer in _BEGINNINGS:
        if head.startswith(beginning):
            return "apng" if demuxer == "png_pipe" and b"acTL" in head else demuxer
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        if head[12:16] == b"VP8X" and head[20] & 2:
            raise FormatNotAllowed(f"{media.name} is a WebP that moves; allowed: GIF or APNG for that")
        return "webp_pipe"
    raise FormatNotAllowed(f"{media.name} is no image; allowed: PNG, JPEG, WebP, GIF")


def _measure(media: Readable, demuxer: ImageDemuxer, max_pixels: int) -> tuple[tuple[int, int], int, Fraction]:
    """Return the size, and how many frames of equal length it is shown as, at which rate."""
    with open_container(media, demuxer) as container:
        stream = container.streams.video[0]
        size = stream.codec_context.width, stream.codec_context.height
        if size[0] * size[1] > max_pixels:
            raise LimitPixels(f"{media.name}: a picture of {size[0]}x{size[1]} has more than {max_pixels:,} pixels")
        first = next(container.decode(stream))
        size = first.width, first.height
        if demuxer not in ("gif", "apng"):
            return size, 1, Fraction(1)
    with open_container(media, demuxer) as container:
        stream = container.streams.video[0]
        lasting = [packet.duration or 0 for packet in container.demux(stream) if packet.size]
        base = stream.time_base or Fraction(1, 100)
    if len(lasting) < 2 or not all(lasting):
        return size, 1, Fraction(1)
    tick = gcd(*lasting)
    frames = sum(lasting) // tick
    if frames > _MOST_FRAMES:
        raise InvalidWatermark(f"{media.name}: {frames:,} frames are more than {_MOST_FRAMES:,}")
    return size, frames, 1 / (tick * base)

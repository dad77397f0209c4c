"""Decodes an output around every join: what stream copy put together must decode without a complaint."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from reelmill.media.packets import PayloadDigest, is_hidden

_PACKETS_AFTER = 4
_MOST_AHEAD = 16
"""Joins whose packets are kept until they are decoded."""


class JoinDecoder:
    """Watches the video packets of a file go by and decodes those around the joins.

    A join is known by the number of the packet it begins with: pieces follow one another whole, also in the order of
    decoding. Decoded are the last keyframe before it, and the first packets after it: whether one decoder, with the
    settings that are in the file, goes from one piece to the next. What lies between is known by its digest.
    """

    def __init__(self, stream: VideoStream, first_packets: Iterable[int], pool: ThreadPoolExecutor):
        self._stream = stream
        self._pool = pool
        self._decoding: deque[Future[list[str]]] = deque()
        self._joins = set(first_packets)
        self._keyframe: Packet[VideoStream] | None = None
        self._at_join: list[Packet[VideoStream]] = []
        self._number = 0
        self._digest = PayloadDigest(
            stream.codec_context.codec.canonical_name, bytes(stream.codec_context.extradata or b"")
        )
        self.checked = 0
        self.digests: list[str] = []
        """Digest of what lies between the joins, piece by piece."""
        self.wrong: list[str] = []

    def take(self, packet: Packet[VideoStream]) -> None:
        """Take the next video packet of the file."""
        if self._number in self._joins:
            self.digests.append(self._digest.finish())
            self._decode()  # pieces of a few frames: the next join comes before the last one's frames are all there
            assert self._keyframe is not None  # no join is before the first packet
            self._at_join = [self._keyframe, packet]
        elif self._at_join:
            self._at_join.append(packet)
        if len(self._at_join) == 1 + _PACKETS_AFTER:
            self._decode()
        self._digest.take(bytes(packet))
        if packet.is_keyframe or self._number == 0:
            self._keyframe = packet
        self._number += 1

    def finish(self) -> None:
        """Decode the last join when the file ended close behind it, and report joins that never came."""
        self.digests.append(self._digest.finish())
        self._decode()
        self._collect(0)
        missing = sum(join >= self._number for join in self._joins)
        if missing:
            self.wrong.append(f"{missing} joins are missing: the file ends before them")

    def _decode(self) -> None:
        """Have the packets kept for a join decoded, if there are any, beside reading on."""
        packets, self._at_join = self._at_join, []
        if packets:
            self.checked += 1
            self._decoding.append(self._pool.submit(_complaints, self._stream, packets))
            self._collect(_MOST_AHEAD)

    def _collect(self, left: int) -> None:
        """Take what came of the joins, in their order, until so many are left."""
        while len(self._decoding) > left:
            self.wrong += self._decoding.popleft().result()


def _complaints(stream: VideoStream, packets: Sequence[Packet[VideoStream]]) -> list[str]:
    """Return what is wrong with a join. `packets` are the keyframe before it, and those after it."""
    _, join, *_ = packets
    time_base, time = stream.time_base, join.pts if join.pts is not None else join.dts
    where = f"join at {float(time * time_base):.3f} s" if time is not None and time_base is not None else "a join"
    return [f"{where}: {what}" for what in _wrong(stream, packets)]


def _wrong(stream: VideoStream, packets: Sequence[Packet[VideoStream]]) -> Iterator[str]:
    template = stream.codec_context
    if not packets[1].is_keyframe:
        yield "it does not begin with a keyframe"
    decoder = cast(VideoCodecContext, VideoCodecContext.create(template.codec.name, "r"))
    decoder.extradata = template.extradata
    decoder.options = {"err_detect": "explode"}
    came = 0
    try:
        for packet in (*packets, None):
            for frame in decoder.decode(packet):  # pyright: ignore[reportUnknownMemberType]
                if frame.is_corrupt:
                    yield "a frame beside it is corrupt"
                came += 1
    except FFmpegError as error:
        yield f"decoding failed: {error}"
        return
    shown = sum(not is_hidden(template.codec.canonical_name, bytes(packet)) for packet in packets)
    if came != shown:
        yield f"{came} frames came out of {shown} packets"

"""Decodes an output around every join: what stream copy put together must decode without a complaint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from reelmill.media.packets import PayloadDigest

_PACKETS_AFTER = 4


class JoinDecoder:
    """Watches the video packets of a file go by and decodes those around the joins.

    A join is known by the number of the packet it begins with: pieces follow one another whole, also in the order of
    decoding. The packets since the last keyframe are kept, so that nothing is read or sought twice.
    """

    def __init__(self, stream: VideoStream, first_packets: Iterable[int]):
        self._stream = stream
        self._joins = set(first_packets)
        self._since_keyframe: list[Packet[VideoStream]] = []
        self._at_join: list[Packet[VideoStream]] = []
        self._after = 0
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
            if self._after:  # pieces of a few frames: the next join comes before the last one's frames are all there
                self._decode()
            self._at_join = [*self._since_keyframe, packet]
            self._after = 1
            if not packet.is_keyframe:
                self._report(packet, "it does not begin with a keyframe")
        elif self._after:
            self._at_join.append(packet)
            self._after += 1
        if self._after == _PACKETS_AFTER:
            self._decode()
        self._digest.take(bytes(packet))
        if packet.is_keyframe:
            self._since_keyframe.clear()
        self._since_keyframe.append(packet)
        self._number += 1

    def finish(self) -> None:
        """Decode the last join when the file ended close behind it, and report joins that never came."""
        self.digests.append(self._digest.finish())
        if self._after:
            self._decode()
        missing = sum(join >= self._number for join in self._joins)
        if missing:
            self.wrong.append(f"{missing} joins are missing: the file ends before them")

    def _decode(self) -> None:
        """Decode the packets kept for one join: every frame from the join on must come out whole."""
        packets, after = self._at_join, self._after
        self._at_join, self._after = [], 0
        self.checked += 1
        join = packets[-after]
        template = self._stream.codec_context
        decoder = cast(VideoCodecContext, VideoCodecContext.create(template.codec.name, "r"))
        decoder.extradata = template.extradata
        decoder.options = {"err_detect": "explode"}
        before, behind = 0, 0
        try:
            for packet in (*packets, None):
                for frame in decoder.decode(packet):  # pyright: ignore[reportUnknownMemberType]
                    if frame.is_corrupt:
                        self._report(join, "a frame beside it is corrupt")
                    late = frame.dts is not None and join.dts is not None and frame.dts >= join.dts
                    before, behind = before + (not late), behind + late
        except FFmpegError as error:
            self._report(join, f"decoding failed: {error}")
            return
        if before + behind < after + 1:
            self._report(join, f"{before + behind} frames came out of {len(packets)} packets")

    def _report(self, join: Packet[VideoStream], what: str) -> None:
        time = join.pts if join.pts is not None else join.dts
        base = self._stream.time_base
        at = f"{float(time * base):.3f} s" if time is not None and base is not None else f"packet {self._number}"
        self.wrong.append(f"join at {at}: {what}")

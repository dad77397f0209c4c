"""What a packet shows without decoding it: whether its frame is hidden, and whether decoding may start there.

Sources: ITU-T H.264 7.4.1, ITU-T H.265 7.4.2.2 (HEVC), RFC 6386 9.1 (VP8), VP9 bitstream specification 6.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial

_H264_SLICES = frozenset((1, 5))
_H264_IDR = 5
_HEVC_LAST_SLICE_TYPE = 31
_HEVC_RANDOM_ACCESS = range(16, 22)
_PICTURE_UNITS = {
    "h264": frozenset(byte for byte in range(256) if 1 <= byte & 0x1F <= _H264_IDR),
    "hevc": frozenset(byte for byte in range(256) if byte >> 1 & 0x3F <= _HEVC_LAST_SLICE_TYPE),
}
"""First bytes of the NAL units that hold parts of a picture."""
_SELF_CONTAINED = frozenset(
    ("vp8", "vp9", "av1", "mjpeg", "prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "v210",
     "dvvideo", "png", "qtrle", "cinepak")
)  # fmt: skip
"""Codecs whose keyframes reset the decoder, or that have nothing but keyframes."""


def is_hidden(codec: str, packet: bytes) -> bool:
    """Whether the packet holds only a frame that is never shown (alternate reference frames of VP8 and VP9)."""
    if codec == "vp8":
        return not packet[0] & 0x10
    if codec == "vp9":
        return _vp9_hidden(packet)
    return False


def _vp9_hidden(packet: bytes) -> bool:
    if packet[-1] & 0xE0 == 0xC0:
        return False  # a superframe: its last frame is shown
    bits = f"{packet[0]:08b}"
    position = 4 if bits[2:4] != "11" else 5
    shows_existing = bits[position] == "1"
    return not shows_existing and bits[position + 2] == "0"


def is_clean_entry(codec: str, packet: bytes, extradata: bytes) -> bool:
    """Whether no frame shown at or after this keyframe depends on anything before it."""
    if codec in _SELF_CONTAINED:
        return True
    if codec == "h264":
        kinds = (unit[0] & 0x1F for unit in _nal_reader(codec, extradata)(packet))
        return next((kind == _H264_IDR for kind in kinds if kind in _H264_SLICES), False)
    if codec == "hevc":
        kinds = (unit[0] >> 1 & 0x3F for unit in _nal_reader(codec, extradata)(packet))
        return next((kind in _HEVC_RANDOM_ACCESS for kind in kinds if kind <= _HEVC_LAST_SLICE_TYPE), False)
    return False


class PayloadDigest:
    """Digest of what packets hold of the picture, the same in every container that they are copied to.

    Containers frame the NAL units of H.264 and HEVC differently and repeat parameter sets; slices stay what they are.
    """

    def __init__(self, codec: str, extradata: bytes):
        self._kept = _PICTURE_UNITS.get(codec)
        self._units = _nal_reader(codec, extradata)
        self._hash = hashlib.blake2b(digest_size=16)

    def take(self, packet: bytes) -> None:
        """Take the next packet, in the order of decoding."""
        kept = self._kept
        for part in [packet] if kept is None else [unit for unit in self._units(packet) if unit[0] in kept]:
            self._hash.update(len(part).to_bytes(4, "big"))
            self._hash.update(part)

    def finish(self) -> str:
        """Return the digest of the packets taken since the last call, in hex."""
        digest, self._hash = self._hash.hexdigest(), hashlib.blake2b(digest_size=16)
        return digest


def _nal_reader(codec: str, extradata: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """Return what yields the NAL units of a packet, without the zeros that may follow one."""
    length_at, least = (4, 6) if codec == "h264" else (21, 22)
    if len(extradata) > least and extradata[0] == 1:  # avcC and hvcC: lengths before the units
        return partial(_framed_units, (extradata[length_at] & 3) + 1)
    return _annex_b_units


def _framed_units(length_bytes: int, packet: bytes) -> Iterator[bytes]:
    position = 0
    while position + length_bytes < len(packet):
        start = position + length_bytes
        position = start + int.from_bytes(packet[position:start], "big")
        if unit := packet[start:position].rstrip(b"\0"):
            yield unit


def _annex_b_units(packet: bytes) -> Iterator[bytes]:
    start = packet.find(b"\x00\x00\x01")
    while start >= 0:
        end = packet.find(b"\x00\x00\x01", start + 3)
        if unit := packet[start + 3 : end if end >= 0 else len(packet)].rstrip(b"\0"):
            yield unit
        start = end

"""What a packet shows without decoding it: whether its frame is hidden, and whether decoding may start there.

Sources: ITU-T H.264 7.4.1, ITU-T H.265 7.4.2.2 (HEVC), RFC 6386 9.1 (VP8), VP9 bitstream specification 6.2.
"""

from __future__ import annotations

from collections.abc import Callable

_KindOf = Callable[[int], int]
_H264_SLICES = frozenset((1, 5))
_H264_IDR = 5
_HEVC_LAST_SLICE_TYPE = 31
_HEVC_RANDOM_ACCESS = range(16, 22)
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
        types = _nal_types(packet, _h264_length_bytes(extradata), lambda head: head & 0x1F)
        return next((kind == _H264_IDR for kind in types if kind in _H264_SLICES), False)
    if codec == "hevc":
        types = _nal_types(packet, _hevc_length_bytes(extradata), lambda head: head >> 1 & 0x3F)
        return next((kind in _HEVC_RANDOM_ACCESS for kind in types if kind <= _HEVC_LAST_SLICE_TYPE), False)
    return False


def _h264_length_bytes(extradata: bytes) -> int:
    """Bytes of a NAL unit's length in avcC packets; 0 for start codes (Annex B)."""
    return (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0


def _hevc_length_bytes(extradata: bytes) -> int:
    return (extradata[21] & 3) + 1 if len(extradata) > 22 and extradata[0] == 1 else 0


def _nal_types(packet: bytes, length_bytes: int, kind_of: _KindOf) -> list[int]:
    return _framed_types(packet, length_bytes, kind_of) if length_bytes else _annex_b_types(packet, kind_of)


def _framed_types(packet: bytes, length_bytes: int, kind_of: _KindOf) -> list[int]:
    types: list[int] = []
    position = 0
    while position + length_bytes < len(packet):
        size = int.from_bytes(packet[position : position + length_bytes], "big")
        types.append(kind_of(packet[position + length_bytes]))
        position += length_bytes + size
    return types


def _annex_b_types(packet: bytes, kind_of: _KindOf) -> list[int]:
    types: list[int] = []
    position = packet.find(b"\x00\x00\x01")
    while 0 <= position < len(packet) - 3:
        types.append(kind_of(packet[position + 3]))
        position = packet.find(b"\x00\x00\x01", position + 3)
    return types

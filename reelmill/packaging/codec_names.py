"""Names a codec and its settings as RFC 6381 has it, for the players that ask before they fetch anything."""

from __future__ import annotations

import struct

from reelmill.packaging.boxes import child

_VISUAL_FIELDS, _AUDIO_FIELDS = 78, 28
"""Bytes of a sample entry before its boxes."""


def codec_name(entry: bytes) -> str:
    """Return the name for a sample entry, the content of stsd. Raises ValueError for one that isn't packaged."""
    kind = entry[4:8]
    content = entry[8:]
    if kind == b"mp4a":
        return f"mp4a.40.{_audio_object_type(_needed(content[_AUDIO_FIELDS:], b'esds'))}"
    boxes = content[_VISUAL_FIELDS:]
    if kind == b"avc1":
        return f"avc1.{_needed(boxes, b'avcC')[1:4].hex()}"
    if kind == b"hvc1":
        return _hevc_name(_needed(boxes, b"hvcC"))
    if kind == b"av01":
        return _av1_name(_needed(boxes, b"av1C"))
    raise ValueError(f"no name is known for {kind!r}")


def _needed(boxes: bytes, kind: bytes) -> bytes:
    found = child(boxes, kind)
    if found is None:
        raise ValueError(f"the sample entry has no {kind!r}")
    return found


def _hevc_name(settings: bytes) -> str:
    """ISO/IEC 14496-15, annex E: profile, compatibility with its bits reversed, tier and level, constraints."""
    profile = settings[1]
    compatibility = int(f"{struct.unpack_from('>I', settings, 2)[0]:032b}"[::-1], 2)
    constraints = settings[6:12].rstrip(b"\0")
    tier = "H" if profile & 0x20 else "L"
    space = ("", "A", "B", "C")[profile >> 6]
    parts = [f"hvc1.{space}{profile & 0x1F}", f"{compatibility:X}", f"{tier}{settings[12]}"]
    return ".".join([*parts, *(f"{each:X}" for each in constraints)])


def _av1_name(settings: bytes) -> str:
    """AV1 codec ISO media file format binding, section 5: profile, level and tier, bit depth."""
    profile, level = settings[1] >> 5, settings[1] & 0x1F
    tier = "H" if settings[2] & 0x80 else "M"
    depth = (12 if settings[2] & 0x20 else 10) if settings[2] & 0x40 else 8
    return f"av01.{profile}.{level:02d}{tier}.{depth:02d}"


def _audio_object_type(descriptors: bytes) -> int:
    """ISO/IEC 14496-1, 7.2.6: the decoder's own settings are in the descriptor with tag 5; its first bits say it."""
    at = 4
    while at < len(descriptors):
        tag, at = descriptors[at], at + 1
        while descriptors[at] & 0x80:
            at += 1
        at += 1
        if tag == 5:
            first, second = descriptors[at], descriptors[at + 1]
            return first >> 3 if first >> 3 != 31 else 32 + ((first & 7) << 3 | second >> 5)
        at += {3: 3, 4: 13}.get(tag, 0)
    raise ValueError("the sample entry does not say which AAC it is")

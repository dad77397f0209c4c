"""Which demuxer may open a source, decided from its first bytes and never left to ffmpeg.

A playlist is code: it makes ffmpeg open other files and addresses, whatever its name ends in. So only demuxers on
this list are ever forced on a source, and everything else is refused.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from reelmill.errors import (
    ExternalReference,
    FormatNotAllowed,
    MediaEmpty,
    MediaTruncated,
    MediaUnreadable,
    SourceIncomplete,
)
from reelmill.storage.readable import Readable

_LARGEST_LEAF = 1 << 16
_FIRST_REFERENCE = 8
"""Where the first entry of a `dref` box is, behind version, flags and the number of entries."""
HEAD_BYTES = 4096
_WHERE_AVI_TEXT_IS = 1 << 22
"""Text is one packet with all of a film's lines, and comes first."""
SALVAGE_HINT = "; `--damage salvage` (`damage` of the job) takes what is there"
_TS_PACKET_BYTES = 188
_M2TS_PACKET_BYTES = 192
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"uuid", b"sidx")
_SIGNATURES = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "asf"),
    (bytes.fromhex("b7d800203749da11a64e0007e95ead8d"), "wtv"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (bytes.fromhex("060e2b34020501010d010201"), "mxf"),
    (b"YUV4MPEG2 ", "yuv4mpegpipe"),
    (b"DKIF", "ivf"),
    (b"nut/multimedia container\x00", "nut"),
    (b".RMF", "rm"),
    (b"FORM", "aiff"),
    (b"caff", "caf"),
    (b"GIF8", "gif"),
)
_REFUSED = (
    (b"#extm3u", "hls"),
    (b"ffconcat", "concat"),
    (b"<mpd", "dash"),
    (b"<svg", "svg"),
    (b"<smil", "smil"),
    (b"<asx", "asx"),
    (b"[playlist]", "pls"),
    (b"[reference]", "asx"),
    (b"v=0\r\n", "sdp"),
    (b"v=0\no=", "sdp"),
    (b"<?xml", "xml"),
)


def demuxer_of(media: Readable) -> str:
    """Name the demuxer to force on the file, or raise MediaEmpty, FormatNotAllowed or MediaUnreadable."""
    with media.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise MediaEmpty(f"{media.name} has no bytes")
    demuxer = _by_signature(head)
    if demuxer:
        return demuxer
    _refuse_playlist(head, media.name)
    raise MediaUnreadable(f"{media.name} is in none of the formats Reelmill reads")


def _refuse_playlist(head: bytes, name: str) -> None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, kind in _REFUSED:
        if text.startswith(mark) and not (kind == "xml" and any(m in text for m, _ in _REFUSED[2:5])):
            raise FormatNotAllowed(f"{name} is of the kind that is never opened: {kind}")
    for mark, kind in _REFUSED[2:5]:
        if text.startswith(b"<") and mark in text:
            raise FormatNotAllowed(f"{name} is of the kind that is never opened: {kind}")


def refuse_playlist_inside(media: Readable, demuxer: str) -> None:
    """Raise FormatNotAllowed when an AVI file has a playlist where DivX had subtitles: the demuxer looks in there."""
    if demuxer != "avi":
        return
    with media.open("rb") as file:
        head = file.read(_WHERE_AVI_TEXT_IS)
    text = head.find(b"GAB2\0")
    while text >= 0:
        name_bytes = int.from_bytes(head[text + 7 : text + 11], "little")
        begins = text + 11 + name_bytes + 6
        _refuse_playlist(head[begins : begins + HEAD_BYTES], f"{media.name}: the text in it")
        text = head.find(b"GAB2\0", text + 5)


def _by_signature(head: bytes) -> str | None:
    for signature, demuxer in _SIGNATURES:
        if head.startswith(signature):
            return demuxer
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"AVI ": "avi", b"AVIX": "avi", b"WAVE": "wav"}.get(head[8:12])
    if head[4:8] in _MP4_BOXES:
        return "mov"
    if _has_sync(head, 0, _TS_PACKET_BYTES) or _has_sync(head, 4, _M2TS_PACKET_BYTES):
        return "mpegts"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        # MPEG audio frames have a layer, ADTS frames have none.
        return "mp3" if head[1] & 0x06 else "aac"
    return None


def _has_sync(head: bytes, offset: int, step: int) -> bool:
    marks = head[offset::step][:5]
    return len(marks) >= 2 and set(marks) == {0x47}


def refuse_truncated(media: Readable, demuxer: str) -> None:
    """Raise MediaTruncated or SourceIncomplete when the container's own sizes say that bytes are missing."""
    with media.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if demuxer == "mov":
            _check_boxes(file, size, media.name)
        elif demuxer == "avi":
            riff_bytes = int.from_bytes(file.read(8)[4:8], "little") + 8
            if riff_bytes > size:
                raise MediaTruncated(
                    f"{media.name} has {size:,} of the {riff_bytes:,} bytes it announces{SALVAGE_HINT}"
                )
        elif demuxer == "mpegts":
            _check_packets(file.read(HEAD_BYTES), size, media.name)


def refuse_bad_duration(media: Readable, demuxer: str) -> None:
    """Raise MediaUnreadable when a Matroska header gives a duration that is no number or negative.

    The demuxer would take either for a live recording, which has none (RFC 9559, 5.1.2: ID 0x4489 inside 0x1549A966).
    """
    if demuxer != "matroska":
        return
    with media.open("rb") as file:
        head = file.read(HEAD_BYTES)
    segment_info = head.find(b"\x15\x49\xa9\x66")
    position = head.find(b"\x44\x89", max(segment_info, 0))
    if segment_info < 0 or position < 0 or position + 11 > len(head):
        return
    length = head[position + 2] & 0x7F
    if length in (4, 8):
        duration = struct.unpack(">f" if length == 4 else ">d", head[position + 3 : position + 3 + length])[0]
        if not duration >= 0:
            raise MediaUnreadable(f"{media.name}: invalid duration ({duration})")


def refuse_external_references(media: Readable, demuxer: str) -> None:
    """Raise ExternalReference when a track of MP4 or QuickTime says that its media is elsewhere.

    The demuxer would take what lies at that place in this file for it (ISO/IEC 14496-12, 8.7.2: flag 1 is "in here").
    """
    if demuxer != "mov":
        return
    with media.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        for kind, start, end in boxes_of(file, size):
            if kind == b"moov" and any(map(_is_elsewhere, _tracks_in(file, start + 8, min(end, size)))):
                raise ExternalReference(f"{media.name} keeps its picture or sound in another file, which is not opened")


def _tracks_in(file: BinaryIO, start: int, end: int) -> Iterator[dict[bytes, bytes]]:
    """Yield the boxes that say of each track what it is and where its media is."""
    for kind, track, track_end in list(boxes_of(file, end, start)):
        if kind == b"trak":
            yield dict(_leaves_of(file, track + 8, min(track_end, end)))


def _leaves_of(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    for kind, box, box_end in list(boxes_of(file, end, start)):
        if kind in (b"mdia", b"minf", b"dinf"):
            yield from _leaves_of(file, box + 8, min(box_end, end))
        elif kind == b"dref" or (kind == b"hdlr" and box_end - box < _LARGEST_LEAF):
            file.seek(box + 8)
            found = file.read(min(box_end, end, box + _LARGEST_LEAF) - box - 8)
            if kind == b"dref" or found[4:8] != b"dhlr":  # QuickTime has a second handler, of the data
                yield kind, found


def _is_elsewhere(track: dict[bytes, bytes]) -> bool:
    references = track.get(b"dref", b"")
    if track.get(b"hdlr", b"")[8:12] not in (b"vide", b"soun") or len(references) < _FIRST_REFERENCE + 12:
        return False
    return not references[_FIRST_REFERENCE + 11] & 1


def boxes_of(file: BinaryIO, size: int, position: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the boxes from a position on (ISO/IEC 14496-12, 4.2), as they announce them."""
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - position
        yield kind, position, position + length
        if length < 8:
            return
        position += length


def _check_boxes(file: BinaryIO, size: int, name: str) -> None:
    """There must be a moov box, and none that matters may end after the file."""
    found = set[bytes]()
    for kind, _, end in boxes_of(file, size):
        found.add(kind)
        if end > size and kind in (b"mdat", b"moov", b"moof"):
            raise MediaTruncated(f"{name} has {size:,} of the {end:,} bytes it announces{SALVAGE_HINT}")
    if b"moov" not in found:
        raise MediaTruncated(f"{name}: the index is missing (no moov box)")


def _check_packets(head: bytes, size: int, name: str) -> None:
    packet_bytes = _TS_PACKET_BYTES if _has_sync(head, 0, _TS_PACKET_BYTES) else _M2TS_PACKET_BYTES
    if size % packet_bytes:
        whole = -(-size // packet_bytes) * packet_bytes
        raise SourceIncomplete(f"{name} ends inside a packet: {size:,} of at least {whole:,} bytes{SALVAGE_HINT}")

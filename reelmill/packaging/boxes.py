"""Reads the samples of a fragmented MP4, and writes fragments of our own choice (ISO/IEC 14496-12, clauses 4 and 8)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from reelmill.media.demuxers import boxes_of

_NOT_SYNC = 0x10000
_DATA_OFFSET, _FIRST_FLAGS, _DURATIONS, _SIZES, _FLAGS, _SHIFTS = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800
_BASE_IS_MOOF = 0x20000


class Sample(NamedTuple):
    """One packet: where its bytes are, when it is decoded, and how much later it is shown; times in ticks."""

    offset: int
    size_bytes: int
    time: int
    duration: int
    shift: int
    flags: int

    @property
    def is_keyframe(self) -> bool:
        return not self.flags & _NOT_SYNC


class Header(NamedTuple):
    """What a moov box says of its one track. `skip` is the time, in ticks, that its edit list takes off the start."""

    moov: bytes
    timescale: int
    skip: int
    entry: bytes
    """The sample entry: codec and its settings."""


def child(box: bytes, *path: bytes) -> bytes | None:
    """Return the content of the box at `path` below a box's content; None where there is none."""
    for kind in path:
        position = 0
        while position + 8 <= len(box):
            length, found = struct.unpack_from(">I4s", box, position)
            if found == kind:
                box = box[position + 8 : position + length]
                break
            position += max(length, 8)
        else:
            return None
    return box


def read_header(path: Path) -> Header:
    """Return the header of a fragmented MP4 with one track. Raises ValueError where it is none."""
    with path.open("rb") as file:
        for kind, start, end in boxes_of(file, path.stat().st_size):
            if kind == b"moov":
                file.seek(start)
                return _header_of(file.read(end - start))
    raise ValueError("it has no moov box")


def _header_of(moov: bytes) -> Header:
    track = child(moov[8:], b"trak")
    media = child(track or b"", b"mdia")
    times, entries = child(media or b"", b"mdhd"), child(media or b"", b"minf", b"stbl", b"stsd")
    if track is None or times is None or entries is None:
        raise ValueError("its moov box describes no track")
    timescale = struct.unpack_from(">I", times, 20 if times[0] else 12)[0]
    return Header(moov, timescale, _skipped(child(track, b"edts", b"elst")), entries[8:])


def _skipped(edits: bytes | None) -> int:
    if edits is None:
        return 0
    count = struct.unpack_from(">I", edits, 4)[0]
    skip: int = struct.unpack_from(">q" if edits[0] else ">i", edits, 16 if edits[0] else 12)[0]
    if count != 1 or skip < 0:
        raise ValueError("its edit list does more than take priming away")
    return skip


def read_samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of all fragments, in the order of decoding."""
    with path.open("rb") as file:
        for kind, start, end in boxes_of(file, path.stat().st_size):
            if kind == b"moof":
                file.seek(start)
                yield from _samples_of(file.read(end - start)[8:], start)


def _samples_of(moof: bytes, base: int) -> Iterator[Sample]:
    """Yield the samples of a fragment as ffmpeg writes it: one track, one run after another, offsets from the moof."""
    track = child(moof, b"traf")
    defaults, decode = child(track or b"", b"tfhd"), child(track or b"", b"tfdt")
    if track is None or defaults is None or decode is None:
        raise ValueError("a moof box describes no track")
    present, at = int.from_bytes(defaults[1:4], "big"), 8
    at += 8 * bool(present & 0x1) + 4 * bool(present & 0x2)
    default = dict.fromkeys((0x8, 0x10, 0x20), 0)
    for flag in default:
        if present & flag:
            default[flag], at = struct.unpack_from(">I", defaults, at)[0], at + 4
    time: int = struct.unpack_from(">Q" if decode[0] else ">I", decode, 4)[0]
    for run in _children(track, b"trun"):
        fields, count = int.from_bytes(run[1:4], "big"), struct.unpack_from(">I", run, 4)[0]
        at, offset, first_flags = 8, base, None
        if fields & _DATA_OFFSET:
            offset, at = base + struct.unpack_from(">i", run, at)[0], at + 4
        if fields & _FIRST_FLAGS:
            first_flags, at = struct.unpack_from(">I", run, at)[0], at + 4
        for number in range(count):
            duration, size, flags, shift = default[0x8], default[0x10], default[0x20], 0
            if number == 0 and first_flags is not None:
                flags = first_flags
            if fields & _DURATIONS:
                duration, at = struct.unpack_from(">I", run, at)[0], at + 4
            if fields & _SIZES:
                size, at = struct.unpack_from(">I", run, at)[0], at + 4
            if fields & _FLAGS:
                flags, at = struct.unpack_from(">I", run, at)[0], at + 4
            if fields & _SHIFTS:
                shift, at = struct.unpack_from(">i" if run[0] else ">I", run, at)[0], at + 4
            yield Sample(offset, size, time, duration, shift, flags)
            offset, time = offset + size, time + duration


def _children(box: bytes, kind: bytes) -> Iterator[bytes]:
    position = 0
    while position + 8 <= len(box):
        length, found = struct.unpack_from(">I4s", box, position)
        if found == kind:
            yield box[position + 8 : position + length]
        position += max(length, 8)


def box(kind: bytes, *content: bytes) -> bytes:
    """Return a box with this content."""
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def file_type() -> bytes:
    """Return the ftyp box of a CMAF track."""
    return box(b"ftyp", b"iso6", bytes(4), b"iso6cmfcdashmp41")


def write_fragment(out: BinaryIO, media: BinaryIO, number: int, samples: Sequence[Sample]) -> int:
    """Append one moof and its mdat, with the bytes that the samples have in `media`, and return the size of both."""
    length = sum(each.size_bytes for each in samples)
    moof = _moof(number, samples)
    out.write(moof + struct.pack(">I4s", 8 + length, b"mdat"))
    for each in samples:
        media.seek(each.offset)
        out.write(media.read(each.size_bytes))
    return len(moof) + 8 + length


def _moof(number: int, samples: Sequence[Sample]) -> bytes:
    """Return the moof; what all samples have alike is said once."""
    fields, header_fields, header = _DATA_OFFSET | _SIZES, _BASE_IS_MOOF, b""
    if len({each.duration for each in samples}) == 1:
        header_fields, header = header_fields | 0x8, struct.pack(">I", samples[0].duration)
    else:
        fields |= _DURATIONS
    first_flags = b""
    if len({each.flags for each in samples[1:]}) <= 1:
        header_fields, header = header_fields | 0x20, header + struct.pack(">I", samples[-1].flags)
        if samples[0].flags != samples[-1].flags:
            fields, first_flags = fields | _FIRST_FLAGS, struct.pack(">I", samples[0].flags)
    else:
        fields |= _FLAGS
    if any(each.shift for each in samples):
        fields |= _SHIFTS
    rows = b"".join(_row(each, fields) for each in samples)
    head = box(b"mfhd", bytes(4), struct.pack(">I", number))
    defaults = box(b"tfhd", struct.pack(">II", header_fields, 1), header)
    decode = box(b"tfdt", b"\1\0\0\0", struct.pack(">Q", samples[0].time))
    run_size = 8 + 4 + 4 + 4 + len(first_flags) + len(rows)
    data_offset = 8 + len(head) + 8 + len(defaults) + len(decode) + run_size + 8
    start = struct.pack(">IIi", 0x1000000 | fields, len(samples), data_offset)
    return box(b"moof", head, box(b"traf", defaults, decode, box(b"trun", start, first_flags, rows)))


def _row(sample: Sample, fields: int) -> bytes:
    row = struct.pack(">I", sample.duration) if fields & _DURATIONS else b""
    row += struct.pack(">I", sample.size_bytes)
    row += struct.pack(">I", sample.flags) if fields & _FLAGS else b""
    return row + (struct.pack(">i", sample.shift) if fields & _SHIFTS else b"")

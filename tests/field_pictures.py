"""H.264 made of field pictures (PAFF), which no free encoder writes: a very small encoder of its own.

Syntax after ITU-T H.264: 7.3.2.1 (SPS), 7.3.2.2 (PPS), 7.3.3 (slice header), 7.3.4 (slice data).
Macroblocks are either I_PCM, whose samples stay clear of zero so that no emulation prevention is needed, or P_Skip.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Stream

_MBS_WIDE, _FIELD_MBS_HIGH = 20, 6
_FIELD_MBS = _MBS_WIDE * _FIELD_MBS_HIGH
_GOP = 25
_START = b"\0\0\0\1"
_DELIMITER = _START + b"\x09\xf0"
_P_SLICE, _I_SLICE = 5, 7
_P_PCM, _I_PCM = 30, 25


class _Bits:
    """A bit string in the notation of the specification: u(n), ue(v) and byte-aligned samples."""

    def __init__(self) -> None:
        self._written = bytearray()
        self._pending = ""

    def u(self, width: int, *values: int) -> None:
        self._append("".join(f"{value:0{width}b}" for value in values))

    def ue(self, *values: int) -> None:
        for value in values:
            binary = f"{value + 1:b}"
            self._append("0" * (len(binary) - 1) + binary)

    def samples(self, samples: bytes) -> None:
        self._append("0" * (-len(self._pending) % 8))
        self._written += samples

    def nal(self, header: int) -> bytes:
        """The NAL unit, with its start code and the trailing bits of the payload."""
        self._append("1")
        self.samples(b"")
        return _START + bytes([header]) + _with_emulation_prevention(bytes(self._written))

    def _append(self, bits: str) -> None:
        self._pending += bits
        whole = len(self._pending) // 8 * 8
        self._written += bytes(int(self._pending[i : i + 8], 2) for i in range(0, whole, 8))
        self._pending = self._pending[whole:]


def _with_emulation_prevention(payload: bytes) -> bytes:
    escaped, zeros = bytearray(), 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(escaped)


def _parameter_sets() -> bytes:
    """Main profile 320x192, 25 frames a second, fields only by choice of each picture, one frame of reordering."""
    sps = _Bits()
    sps.u(8, 77, 0, 30)
    sps.ue(0, 4, 0, 4, 2)  # id, 8-bit frame_num, POC type 0 of 8 bits, two reference frames
    sps.u(1, 0)
    sps.ue(_MBS_WIDE - 1, _FIELD_MBS_HIGH - 1)
    sps.u(1, 0, 0, 1, 0, 1)  # not frames only, no MBAFF, direct_8x8, no cropping, VUI follows
    sps.u(1, 0, 0, 0, 0, 1)  # of the VUI only the timing
    sps.u(32, 1, 50)
    sps.u(1, 1, 0, 0, 0, 1, 1)
    sps.ue(0, 0, 10, 10, 1, 2)  # one frame of reordering, two buffered
    pps = _Bits()
    pps.ue(0, 0)
    pps.u(1, 0, 0)
    pps.ue(0, 0, 0)
    pps.u(1, 0, 0, 0)
    pps.ue(0, 0, 0)
    pps.u(1, 1, 0, 0)  # slices may switch the deblocking filter off
    return sps.nal(0x67) + pps.nal(0x68)


@dataclass(frozen=True)
class _Frame:
    """A frame in decode order. `shown` counts in presentation order, `frame_num` as the slice header wants it."""

    shown: int
    frame_num: int
    reference: bool

    @property
    def opens_gop(self) -> bool:
        return self.shown % _GOP == 0


def _decode_order(count: int) -> Iterator[_Frame]:
    """Closed GOPs of I0 P2 b1 P4 b3 ...: every second frame is no reference and is decoded after its successor."""
    for gop in range(0, count, _GOP):
        yield _Frame(gop, 0, True)
        for step, ahead in enumerate(range(2, _GOP, 2), start=1):
            yield _Frame(gop + ahead, step, True)
            yield _Frame(gop + ahead - 1, step + 1, False)


def _field(frame: _Frame, bottom: int) -> bytes:
    """One field picture: all samples where a GOP opens, else one new macroblock over a copy of the last reference."""
    idr = frame.opens_gop and not bottom
    slice_ = _Bits()
    slice_.ue(0, _I_SLICE if frame.opens_gop else _P_SLICE, 0)
    slice_.u(8, frame.frame_num)
    slice_.u(1, 1, bottom)
    if idr:
        slice_.ue(frame.shown // _GOP % 2)
    slice_.u(8, 2 * (frame.shown % _GOP) + bottom)
    if not frame.opens_gop:
        slice_.u(1, 0, 0)
    if frame.reference:
        slice_.u(1, *((0, 0) if idr else (0,)))
    slice_.ue(0, 1)  # no QP change, no deblocking
    if frame.opens_gop:
        for macroblock in range(_FIELD_MBS):
            slice_.ue(_I_PCM)
            slice_.samples(_samples(frame.shown + macroblock))
    else:
        drawn = frame.shown * 7 % _FIELD_MBS
        slice_.ue(drawn, _P_PCM)
        slice_.samples(_samples(2 * frame.shown + bottom))
        if rest := _FIELD_MBS - 1 - drawn:
            slice_.ue(rest)
    nal_type = 5 if idr else 1
    return _DELIMITER + slice_.nal((0x60 if frame.reference else 0) | nal_type)


def _samples(seed: int) -> bytes:
    return bytes([16 + seed % 220]) * 256 + bytes([60 + seed % 130]) * 64 + bytes([190 - seed % 130]) * 64


def write_field_pictures(path: Path, seconds: int = 8) -> None:
    """Write 25 frames a second as pairs of field pictures: both fields of a frame in one packet, with one pts."""
    plain = io.BytesIO()
    with av.open(plain, "w", format="mpegts") as container:
        _mux(container, container.add_mux_stream("h264", width=320, height=192), seconds)
    if path.suffix == ".ts":
        path.write_bytes(plain.getvalue())
        return
    plain.seek(0)
    # Other containers keep the parameter sets in their header, which a stream read from the first one has.
    with av.open(plain) as template, av.open(str(path), "w") as container:
        _mux(container, container.add_stream_from_template(template.streams.video[0]), seconds)


def _mux(container: OutputContainer, stream: Stream, seconds: int) -> None:
    for decoded, frame in enumerate(_decode_order(seconds * 25)):
        fields = _field(frame, 0) + _field(frame, 1)
        packet = av.Packet(_parameter_sets() + fields if frame.opens_gop else fields)
        packet.stream, packet.time_base = stream, Fraction(1, 25)
        # One frame of reordering: decoding starts one frame before the first is shown.
        packet.pts, packet.dts, packet.duration = frame.shown + 1, decoded, 1
        packet.is_keyframe = frame.opens_gop
        container.mux(packet)

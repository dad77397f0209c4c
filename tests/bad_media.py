"""Media that must be refused, or survived, by row of the fault catalogue's table of bad input."""

import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av

from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import SIZE_CHANGE

Build = Callable[[Path], None]

_PICTURE = "testsrc2=size=160x90:rate=25"
_TONE = "sine=frequency=440:sample_rate=48000"
_H264 = "-c:v libx264 -preset ultrafast -bf 2 -g 25"
_AAC = "-c:a aac -b:a 64k"


@dataclass(frozen=True)
class BadMedia:
    """`code` is the error that asking for `formats` must end in; empty where the job must succeed."""

    row: int
    name: str
    filename: str
    build: Build
    code: str
    formats: tuple[str, ...] = ("mp4",)


def _clip(options: str, *paths: str | Path, seconds: float = 2, picture: str = _PICTURE) -> Build:
    """A test picture beside a tone, written with the output `options` and, unsplit, `paths`."""

    def build(path: Path) -> None:
        inputs = [option for source in (picture, _TONE) for option in ("-f", "lavfi", "-t", str(seconds), "-i", source)]
        run_ffmpeg(*inputs, *options.split(), *paths, path)

    return build


@cache
def _intact(filename: str, options: str = f"{_H264} {_AAC}", seconds: float = 20) -> bytes:
    """A file without fault, to be damaged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, filename)
        _clip(options, seconds=seconds)(path)
        return path.read_bytes()


def _half(filename: str, options: str = f"{_H264} {_AAC}") -> Build:
    """The first half of the bytes, and never a whole number of 188-byte packets."""

    def build(path: Path) -> None:
        whole = _intact(filename, options)
        end = len(whole) // 2
        path.write_bytes(whole[: end + 94 if end % 188 == 0 else end])

    return build


def _text(path: Path) -> None:
    path.write_text("This is a note about a video, and no video.\n" * 200)


def _random_bytes(path: Path) -> None:
    path.write_bytes(random.Random(3).randbytes(100_000))


def _without_index(path: Path) -> None:
    whole = _intact("whole.mp4")
    path.write_bytes(whole[: whole.rindex(b"moov") - 4])


def _corrupt(path: Path) -> None:
    """400 bytes changed, all among the media and none in the index."""
    damaged = bytearray(_intact("whole.mp4"))
    media = range(damaged.index(b"mdat") + 4, damaged.rindex(b"moov") - 4)
    generator = random.Random(7)
    for position in generator.sample(media, 400):
        damaged[position] ^= generator.randrange(1, 256)
    path.write_bytes(damaged)


def _reference(text: str, target: str) -> Build:
    """A text that only points to `target`, an intact file beside it, which following it would find."""

    def build(path: Path) -> None:
        path.with_name(target).write_bytes(_intact(target, seconds=2))
        path.write_text(text)

    return build


_HLS = """#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:0
#EXTINF:2.000,
beside.ts
#EXT-X-ENDLIST
"""

_FFCONCAT = """ffconcat version 1.0
file beside.ts
"""

_DASH = """<?xml version="1.0" encoding="utf-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S" minBufferTime="PT1S"
     profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">
  <Period>
    <AdaptationSet contentType="video" mimeType="video/mp4">
      <Representation id="0" bandwidth="200000" codecs="avc1.4d400b" width="160" height="90">
        <BaseURL>beside.mp4</BaseURL>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
"""

_SVG = """<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="160" height="90">
  <rect width="160" height="90" fill="green"/>
  <image xlink:href="beside.png" width="80" height="45"/>
</svg>
"""


def _vector_picture(path: Path) -> None:
    path.with_name("beside.png").write_bytes(_png(80, 45))
    path.write_text(_SVG)


def _png(width: int, height: int) -> bytes:
    """A black picture with one bit for each pixel: 15,000 x 15,000 of them take 30 kB."""
    row = bytes(1 + (width + 7) // 8)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * height)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _huge_picture(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream("png", width=15_000, height=15_000)
        packet = av.Packet(_png(15_000, 15_000))
        packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1), True
        packet.pts, packet.dts, packet.duration = 0, 0, 1
        container.mux(packet)


def _many_streams(path: Path) -> None:
    """One video stream and 999 of silence, all copied from two."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source.mkv")
        _clip(f"{_H264} -ar 8000 -c:a pcm_s16le", seconds=0.2)(source)
        run_ffmpeg("-i", source, "-map", "0:v", *["-map", "0:a"] * 999, "-c", "copy", path)


def _many_channels(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        silence = Path(folder, "silence.u8")
        silence.write_bytes(b"\x80" * 255 * 8000)
        inputs = ("-f", "lavfi", "-t", "1", "-i", _PICTURE, "-f", "u8", "-ar", "8000", "-ac", "255", "-i", silence)
        run_ffmpeg(*inputs, *_H264.split(), "-c:a", "copy", path)


def _cover_only(options: str) -> Build:
    def build(path: Path) -> None:
        # -frames:v 1 would end the sound with the picture.
        inputs = ("-f", "lavfi", "-t", "2", "-i", _TONE, "-f", "lavfi", "-t", "0.04", "-i", _PICTURE)
        cover = "-map 0 -map 1 -c:v mjpeg -pix_fmt yuvj420p -disposition:v attached_pic"
        run_ffmpeg(*inputs, *cover.split(), *options.split(), path)

    return build


def _attachment(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        attached = Path(folder, "attached")
        attached.write_text("This must never be a file.\n")
        names = "-metadata:s:t:0 filename=../../x -metadata:s:t:0 mimetype=application/octet-stream"
        _clip(f"{_H264} {_AAC} {names}", "-attach", attached)(path)


def _with_duration(duration: float) -> Build:
    """A Matroska file whose Duration element (RFC 9559, 5.1.2.10) holds `duration`."""

    def build(path: Path) -> None:
        patched = bytearray(_intact("whole.mkv"))
        element = patched.index(b"\x44\x89\x88") + 3
        patched[element : element + 8] = struct.pack(">d", duration)
        path.write_bytes(patched)

    return build


def _external(path: Path) -> None:
    """An MP4 file whose tracks say that their media is not in it."""
    path.write_bytes(_intact("whole.mp4").replace(b"url \0\0\0\1", b"url \0\0\0\0"))


def _gab2_playlist(path: Path) -> None:
    """An AVI file with a stream of text, whose one packet holds a playlist that names a file beside it."""
    inputs = ["-f", "lavfi", "-t", "2", "-i", _PICTURE, "-f", "lavfi", "-t", "2", "-i", _TONE]
    short = ["-f", "lavfi", "-t", "0.02", "-i", _TONE, "-map", "0", "-map", "1", "-map", "2"]
    run_ffmpeg(*inputs, *short, "-c:v", "mpeg4", "-c:a", "pcm_s16le", path)
    patched = bytearray(path.read_bytes())
    stream = patched.index(b"auds", patched.index(b"auds") + 4)
    patched[stream : stream + 4] = b"txts"
    text = b"GAB2\0" + struct.pack("<HI", 2, 2) + b"\0\0" + struct.pack("<HI", 4, len(_HLS)) + _HLS.encode()
    packet = patched.index(b"02wb", patched.index(b"movi"))
    patched[packet : packet + 4] = b"02tx"
    patched[packet + 8 : packet + 8 + len(text)] = text
    path.write_bytes(patched)


_KEYS = "-encryption_key 00112233445566778899aabbccddeeff -encryption_kid ffeeddccbbaa99887766554433221100"
_TEN_HOUR_GAP = "-vf setpts='PTS+gte(N,3)*36000/TB' -frames:v 5 -fps_mode passthrough -an"

BAD_MEDIA: tuple[BadMedia, ...] = (
    BadMedia(1, "empty", "empty.mp4", Path.touch, "MediaEmpty"),
    BadMedia(2, "text", "text.mp4", _text, "MediaUnreadable"),
    BadMedia(3, "random_bytes", "random_bytes.mp4", _random_bytes, "MediaUnreadable"),
    BadMedia(4, "without_index", "without_index.mp4", _without_index, "MediaTruncated"),
    BadMedia(5, "half_mkv", "half.mkv", _half("whole.mkv"), "MediaTruncated"),
    BadMedia(5, "half_mp4", "half.mp4", _half("whole.mp4", f"{_H264} {_AAC} -movflags +faststart"), "MediaTruncated"),
    BadMedia(5, "half_flv", "half.flv", _half("whole.flv"), "MediaTruncated"),
    BadMedia(6, "half_ts", "half.ts", _half("whole.ts"), "SourceIncomplete"),
    BadMedia(7, "corrupt", "corrupt.mp4", _corrupt, "MediaDamaged"),
    BadMedia(8, "hls", "hls.mp4", _reference(_HLS, "beside.ts"), "FormatNotAllowed"),
    BadMedia(9, "ffconcat", "ffconcat.mp4", _reference(_FFCONCAT, "beside.ts"), "FormatNotAllowed"),
    BadMedia(10, "dash", "dash.mp4", _reference(_DASH, "beside.mp4"), "FormatNotAllowed"),
    BadMedia(11, "svg", "svg.mp4", _vector_picture, "FormatNotAllowed"),
    BadMedia(12, "gab2_playlist", "gab2_playlist.avi", _gab2_playlist, "FormatNotAllowed"),
    BadMedia(13, "external", "external.mp4", _external, "ExternalReference"),
    BadMedia(14, "magicyuv_avi", "magicyuv.avi", _clip("-c:v magicyuv -c:a pcm_s16le"), "CodecNotAllowed"),
    BadMedia(14, "magicyuv_mkv", "magicyuv.mkv", _clip("-c:v magicyuv -c:a pcm_s16le"), "CodecNotAllowed"),
    BadMedia(15, "huge_picture", "huge_picture.mov", _huge_picture, "LimitPixels"),
    BadMedia(16, "ten_hour_gap", "ten_hour_gap.mkv", _clip(f"{_TEN_HOUR_GAP} {_H264}"), "LimitTimeline"),
    BadMedia(
        17,
        "ten_thousand_fps",
        "ten_thousand_fps.mp4",
        _clip(f"{_H264} {_AAC}", seconds=0.2, picture="testsrc2=size=64x48:rate=10000"),
        "LimitFrameRate",
    ),
    BadMedia(18, "thousand_streams", "thousand_streams.mkv", _many_streams, "LimitStreams"),
    BadMedia(19, "many_channels", "many_channels.mkv", _many_channels, "LimitChannels"),
    BadMedia(20, "audio_only", "audio_only.m4a", _clip(f"-vn {_AAC}"), "NoVideoStream"),
    BadMedia(21, "cover_only_m4a", "cover_only.m4a", _cover_only(_AAC), "NoVideoStream"),
    BadMedia(21, "cover_only_mp3", "cover_only.mp3", _cover_only("-c:a libmp3lame"), "NoVideoStream"),
    BadMedia(
        22,
        "encrypted",
        "encrypted.mp4",
        _clip(f"{_H264} {_AAC} -encryption_scheme cenc-aes-ctr {_KEYS}"),
        "MediaEncrypted",
    ),
    BadMedia(23, "size_change", "size_change.ts", SIZE_CHANGE, ""),
    BadMedia(24, "attachment_path", "attachment_path.mkv", _attachment, ""),
    BadMedia(25, "duration_nan", "duration_nan.mkv", _with_duration(float("nan")), "MediaUnreadable"),
    BadMedia(25, "duration_negative", "duration_negative.mkv", _with_duration(-20_000.0), "MediaUnreadable"),
)

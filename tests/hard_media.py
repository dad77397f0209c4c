"""Sources that are hard to cut or to carry over whole: small real files in which no two frames are alike."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bitmap_subtitles import write_bitmap_subtitles
from tests.ffmpeg_tool import run_ffmpeg
from tests.field_pictures import write_field_pictures

Build = Callable[[Path], None]

_H264 = "-c:v libx264 -preset ultrafast -bf 3 -g 50 -pix_fmt yuv420p"
_HEVC = "-c:v libx265 -preset ultrafast -bf 3 -x265-params log-level=none:keyint=40:min-keyint=40:scenecut=0"
_MPEG2 = "-c:v mpeg2video -b:v 2M -g 15 -bf 2 -c:a mp2"
_AAC = "-c:a aac -b:a 96k"
_OPUS = "-c:a libopus -b:a 64k"


@dataclass(frozen=True)
class HardCase:
    """`build` writes the file. `cuttable` is False where a decode that starts inside gives other frames or times."""

    name: str
    filename: str
    build: Build
    cuttable: bool = True


def _clip(
    options: str,
    *paths: str | Path,
    size: str = "320x180",
    rate: int = 25,
    seconds: int = 8,
    audio: str | None = "sine=frequency=440:sample_rate=48000",
    audio_late_s: float = 0,
    video_late_s: float = 0,
) -> Build:
    """A test picture beside `audio` (None: silent film), written with the output `options` and, unsplit, `paths`."""

    def build(path: Path) -> None:
        picture = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
        inputs = ["-itsoffset", str(video_late_s), "-f", "lavfi", "-i", picture]
        if audio is not None:
            inputs += ["-itsoffset", str(audio_late_s), "-f", "lavfi", "-t", str(seconds), "-i", audio]
        run_ffmpeg(*inputs, *options.split(), *paths, path)

    return build


def _remuxed(make: Build, input_options: str = "", filename: str = "source.mp4") -> Build:
    """A stream copy of what `make` writes."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, filename)
            make(source)
            run_ffmpeg(*input_options.split(), "-i", source, "-map", "0", "-c", "copy", path)

    return build


def _two_pass(options: str) -> Build:
    """libvpx decides on hidden frames in its second pass only."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            log = ("-passlogfile", Path(folder, "log"))
            _clip(f"{options} -pass 1 -f null", *log, audio=None)(Path("-"))
            _clip(f"{options} -pass 2 {_OPUS}", *log)(path)

    return build


def _in_turn(*makes: Build) -> Build:
    """Transport streams one after the other in one file, which is how a recorder changes its format."""

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder, "part.ts")
            path.write_bytes(b"")
            for make in makes:
                make(part)
                with path.open("ab") as whole:
                    whole.write(part.read_bytes())

    return build


def _truncated(inside_picture: bool) -> Build:
    """A transport stream that stops between two of its 188-byte packets, near nine tenths of its length."""

    def build(path: Path) -> None:
        _clip(f"{_H264} {_AAC}")(path)
        stream = path.read_bytes()
        late = range(len(stream) * 9 // 10 // 188 * 188, len(stream), 188)
        end = next(at for at in late if _starts_picture(stream[at : at + 188]))
        path.write_bytes(stream[: end + 188 * 5 if inside_picture else end])

    return build


def _starts_picture(packet: bytes) -> bool:
    """The payload of PID 0x100, where ffmpeg puts the video, begins in this packet (ISO/IEC 13818-1, 2.4.3.2)."""
    return packet[1:3] == b"\x41\x00"


_SUBRIP = """1
00:00:01,000 --> 00:00:02,500
First line

2
00:00:04,000 --> 00:00:05,000
Second line with <i>italics</i>
"""

_ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Sans,20,&H00FFFFFF,0,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\pos(160,90)}Première ligne
"""

_CHAPTERS = """;FFMETADATA1
title=A Hard Title; with = and \\# inside
artist=Réal Müller
[CHAPTER]
TIMEBASE=1/1000
START=0
END=3500
title=Opening
[CHAPTER]
TIMEBASE=1/1000
START=3500
END=8000
title=Ending
"""

_TRACK_NAMES = (
    ("a:0", "eng", "Main"),
    ("a:1", "deu", "Kommentar"),
    ("a:2", "fra", "Son d'ambiance"),
    ("s:0", "eng", "English"),
    ("s:1", "fra", "Français"),
)


def _many_tracks(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        texts = {"lines.srt": _SUBRIP, "lines.ass": _ASS, "chapters.txt": _CHAPTERS}
        for name, text in texts.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        inputs: list[str | Path] = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=8"]
        for frequency in (330, 440, 550):
            inputs += ["-f", "lavfi", "-i", f"sine=frequency={frequency}:sample_rate=48000:duration=8"]
        for name in texts:
            inputs += ["-i", Path(folder, name)]
        maps = [option for i in range(6) for option in ("-map", str(i))]
        codecs = f"-map_metadata 6 -map_chapters 6 {_H264} {_AAC} -c:s copy -disposition:a:1 comment".split()
        names = [
            option
            for stream, language, title in _TRACK_NAMES
            for option in (f"-metadata:s:{stream}", f"language={language}", f"-metadata:s:{stream}", f"title={title}")
        ]
        run_ffmpeg(*inputs, *maps, *codecs, *names, path)


def _bitmap_subtitles(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subtitles = Path(folder, "lines.sup")
        write_bitmap_subtitles(subtitles)
        picture = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=8")
        maps = (
            "-map 0 -map 1 -map 1 -c:s:0 copy -c:s:1 dvdsub -metadata:s:s:0 language=eng -metadata:s:s:1 language=deu"
        )
        run_ffmpeg("-copyts", *picture, "-fix_sub_duration", "-i", subtitles, *maps.split(), *_H264.split(), path)


# Frame n is shown at n/25 s, moved by up to 0.3 s, with 7 to 73 ms between frames and never two alike in a row.
_VFR = "-vf settb=1/90000,setpts='(N/25+0.3*sin(N/9))/TB' -fps_mode passthrough -enc_time_base 1/90000"
_ODD = "-vf scale=321:181,setsar=1"  # the test picture itself is always even
_GAP = "-vf setpts='PTS+gte(N,100)*3/TB' -fps_mode passthrough"
_MBAFF = "-vf tinterlace=interleave_top -flags +ilme+ildct -x264-params tff=1"
_MPEG2_INTERLACED = "-vf tinterlace=interleave_top -flags +ilme+ildct -field_order tt"
_HDR10 = (
    "-pix_fmt yuv420p10le -tag:v hvc1 -x265-params log-level=none:keyint=40:hdr10=1:repeat-headers=1:"
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)
_FULL_RANGE = (
    "-vf scale=out_range=pc:out_color_matrix=bt709 "
    "-color_range pc -colorspace bt709 -color_primaries bt709 -color_trc bt709"
)
_SIX_CHANNELS = "sine=frequency=440:sample_rate=48000,pan=5.1|FL=c0|FR=.9*c0|FC=.8*c0|LFE=.3*c0|BL=.6*c0|BR=.5*c0"
_VPX = "-b:v 300k -g 60 -auto-alt-ref 1 -lag-in-frames 25 -deadline good -cpu-used 5"
SIZE_CHANGE = _in_turn(
    _clip(f"{_H264} {_AAC}", seconds=4),
    # The first part is moved by the two frames of reordering that its decoding needs before zero; this one is not.
    _clip(f"{_H264} {_AAC} -output_ts_offset 4.08", size="240x136", seconds=4),
)

HARD_CASES: tuple[HardCase, ...] = (
    HardCase("cfr_h264", "cfr_h264.mp4", _clip(f"{_H264} {_AAC}")),
    HardCase("vfr_mp4", "vfr.mp4", _clip(f"{_VFR} {_H264} -video_track_timescale 90000 {_AAC}")),
    HardCase("vfr_mkv", "vfr.mkv", _clip(f"{_VFR} {_H264} {_AAC}")),
    HardCase("open_gop_h264_mkv", "open_gop_h264.mkv", _clip(f"{_H264} -x264-params open-gop=1 {_AAC}")),
    HardCase("open_gop_h264_mp4", "open_gop_h264.mp4", _clip(f"{_H264} -x264-params open-gop=1 {_AAC}")),
    HardCase("open_gop_hevc", "open_gop_hevc.mp4", _clip(f"{_HEVC}:open-gop=1 {_AAC}")),
    HardCase("closed_gop_hevc", "closed_gop_hevc.mp4", _clip(f"{_HEVC}:open-gop=0 {_AAC}")),
    HardCase(
        "ts_late",
        "ts_late.ts",
        _clip(f"{_H264} {_AAC} -muxdelay 0 -output_ts_offset 20", video_late_s=0.08),
    ),
    HardCase("edit_list", "edit_list.mp4", _remuxed(_clip(f"{_H264} {_AAC}"), "-ss 1.5")),
    HardCase("interlaced_mbaff", "interlaced_mbaff.mp4", _clip(f"{_MBAFF} {_H264} {_AAC}", rate=50)),
    HardCase("interlaced_mpeg2", "interlaced_mpeg2.ts", _clip(f"{_MPEG2_INTERLACED} {_MPEG2}", rate=50)),
    HardCase("field_pictures_ts", "field_pictures.ts", write_field_pictures),
    HardCase("field_pictures_mkv", "field_pictures.mkv", write_field_pictures),
    HardCase("avi_mpeg4", "mpeg4_bframes.avi", _clip("-c:v mpeg4 -q:v 4 -g 50 -bf 2 -c:a libmp3lame")),
    HardCase("avi_h264", "h264_bframes.avi", _clip(f"{_H264} -c:a libmp3lame")),
    HardCase("odd_size_yuv444p", "odd_size_yuv444p.mp4", _clip(f"{_ODD} {_H264} -pix_fmt yuv444p {_AAC}")),
    HardCase("odd_size_yuv420p", "odd_size_yuv420p.mkv", _clip(f"{_ODD} -c:v ffv1 -pix_fmt yuv420p -c:a flac")),
    HardCase("yuv444p", "yuv444p.mp4", _clip(f"{_H264} -pix_fmt yuv444p {_AAC}")),
    HardCase("ten_bit_hevc", "ten_bit_hevc.mp4", _clip(f"{_HEVC} -pix_fmt yuv420p10le {_AAC}")),
    HardCase("ten_bit_h264", "ten_bit_h264.mkv", _clip(f"{_H264} -pix_fmt yuv420p10le {_AAC}")),
    HardCase("rotation", "rotation.mp4", _remuxed(_clip(f"{_H264} {_AAC}"), "-display_rotation 90")),
    HardCase(
        "very_long_gop",
        "very_long_gop.mp4",
        _clip(f"{_H264} -x264-params keyint=infinite {_AAC}", seconds=12),
    ),
    HardCase("all_intra_mjpeg", "all_intra_mjpeg.mov", _clip("-c:v mjpeg -q:v 4 -pix_fmt yuvj420p -c:a pcm_s16le")),
    HardCase("all_intra_prores", "all_intra_prores.mov", _clip("-c:v prores -profile:v 0 -c:a pcm_s16le", seconds=6)),
    HardCase("no_audio", "no_audio.mp4", _clip(_H264, audio=None)),
    HardCase("audio_late", "audio_late.mp4", _clip(f"{_H264} {_AAC}", audio_late_s=0.7)),
    HardCase("audio_late_mkv", "audio_late.mkv", _clip(f"{_H264} {_AAC}", audio_late_s=0.7)),
    HardCase("video_late", "video_late.mp4", _clip(f"{_H264} {_AAC}", video_late_s=0.72)),
    HardCase("video_late_mkv", "video_late.mkv", _clip(f"{_H264} {_AAC}", video_late_s=0.72)),
    HardCase("audio_51", "audio_51.mp4", _clip(f"{_H264} -c:a aac -b:a 256k", audio=_SIX_CHANNELS)),
    HardCase("many_tracks", "many_tracks.mkv", _many_tracks),
    HardCase("bitmap_subtitles", "bitmap_subtitles.mkv", _bitmap_subtitles),
    HardCase("vp9_altref", "vp9_altref.webm", _two_pass(f"-c:v libvpx-vp9 {_VPX}")),
    HardCase("vp8_altref", "vp8_altref.webm", _two_pass(f"-c:v libvpx {_VPX}")),
    HardCase("av1", "av1.mp4", _clip(f"-c:v libsvtav1 -preset 12 -crf 40 -g 50 -svtav1-params lp=2 {_OPUS}")),
    HardCase("hdr10", "hdr10.mp4", _clip(f"-c:v libx265 -preset ultrafast {_HDR10} {_AAC}")),
    HardCase("sar", "sar.mp4", _clip(f"-vf setsar=4/3 {_H264} {_AAC}")),
    HardCase("full_range", "full_range.mp4", _clip(f"{_FULL_RANGE} {_H264} -pix_fmt yuv420p {_AAC}")),
    HardCase("mpeg_ps", "mpeg_ps.mpg", _clip(f"{_MPEG2} -f vob")),
    HardCase("flv_h264", "flv_h264.flv", _clip(f"{_H264} {_AAC}")),
    HardCase("wmv", "wmv.wmv", _clip("-c:v wmv2 -b:v 500k -g 50 -c:a wmav2")),
    # ffmpeg scales all frames to the size of the first one decoded, which depends on where decoding starts.
    HardCase("size_change_ts", "size_change.ts", SIZE_CHANGE, cuttable=False),
    HardCase("size_change_mkv", "size_change.mkv", _remuxed(SIZE_CHANGE, filename="source.ts"), cuttable=False),
    HardCase("negative_start_mp4", "negative_start.mp4", _clip(f"{_H264} {_AAC} -movflags negative_cts_offsets")),
    HardCase("negative_start_mkv", "negative_start.mkv", _clip(f"{_H264} {_OPUS}")),
    HardCase("gap", "gap.mkv", _clip(f"{_GAP} {_H264} {_AAC}")),
    HardCase("truncated_tail_ts", "truncated_tail.ts", _truncated(inside_picture=False)),
    # What conceals the missing half of the last picture depends on the frames decoded before it.
    HardCase("truncated_picture_ts", "truncated_picture.ts", _truncated(inside_picture=True), cuttable=False),
)


class HardMedia:
    """Writes the cases into one folder, each when it is first asked for. Other processes may use the same folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __call__(self, name: str) -> Path:
        case = next(each for each in HARD_CASES if each.name == name)
        path = self._folder / case.filename
        if not path.exists():
            self._folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder) as made:
                case.build(Path(made) / case.filename)
                (Path(made) / case.filename).replace(path)
        return path


def sine_source(path: Path, seconds: int = 60, rate: int = 48000) -> None:
    """A clean 1 kHz sine in 16-bit PCM beside a small picture with a keyframe every second; `path` ends in .mkv."""
    picture = f"testsrc2=size=64x64:rate=25:duration={seconds}"
    tone = f"sine=frequency=1000:sample_rate={rate}:duration={seconds}"
    codecs = "-c:v libx264 -preset ultrafast -g 25 -keyint_min 25 -c:a pcm_s16le"
    run_ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, *codecs.split(), path)

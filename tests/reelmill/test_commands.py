"""The argv of every kind of run, whole: what is not in these lists is not passed to ffmpeg."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reelmill.encoding.commands import Piece, encode_argv, scan_argv
from reelmill.encoding.overlaid import Overlaid
from reelmill.formats import FormatName
from reelmill.media.images import Image
from reelmill.planning.plan import Plan, PlannedOverlay
from reelmill.storage.readable import Readable
from tests.made_sources import late_source, made_plan, made_source, made_video
from tests.segment_commands import MEDIA, NO_TAGS, QUIET, SERVED, planned, served


def encode(plan: Plan, segment: int = 1, threads: int = 1, media: Readable = MEDIA) -> list[str]:
    pieces = [Piece(plan.encode(plan.video[0].id, segment)[1], Path("/pieces/piece.mp4"))]
    return encode_argv("ffmpeg", plan.source, media, pieces, threads=threads, max_pixels=1_000_000)


def encoding(filters: Sequence[str], options: Sequence[str], *, seek: str | None, threads: str = "1") -> list[str]:
    """The whole argv of an encode that differs from others only in what is given."""
    chain = ";".join(f"[{f's{n - 1}' if n else '0:0'}]{each}[s{n}]" for n, each in enumerate(filters))
    return [
        "ffmpeg", *QUIET, "-f", "mov", "-copyts", "-format_whitelist", "mov", "-max_pixels", "1000000",
        "-noaccurate_seek", "-protocol_whitelist", "file", "-reinit_filter", "0",
        *([] if seek is None else ["-ss", seek]), "-threads", threads, "-i", "file:/media/in.mp4",
        "-filter_complex", chain, "-map", f"[s{len(filters) - 1}]",
        "-f", "mp4", *options, "file:/pieces/piece.mp4",
    ]  # fmt: skip


PICTURE = ["scale=h=720:w=1280", "format=pix_fmts=yuv420p", "setsar=sar=1"]
X264 = [
    "-an", "-c:v", "libx264", "-crf", "23", "-dn", "-enc_time_base", "1/12800", "-fps_mode", "passthrough",
    "-map_chapters", "-1", "-map_metadata", "-1", "-preset", "medium", "-sn", "-threads", "1",
    "-video_track_timescale", "12800",
]  # fmt: skip


@pytest.mark.parametrize(
    ("segment", "trim", "origin", "seek"),
    [
        (0, "trim=end_pts=268800:start_pts=12800", 12800, None),
        (1, "trim=end_pts=524800:start_pts=268800", 268800, "20.500000"),
        (2, "trim=start_pts=524800", 524800, "40.500000"),
    ],
    ids=["first", "middle", "last"],
)
def test_segment_is_sought_from_the_containers_start_and_trimmed_exactly(
    segment: int, trim: str, origin: int, seek: str | None
):
    filters = [trim, *PICTURE, f"setpts=expr=PTS-{origin}"]
    assert encode(planned(late_source()), segment) == encoding(filters, X264, seek=seek)


def test_whole_source_is_neither_sought_nor_trimmed():
    plan = planned(late_source(), segment_s=100)
    assert encode(plan, 0) == encoding([*PICTURE, "setpts=expr=PTS-12800"], X264, seek=None)


def test_time_before_zero_is_added():
    plan = planned(made_source(video=made_video(start_pts=-512)), segment_s=100)
    assert encode(plan, 0) == encoding([*PICTURE, "setpts=expr=PTS+512"], X264, seek=None)


def test_resampling_hangs_its_grid_on_the_first_frame_before_it_trims():
    filters = ["setpts=expr=PTS-12800", "fps=fps=30000/1001", "trim=end_pts=1199:start_pts=599", *PICTURE]
    options = [
        "-an", "-c:v", "libx264", "-crf", "23", "-dn", "-enc_time_base", "1001/30000", "-fps_mode", "passthrough",
        "-map_chapters", "-1", "-map_metadata", "-1", "-preset", "medium", "-sn", "-threads", "1",
        "-video_track_timescale", "30000",
    ]  # fmt: skip
    argv = encode(planned(late_source(), frame_rate="30000/1001"))
    assert argv == encoding([*filters, "setpts=expr=PTS-599"], options, seek="18.500000")


def test_avi_gets_frames_on_a_grid_and_in_order():
    filters = [
        "setpts=expr=PTS-12800",
        "fps=fps=25",
        "trim=end_pts=1000:start_pts=500",
        *PICTURE,
        "setpts=expr=PTS-500",
    ]
    options = [
        "-an", "-bf", "0", "-c:v", "libx264", "-crf", "23", "-dn", "-enc_time_base", "1/25", "-fps_mode", "passthrough",
        "-map_chapters", "-1", "-map_metadata", "-1", "-preset", "medium", "-sn", "-threads", "1",
        "-video_track_timescale", "25",
    ]  # fmt: skip
    assert encode(planned(late_source(), "avi")) == encoding(filters, options, seek="18.500000")


def test_deinterlacing_keeps_the_time_base_that_trim_counts_in():
    """The deinterlacer halves the time base, so it must be set again before times are counted in it."""
    source = late_source(video=made_video(start_pts=12800, field_order="top_first"))
    filters = ["bwdif=mode=send_frame", "settb=expr=1/12800", "trim=end_pts=524800:start_pts=268800", *PICTURE]
    argv = encode(planned(source, deinterlace="auto"))
    assert argv == encoding([*filters, "setpts=expr=PTS-268800"], X264, seek="18.500000")


def test_interlaced_picture_is_kept_interlaced():
    source = late_source(video=made_video(start_pts=12800, field_order="top_first"))
    filters = ["trim=end_pts=524800:start_pts=268800", "scale=h=720:interl=-1:w=1280", *PICTURE[1:]]
    options = [*X264]
    options[options.index("-fps_mode") : options.index("-fps_mode")] = ["-flags", "+ildct+ilme"]
    assert encode(planned(source)) == encoding([*filters, "setpts=expr=PTS-268800"], options, seek="20.500000")


def test_smaller_picture_of_odd_shape_stays_even():
    plan = planned(made_source(video=made_video(width=321, height=181)), width=160)
    filters = ["trim=end_pts=512000:start_pts=256000", "scale=h=90:w=160", "format=pix_fmts=yuv420p", "setsar=sar=1"]
    assert encode(plan) == encoding([*filters, "setpts=expr=PTS-256000"], X264, seek="20.000000")


FIRST = ["trim=end_pts=256000:start_pts=0", *PICTURE, "setpts=expr=PTS-0"]
TIMES = ["-dn", "-enc_time_base", "1/12800", "-fps_mode", "passthrough"]
SCALE = ["-video_track_timescale", "12800"]


@pytest.mark.parametrize(
    ("format", "video", "threads", "options"),
    [
        (
            "mp4", {"codec": "h264", "preset": "slow", "crf": 18.5}, 1,
            ["-an", "-c:v", "libx264", "-crf", "18.5", *TIMES, *NO_TAGS, "-preset", "slow", "-sn", "-threads", "1",
             *SCALE],
        ),
        (
            "mp4", {"codec": "hevc"}, 1,
            ["-an", "-c:v", "libx265", "-crf", "28", *TIMES, *NO_TAGS, "-preset", "medium", "-sn", "-tag:v", "hvc1",
             *SCALE, "-x265-params", "log-level=error:pools=none:frame-threads=1"],
        ),
        (
            "mp4", {"codec": "hevc", "bitrate_bps": 3_000_000, "keyframe_interval_s": 2.0}, 4,
            ["-an", "-b:v", "3000000", "-c:v", "libx265", *TIMES, "-g", "50", *NO_TAGS, "-preset", "medium", "-sn",
             "-tag:v", "hvc1", *SCALE, "-x265-params", "log-level=error:pools=4:frame-threads=3"],
        ),
        (
            "mp4", {"max_bitrate_bps": 4_000_000, "vbv_buffer_bits": 8_000_000}, 1,
            ["-an", "-bufsize", "8000000", "-c:v", "libx264", "-crf", "23", *TIMES, *NO_TAGS, "-maxrate", "4000000",
             "-preset", "medium", "-sn", "-threads", "1", *SCALE],
        ),
        (
            "mp4", {"codec": "av1"}, 2,
            ["-an", "-c:v", "libsvtav1", "-crf", "35", *TIMES, *NO_TAGS, "-preset", "8", "-sn",
             "-svtav1-params", "lp=2", *SCALE],
        ),
        (
            "webm", {}, 1,
            ["-an", "-b:v", "0", "-c:v", "libvpx-vp9", "-cpu-used", "4", "-crf", "31", *TIMES, *NO_TAGS, "-row-mt", "1",
             "-sn", "-threads", "1", *SCALE],
        ),
        (
            "webm", {"bitrate_bps": 2_000_000}, 1,
            ["-an", "-b:v", "2000000", "-c:v", "libvpx-vp9", "-cpu-used", "4", *TIMES, *NO_TAGS, "-row-mt", "1", "-sn",
             "-threads", "1", *SCALE],
        ),
        (
            "flv", {}, 1,
            ["-an", "-c:v", "libx264", "-crf", "23", *TIMES, *NO_TAGS, "-preset", "medium", "-sn", "-threads", "1",
             *SCALE],
        ),
    ],
    ids=["h264", "hevc", "hevc-abr", "h264-vbv", "av1", "vp9", "vp9-abr", "flv"],
)  # fmt: skip
def test_each_codec_gets_its_own_options(format: FormatName, video: dict[str, Any], threads: int, options: list[str]):
    decoder_threads = "1" if threads == 1 else "0"
    argv = encode(planned(made_source(), format, **video), 0, threads)
    assert argv == encoding(FIRST, options, seek=None, threads=decoder_threads)


RUNG = [
    *TIMES[:3], "-force_key_frames", "10", "-forced-idr", "1", *TIMES[3:], "-g", "1000000", *NO_TAGS,
    "-preset", "medium", "-sc_threshold", "0", "-sn", "-threads", "1", *SCALE,
]  # fmt: skip


def logo(height: int) -> PlannedOverlay:
    image = Image(
        location="/logo.png", identity="x", size_bytes=1, version="1", demuxer="png_pipe", width=64, height=64
    )
    return PlannedOverlay(
        image=image, text=None, position="top-left", margin=0, width=height, height=height, opacity=1, colour="",
        start_s=Fraction(0), end_s=None,
    )  # fmt: skip


def ladder(*overlays: Callable[[int], PlannedOverlay]) -> list[Piece]:
    """Seconds 20 to 40 in 720 and 360 lines, with a keyframe every ten seconds."""
    rungs = {"ladder": [{"height": 720, "crf": 21}, {"height": 360, "crf": 24}], "streaming": {"segment_s": 10}}
    plan = made_plan(late_source(), ["hls"], {"video": {"codec": "h264"}} | rungs, segment_s=20)
    pieces: list[Piece] = []
    for number, each in enumerate(plan.encodes_of(plan.order[1])[1]):
        laid_over = tuple(make(each.rendition.height // 10) for make in overlays)
        rendition = each.rendition.model_copy(update={"overlays": laid_over})
        encode = each.model_copy(update={"rendition": rendition})
        pieces.append(Piece(encode, Path(f"/pieces/{number}.mp4"), Overlaid((Path("/logo.png"),) * len(overlays))))
    return pieces


def encode_ladder(pieces: Sequence[Piece]) -> list[str]:
    return encode_argv("ffmpeg", late_source(), MEDIA, pieces, threads=1, max_pixels=1_000_000)


def test_renditions_of_one_segment_share_what_comes_before_their_own_size():
    chain = (
        "[0:0]trim=end_pts=524800:start_pts=268800[s0];[s0]split=2[s1][s2];"
        "[s1]scale=h=720:w=1280[s3];[s3]format=pix_fmts=yuv420p[s4];[s4]setsar=sar=1[s5];"
        "[s5]setpts=expr=PTS-268800[s6];"
        "[s2]scale=h=360:w=640[s7];[s7]format=pix_fmts=yuv420p[s8];[s8]setsar=sar=1[s9];"
        "[s9]setpts=expr=PTS-268800[s10]"
    )
    assert encode_ladder(ladder()) == [
        "ffmpeg", *QUIET, "-f", "mov", "-copyts", "-format_whitelist", "mov", "-max_pixels", "1000000",
        "-noaccurate_seek", "-protocol_whitelist", "file", "-reinit_filter", "0", "-ss", "20.500000", "-threads", "1",
        "-i", "file:/media/in.mp4", "-filter_complex", chain,
        "-map", "[s6]", "-f", "mp4", "-an", "-c:v", "libx264", "-crf", "21", *RUNG, "file:/pieces/0.mp4",
        "-map", "[s10]", "-f", "mp4", "-an", "-c:v", "libx264", "-crf", "24", *RUNG, "file:/pieces/1.mp4",
    ]  # fmt: skip


def test_an_image_is_opened_once_however_often_it_is_laid_over():
    argv = encode_ladder(ladder(logo, logo))
    assert argv.count("-i") == 2
    [chain] = [argv[n + 1] for n, word in enumerate(argv) if word == "-filter_complex"]
    assert "split=4[" in chain
    assert chain.count("overlay=") == 4


def test_renditions_of_other_frames_are_not_made_together():
    first, second = ladder()
    other = second.encode.rendition.model_copy(update={"deinterlace": True})
    with pytest.raises(ValueError, match="h264-720p-00001, h264-360p-00001: not of the same frames"):
        encode_ladder([first, replace(second, encode=second.encode.model_copy(update={"rendition": other}))])


def test_served_source_is_encoded_like_a_file():
    plan = planned(late_source())
    assert encode(plan, media=SERVED) == served(encode(plan))


@pytest.mark.parametrize(
    ("media", "protocols", "address"),
    [(MEDIA, "file", "file:/media/in.mp4"), (SERVED, "http,tcp", "http://127.0.0.1:8000/secret")],
    ids=["file", "served"],
)
def test_scan_decodes_the_video_from_the_start_of_the_source_and_prints_its_times(
    media: Readable, protocols: str, address: str
):
    assert scan_argv("ffmpeg", late_source(), media, max_pixels=1_000_000) == [
        "ffmpeg", *QUIET[:6], "-f", "mov", "-copyts", "-format_whitelist", "mov", "-max_pixels", "1000000",
        "-protocol_whitelist", protocols, "-i", address, "-map", "0:0",
        "-f", "framecrc", "-c:v", "wrapped_avframe", "-enc_time_base", "1/12800", "-fps_mode", "passthrough", "pipe:1",
    ]  # fmt: skip

"""The test that decides: the decoded pieces, laid end to end, are the decoded source, frame for frame.

Pieces are encoded without loss, by changing nothing but fields of the planned rendition: x264 at crf 0. That loses
nothing in 8 bits only. In 10 bits it is a quantiser of 12, and no encoder here can be told better through a rendition,
so 10-bit frames are compared after one and the same conversion to 8 bits of the same chroma.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.exact_frames import frames_of_pieces, source_base, without_loss
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HARD_CASES, HardCase, HardMedia
from tests.pipeline import Encoded, decoded_frames, encode_video, fast_profile, prepare

AWKWARD_S = 1.3
"""Segments this long begin beside every keyframe there is."""

CLIPS: dict[str, float] = {
    "av1.mkv": AWKWARD_S,
    "bipbop.flv": AWKWARD_S,
    "bipbop_start20s.ts": AWKWARD_S,
    "broadcast_mpeg2.wtv": 0.7,
    "bunny_51.mp4": AWKWARD_S,
    "bunny_vp8_720p30s.webm": 6.3,
    "cars_12fps.mp4": 5.3,
    "chapters.mkv": AWKWARD_S,
    "corrupted.mp4": AWKWARD_S,
    "cut_gap.mkv": AWKWARD_S,
    "dolbyvision84_rot90.mp4": AWKWARD_S,
    "dts51_dvdsub.mkv": AWKWARD_S,
    "echo_vfr.webm": 6.3,
    "editlist_video_late1s.mp4": 2.3,
    "empty_edit_5s.mp4": AWKWARD_S,
    "failing_audio.mp4": 2.3,
    "frame_size_change.webm": 2.3,
    "hamilton_video_late.mp4": AWKWARD_S,
    "hdr10_av1_portrait.mp4": AWKWARD_S,
    "interlaced_crop.mp4": AWKWARD_S,
    "mpeg4_mp3.avi": AWKWARD_S,
    "nasa_multi.mp4": AWKWARD_S,
    "ntsc.mp4": AWKWARD_S,
    "pancake_opus.mkv": AWKWARD_S,
    "phone_rot90_aac.mp4": AWKWARD_S,
    "rotated270.mp4": AWKWARD_S,
    "vfr_phone.mp4": AWKWARD_S,
    "vp9.mp4": AWKWARD_S,
}
"""Every clip of the media folder but the long ones, and the segment length that cuts it a few times."""

LARGE = ("bunny_vp8_720p30s.webm", "editlist_video_late1s.mp4", "frame_size_change.webm", "dolbyvision84_rot90.mp4")

LATE_S = 300
"""Of the clip of six minutes only what is behind this is decoded, which is dear; its times stay."""

UNCUT = {
    # Damaged: the decoder has complaints of its own, and what it makes of the damage depends on where it starts.
    "truncated_picture_ts": "not cut: damaged: ",
    "broadcast_mpeg2.wtv": "not cut: damaged: ",
    "corrupted.mp4": "not cut: damaged: ",
    "cut_gap.mkv": "not cut: damaged: ",
    "empty_edit_5s.mp4": "not cut: damaged: ",
    # A decoder that enters behind the change of size complains of the packets before it; all at once it does not.
    "size_change_ts": "not cut: pieces would not be exact: ",
}
"""Sources that are encoded in one piece, and what the plan says of it. All others must be cut."""

SMALL = fast_profile(height=180)
"""For clips of large pictures: each small one still stands for all pixels of its frame, and what is cut is time."""


@pytest.mark.slow
@pytest.mark.parametrize("case", HARD_CASES, ids=lambda case: case.name)
def test_pieces_of_a_hard_case_are_the_source(case: HardCase, hard_media: HardMedia, tmp_path: Path):
    prepared = prepare(hard_media(case.name), tmp_path, segment_s=AWKWARD_S, damage="salvage")
    encoded = encode_video(prepared, tmp_path / "pieces", without_loss)
    assert frames_of_pieces(encoded, tmp_path) == frames_of_source(encoded, tmp_path)
    if case.cuttable or case.name in UNCUT:
        check_that_it_was_cut(case.name, encoded)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_pieces_of_a_real_clip_are_the_source(name: str, media_dir: Path, tmp_path: Path):
    profile = SMALL if name in LARGE else fast_profile()
    prepared = prepare(media_dir / name, tmp_path, segment_s=CLIPS[name], profile=profile, damage="salvage")
    encoded = encode_video(prepared, tmp_path / "pieces", without_loss)
    frames = frames_of_pieces(encoded, tmp_path)
    assert frames == frames_of_source(encoded, tmp_path)
    check_manifest(media_dir, name, frames)
    check_that_it_was_cut(name, encoded)


@pytest.mark.slow
def test_pieces_of_a_long_clip_are_the_source(media_dir: Path, tmp_path: Path):
    name = "people_139s_noaudio.mp4"
    prepared = prepare(media_dir / name, tmp_path, segment_s=37.3, profile=SMALL)
    encoded = encode_video(prepared, tmp_path / "pieces", without_loss)
    frames = frames_of_pieces(encoded, tmp_path)
    assert frames == frames_of_source(encoded, tmp_path)
    check_manifest(media_dir, name, frames)
    check_that_it_was_cut(name, encoded)


@pytest.mark.slow
def test_pieces_of_the_end_of_a_longer_clip_are_the_source(media_dir: Path, tmp_path: Path):
    name, late = "long_1080p_363s.mp4", tmp_path / "late.ts"
    run_ffmpeg(
        "-ss", str(LATE_S), "-copyts", "-i", media_dir / name, "-map", "0:v", "-c", "copy", "-muxdelay", "0", late
    )
    prepared = prepare(late, tmp_path, segment_s=17.3, profile=SMALL)
    encoded = encode_video(prepared, tmp_path / "pieces", without_loss)
    frames = frames_of_pieces(encoded, tmp_path)
    assert frames == frames_of_source(encoded, tmp_path)
    assert frames[0][0] > LATE_S - 10
    assert float(frames[-1][0]) == pytest.approx(clip_of(media_dir, name)["last_frame_s"], abs=1e-4)
    check_that_it_was_cut(name, encoded)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("interlaced_mbaff", {"deinterlace": "auto"}),
        ("interlaced_mpeg2", {"deinterlace": "auto"}),
        ("vfr_mkv", {"frame_rate": "24000/1001"}),
        ("cfr_h264", {"frame_rate": "60"}),
        ("gap", {"frame_rate": "10"}),
        ("ts_late", {"frame_rate": "30000/1001"}),
        ("rotation", {"height": 160}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_pieces_of_a_filtered_case_are_the_filtered_source(
    name: str, video: dict[str, Any], hard_media: HardMedia, tmp_path: Path
):
    """Filters that look at several frames make of them, in pieces, what one run over the whole source makes."""
    prepared = prepare(hard_media(name), tmp_path, segment_s=AWKWARD_S, profile=fast_profile(**video))
    encoded = encode_video(prepared, tmp_path / "pieces", without_loss)
    assert frames_of_pieces(encoded, tmp_path) == frames_of_source(encoded, tmp_path)
    check_that_it_was_cut(name, encoded)


def clip_of(media_dir: Path, name: str) -> dict[str, Any]:
    clips = {each["file"]: each for each in json.loads((media_dir / "manifest.json").read_text())}
    return clips[name]


def check_manifest(media_dir: Path, name: str, frames: list[tuple[Fraction, str]]) -> None:
    """Somebody else's count of the frames, and the times of the first and the last."""
    clip = clip_of(media_dir, name)
    wanted = clip["frames"], clip["first_frame_s"], clip["last_frame_s"]
    first_s, last_s = frames[0][0], frames[-1][0]
    assert (len(frames), pytest.approx(float(first_s), abs=1e-6), pytest.approx(float(last_s), abs=1e-6)) == wanted


def check_that_it_was_cut(name: str, encoded: Encoded) -> None:
    segments, reason = len(encoded.plan.video[0].segments), encoded.plan.reasons[0]
    if name in UNCUT:
        assert segments == 1
        assert UNCUT[name] in reason
    else:
        assert segments > 1, reason
    assert reason.startswith("not cut: " if segments == 1 else f"cut into {segments} segments")


def frames_of_source(encoded: Encoded, folder: Path) -> list[tuple[Fraction, str]]:
    """The frames of one plain decode of the whole source, with what the rendition does to every picture."""
    rendition = without_loss(encoded.plan.video[0])
    width, height, (right, bottom) = rendition.width, rendition.height, rendition.pad
    filters = [f"scale={width}:{height}", f"format={rendition.pixel_format}"]
    if right or bottom:
        # Plane by plane: in a picture of odd size the pad filter paints over the last column and row.
        pad = f"pad={width + right}:{height + bottom},fillborders=right={right}:bottom={bottom}:mode=smear"
        filters += [
            f"extractplanes=y+u+v[y][u][v];[y]{pad}[y2];[y2][u][v]mergeplanes=0x001020:{rendition.pixel_format}"
        ]
    origin_s = Fraction(0)
    if rendition.frame_rate is not None:
        origin_s = rendition.first_pts * source_base(encoded)
        filters = [f"setpts=PTS-({rendition.first_pts})", f"fps={rendition.frame_rate}", *filters]
    if rendition.deinterlace:
        filters = ["bwdif=mode=send_frame", f"settb={rendition.time_base}", *filters]
    # Everything but the deinterlacer keeps the time base, so this converts nothing.
    times = ("-enc_time_base", str(rendition.time_base))
    options = ("-map", f"0:{rendition.stream_index}", "-vf", ",".join(filters), *times)
    # How a decoder conceals damage depends on its number of threads: one, in the pieces.
    damaged = any(piece.messages for piece in encoded.pieces[rendition.id])
    one_thread = ("-threads", "1") if damaged else ()
    frames = decoded_frames(Path(encoded.plan.source.location), folder, *options, inputs=one_thread)
    return [(time_s + origin_s, md5) for time_s, md5 in frames]

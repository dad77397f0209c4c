"""What is done to the picture is the same in every segment, and what it was said to be."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelmill.job import Clip
from reelmill.media.fonts import font_file
from tests.exact_frames import frames_of_pieces, without_loss
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HardMedia
from tests.pipeline import Encoded, encode_video, fast_profile, prepare, run_job
from tests.pixels import pixels, plane_size

HOSTILE = (
    "x',movie=/etc/hostname,[0:v]overlay",
    "100% sure",
    "%{localtime}\\n%{pts}",
    "a:b;c=[d]\\'e\"",
    "two\nlines é Ω ж",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `red.png`, half of it transparent, and `moving.gif`, whose 13 frames last 1.3 s."""
    folder = tmp_path_factory.mktemp("images")
    red = "color=red:s=100x100,format=rgba,geq=r=255:g=0:b=0:a='if(lt(X,50),255,0)'"
    run_ffmpeg("-f", "lavfi", "-i", red, "-frames:v", "1", folder / "red.png")
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=1.3", folder / "moving.gif")
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=4:d=1", "-plays", "0", "-f", "apng", folder / "moving.png")
    return folder


def encode(source: Path, folder: Path, segment_s: float, clip: Clip | None = None, **video: Any) -> Encoded:
    prepared = prepare(source, folder, segment_s=segment_s, profile=fast_profile(**video), clip=clip)
    return encode_video(prepared, folder / f"pieces-{segment_s}", without_loss)


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("cfr_h264", {}), ("vfr_mp4", {}), ("vfr_mkv", {"frame_rate": "24"}), ("negative_start_mp4", {}),
        ("video_late_mkv", {}),
        ("rotation", {"height": 120}), ("sar", {"width": 320, "height": 320, "scale_mode": "pad"}),
        ("hdr10", {"tone_map": "auto"}), ("ten_bit_hevc", {"pixel_format": "yuv420p"}), ("yuv444p", {}),
        ("full_range", {"width": 160, "height": 160, "scale_mode": "fill"}),
        ("interlaced_mbaff", {"deinterlace": "auto"}), ("open_gop_hevc", {"denoise": "light"}),
        ("closed_gop_hevc", {"denoise": "strong", "height": 90}),
        ("vp9_altref", {"denoise": "light", "frame_rate": "30"}),
    ],
)  # fmt: skip
def test_pieces_are_what_one_run_makes(
    name: str, video: dict[str, Any], images: Path, hard_media: HardMedia, tmp_path: Path
):
    overlays = [
        {"image": str(images / "red.png"), "position": "top-left", "opacity": 0.5},
        {"image": str(images / "moving.gif"), "position": "top-right", "height": 0.2, "start_s": 0.7},
        {"image": str(images / "moving.png"), "position": "left", "end_s": 3.3},
        {"text": HOSTILE[0], "position": "bottom-left", "start_s": 1.1, "end_s": 4.2},
        {"clock": True},
    ]
    part = Clip(end=Decimal(4)) if video.get("denoise") == "strong" else None  # which takes longer than all others
    cut, whole = (encode(hard_media(name), tmp_path, each, part, overlays=overlays, **video) for each in (1.3, 1000))
    assert len(cut.plan.video[0].segments) > 1
    assert len(whole.plan.video[0].segments) == 1
    assert frames_of_pieces(cut, tmp_path) == frames_of_pieces(whole, tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 320x180, grey but for edges of 20 pixels: white above, black below, green at the sides."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    boxes = (("white", "iw:20:0:0"), ("black", "iw:20:0:160"), ("green", "20:140:0:20"), ("green", "20:140:300:20"))
    drawn = ",".join(
        "drawbox=" + ":".join(f"{n}={v}" for n, v in zip("whxy", where.split(":"), strict=True)) + f":c={colour}:t=fill"
        for colour, where in boxes
    )
    run_ffmpeg(
        "-f",
        "lavfi",
        "-i",
        f"color=gray:s=320x180:r=25:d=2,format=yuv420p,{drawn}",
        "-c:v",
        "libx264",
        "-crf",
        "0",
        path,
    )
    return path


def first_frame(source: Path, folder: Path, **video: Any) -> np.ndarray:
    """Return the first frame of the encode as rows of RGB pixels."""
    encoded = encode(source, folder, 1000, **video)
    (piece,) = encoded.pieces[encoded.plan.video[0].id]
    return pixels(encoded.path(piece))[0]


GREY, WHITE, BLACK, GREEN = (128, 128, 128), (255, 255, 255), (0, 0, 0), (0, 128, 0)


def box(mode: str, size: int) -> dict[str, Any]:
    return {"scale_mode": mode, "width": size, "height": size}


def looks(picture: np.ndarray, x: int, y: int, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(picture[y, x].astype(int) - colour).max() < 12)


@pytest.mark.parametrize(
    ("video", "size", "points"),
    [
        ({"crop": {"top": 20, "bottom": 20}}, (320, 140), [(5, 5, GREEN), (160, 70, GREY), (160, 2, GREY)]),
        ({"crop": {"left": 20, "right": 20}}, (280, 180), [(140, 5, WHITE), (3, 90, GREY), (276, 90, GREY)]),
        ({"crop": {"left": 20, "right": 20, "top": 20, "bottom": 20}, "height": 70}, (140, 70),
         [(2, 2, GREY), (137, 67, GREY)]),
        (box("pad", 320), (320, 320),
         [(160, 60, BLACK), (160, 75, WHITE), (160, 160, GREY), (5, 160, GREEN), (160, 255, BLACK)]),
        (box("pad", 400), (400, 400), [(5, 200, BLACK), (160, 120, WHITE), (200, 200, GREY)]),
        (box("fill", 90), (90, 90), [(2, 45, GREY), (87, 45, GREY), (45, 3, WHITE), (45, 86, BLACK)]),
        (box("stretch", 160), (160, 160), [(4, 80, GREEN), (155, 80, GREEN), (80, 8, WHITE), (80, 152, BLACK)]),
        (box("stretch", 640), (180, 180), []),
        (box("fill", 640), (180, 180), []),
        (box("fill", 640) | {"allow_upscale": True}, (640, 640), [(4, 320, GREY)]),
    ],
)  # fmt: skip
def test_shape_is_as_it_was_asked_for(
    video: dict[str, Any], size: tuple[int, int], points: list[tuple[int, int, tuple[int, int, int]]], clip: Path,
    tmp_path: Path,
):  # fmt: skip
    picture = first_frame(clip, tmp_path, **video)
    assert plane_size(picture) == size
    assert [point for point in points if not looks(picture, *point)] == []


def test_a_picture_of_oblong_pixels_is_square_between_bars(hard_media: HardMedia, tmp_path: Path):
    """320x180 pixels of 4:3 are shown as 427x180."""
    encoded = encode(hard_media("sar"), tmp_path, 1000, width=320, height=320, scale_mode="pad")
    made = encoded.plan.video[0]
    assert (made.sample_aspect_ratio, made.size, made.width) == (1, (320, 320), 320)
    assert made.height == round(320 * 180 / 320 * 3 / 4 / 2) * 2


@pytest.mark.parametrize("matrix", ["unknown", "bt709", "bt2020nc"])
def test_an_image_has_its_colours_and_what_is_beside_it_is_untouched(matrix: str, images: Path, tmp_path: Path):
    source = tmp_path / "clip.mp4"
    said = ["-vf", f"setparams=colorspace={matrix}", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:d=0.2", *said, source)
    red = {"image": str(images / "red.png"), "position": "center", "height": 0.5}
    plain, over = (first_frame(source, tmp_path / each, overlays=rows) for each, rows in (("a", []), ("b", [red])))
    width, height = plane_size(plain)
    middle = width // 2 - height // 8, height // 2
    assert np.abs(over[middle[1], middle[0]].astype(int) - (255, 0, 0)).max() < 6
    changed = np.argwhere((plain != over).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert top >= height // 4 - 2
    assert bottom <= height * 3 // 4 + 2
    assert left >= width // 2 - height // 4 - 2
    assert right <= width // 2 + 2  # the other half of the image is transparent


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_stands(text: str, clip: Path, tmp_path: Path):
    shown = first_frame(clip, tmp_path / "ours", overlays=[{"text": text, "position": "center", "height": 0.1}])
    shutil.copy(font_file(), tmp_path / "font.ttf")
    (tmp_path / "words.txt").write_text(text)
    words = (
        f"drawtext=textfile={tmp_path}/words.txt:expansion=none:fontfile={tmp_path}/font.ttf:fontsize=18:y_align=font"
    )
    words += ":x=(w-text_w)/2:y=(h-text_h)/2:fontcolor=white:shadowcolor=black@0.6:shadowx=1:shadowy=1"
    run_ffmpeg("-i", clip, "-vf", words, "-frames:v", "1", "-c:v", "libx264", "-crf", "0", tmp_path / "theirs.mkv")
    assert (shown == pixels(tmp_path / "theirs.mkv")[0]).all()
    assert (shown != first_frame(clip, tmp_path / "without")).any()


def test_a_clock_shows_the_time_of_the_source(clip: Path, tmp_path: Path):
    """The thirtieth frame is shown at 1.16 s."""
    place = {"position": "center", "height": 0.15}
    clock = encode(clip, tmp_path / "clock", 1, overlays=[{"clock": True} | place])
    text = encode(clip, tmp_path / "text", 1000, overlays=[{"text": "00:00:01.160"} | place])
    made = [pixels(clock.path(each)) for each in clock.pieces[clock.plan.video[0].id]]
    assert len(made) == 2
    frames = np.concatenate(made)
    (whole,) = text.pieces[text.plan.video[0].id]
    wanted = pixels(text.path(whole))[0][30:150, 30:290].astype(int)
    # Where a text begins differs by some pixels between one that is known and one that is counted.
    shifts = [np.roll(wanted, by, axis=1) for by in range(-6, 7)]
    off = [min(np.abs(each - frame).sum() for each in shifts) for frame in frames[:, 30:150, 30:290].astype(int)]
    assert int(np.argmin(off)) == 29


def test_an_overlay_is_shown_in_its_time_only(clip: Path, images: Path, tmp_path: Path):
    red = {"image": str(images / "red.png"), "start_s": 0.4, "end_s": 1.2}
    encoded = encode(clip, tmp_path, 1, overlays=[red])
    frames = np.concatenate([pixels(encoded.path(each)) for each in encoded.pieces[encoded.plan.video[0].id]])
    changed = [number for number, frame in enumerate(frames) if (frame != frames[0]).any()]
    assert changed == list(range(10, 30))


def test_hdr_becomes_sdr_that_says_so(hard_media: HardMedia, tmp_path: Path):
    job = run_job(hard_media("hdr10"), tmp_path, profile=fast_profile(tone_map="auto"))
    made = job.plan.video[0]
    assert (made.pixel_format, made.tone_map) == ("yuv420p", True)
    (report,) = job.reports.values()
    assert next(each for each in report.checks if each.name == "colour").passed
    assert not [each for each in job.plan.warnings if "HDR" in each]

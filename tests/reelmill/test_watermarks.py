"""What can't be laid over a video is refused before anything is made; what is laid over it names the job."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import (
    FormatNotAllowed,
    InvalidParameter,
    InvalidProfile,
    InvalidWatermark,
    JobRejected,
    LimitPixels,
    PathEscape,
    SourceNotFound,
)
from reelmill.job import TranscodeJob
from reelmill.media.fonts import font_file
from reelmill.media.images import open_image
from reelmill.planning.picture import layout
from reelmill.preparing import accept_job
from reelmill.profiles.loading import parse_profile
from reelmill.profiles.video import VideoSettings
from tests.conftest import Set
from tests.ffmpeg_tool import run_ffmpeg
from tests.made_sources import made_video
from tests.pipeline import encode_video, fast_profile, prepare
from tests.refused_jobs import refusal

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n"


def png(width: int, height: int, rows: bytes | None = None) -> bytes:
    """A PNG of grey pixels, of as many as it says unless `rows` are given."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x80" * width) * height if rows is None else rows
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("playlist.png", PLAYLIST, FormatNotAllowed),
        ("concat.png", b"ffconcat version 1.0\nfile /etc/hostname\n", FormatNotAllowed),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", FormatNotAllowed),
        ("empty.png", b"", FormatNotAllowed),
        ("moving.webp", b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(30), FormatNotAllowed),
        ("bomb.png", png(9_000, 9_000, b"\0"), LimitPixels),
        ("flood.png", png(60_000, 60_000, b"\0"), InvalidWatermark),
        ("cut.png", png(300, 300, random.Random(1).randbytes(90_300))[:9_000], InvalidWatermark),
        ("noise.jpg", b"\xff\xd8\xff" + random.Random(1).randbytes(5_000), InvalidWatermark),
        ("noise.gif", b"GIF89a" + random.Random(1).randbytes(5_000), InvalidWatermark),
        ("large.png", png(8, 8) + bytes(21 << 20), InvalidWatermark),
    ],
)
def test_a_file_that_is_no_image_is_refused(
    name: str, content: bytes, error: type[JobRejected], clip: Path, tmp_path: Path
):
    image = tmp_path / name
    image.write_bytes(content)
    assert name in refusal(error, source=str(clip), output=str(tmp_path / "out"), watermark=str(image))


def test_an_image_that_is_not_there_or_may_not_be_read_is_refused(root: Path, set_to: Set):
    job = {"source": "clip.mp4", "output": str(root / "out")}
    set_to(source_root=root)
    refusal(SourceNotFound, **job, watermark="gone.png")
    refusal(PathEscape, **job, watermark="../secret.mp4")
    refusal(PathEscape, **job, watermark="/etc/hostname")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"), (" \n", "is empty"), ("a\0b", "U+0000"), ("a\x1bb", "U+001B"),
        pytest.param("x" * 300_000, "300,000 characters", id="long"),  # the id gets into the environment of ffmpeg
        ("\ud800", "U+D800"), ("\ufdd0", "U+FDD0"), ("夏", "has no 夏"),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_text_that_can_not_be_shown_is_refused(text: str, said: str, clip: Path, tmp_path: Path):
    job = {"source": str(clip), "output": str(tmp_path / "out")}
    assert said in refusal(InvalidWatermark, **job, watermark_text=text)


def test_a_font_that_is_none_is_refused(clip: Path, tmp_path: Path, set_to: Set):
    set_to(font_file=clip)
    assert "clip.mp4" in refusal(InvalidWatermark, source=str(clip), output=str(tmp_path / "out"), watermark_text="x")


def test_a_watermark_needs_encoding(clip: Path, tmp_path: Path):
    profile = tmp_path / "copy.yaml"
    profile.write_text("version: 1\nname: copies\nvideo: {codec: copy}\n")
    job = {"source": str(clip), "output": str(tmp_path / "out"), "profile": str(profile)}
    assert "copies the video" in refusal(InvalidParameter, **job, watermark_text="x")


def test_an_audio_job_has_no_use_for_a_watermark(clip: Path, tmp_path: Path):
    job = TranscodeJob(source=str(clip), output=str(tmp_path), formats=("mp3",), watermark=str(tmp_path / "gone.png"))
    assert accept_job(job).images == {}


def test_the_key_of_a_job_names_what_is_laid_over_it_by_its_content(clip: Path, tmp_path: Path):
    for name, size in (("a.png", 8), ("b.png", 9)):
        (tmp_path / name).write_bytes(png(size, size))
    (tmp_path / "again.png").hardlink_to(tmp_path / "a.png")

    def key(**fields: Any) -> str:
        return accept_job(TranscodeJob(source=str(clip), output=str(tmp_path / "out"), **fields)).key

    keys = [key(), *(key(watermark=str(tmp_path / each)) for each in ("a.png", "b.png")), key(watermark_text="x")]
    assert len({*keys, key(watermark_text="y")}) == 5
    assert key(watermark=str(tmp_path / "again.png")) == keys[1]


def test_a_font_of_another_machine_is_not_taken_for_the_plans(clip: Path, tmp_path: Path, set_to: Set):
    prepared = prepare(clip, tmp_path, profile=fast_profile(overlays=[{"text": "x"}]))
    bold = next(Path(str(each)) for each in _fonts() if each.name == "OpenSans-Bold.ttf")
    set_to(font_file=bold)
    with pytest.raises(InvalidWatermark, match="not the one of the plan"):
        encode_video(prepared, tmp_path / "pieces")


def _fonts() -> list[Path]:
    return list(font_file().parent.iterdir())


@pytest.mark.parametrize(
    ("video", "said"),
    [
        ("overlays: [{}]", "video.overlays.0: has none of image, text and clock"),
        ("overlays: [{text: x, clock: true}]", "has text and clock of image, text and clock"),
        ("overlays: [{text: x, start_s: 3, end_s: 2}]", "end_s: 2 is not allowed; allowed: more than start_s, 3"),
        ("overlays: [{text: x, colour: red}]", "colour: red is not allowed; allowed: # and six hexadecimal digits"),
        ("overlays: [{text: x, position: middle}]", "position: middle is not allowed; allowed: top-left, top"),
        ("overlays: [{text: x, opacity: 2}]", "opacity: 2 is not allowed; allowed: 0 to 1"),
        ("overlays: [{test: x}]", "test: unknown field (did you mean text?)"),
        ("crop: {left: 3}", "video.crop.left: 3 is not allowed; allowed: 0 to 16382, an even number"),
        ("scale_mode: pad, height: 100", "video.scale_mode: pad needs width and height"),
        ("denoise: much", "video.denoise: much is not allowed; allowed: none, light, strong"),
        ("codec: copy, overlays: [{text: x}]", "video.overlays: can't be changed where codec is copy"),
    ],
)
def test_settings_of_the_picture_that_can_not_be_are_refused(video: str, said: str):
    with pytest.raises(InvalidProfile) as caught:
        parse_profile(f"version: 1\nname: test\nvideo: {{{video}}}\n", "web.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("overlay", "said"),
    [({"height": 1.0}, "more than the picture's"), ({"height": 0.5, "moves": True}, "more than can be laid over")],
)
def test_an_image_that_is_too_large_for_the_picture_is_refused(
    overlay: dict[str, Any], said: str, clip: Path, tmp_path: Path
):
    image = tmp_path / "image.gif"
    moves = overlay.pop("moves", False)
    seconds, size = (89, "64x64") if moves else (0.1, "640x64")
    run_ffmpeg("-f", "lavfi", "-i", f"color=red:s={size}:r=100:d={seconds}", "-r", "100", image)
    profile = fast_profile(overlays=[{"image": str(image)} | overlay], height=720, allow_upscale=True)
    with pytest.raises(InvalidWatermark, match=said):
        prepare(clip, tmp_path, profile=profile)


def test_a_crop_that_leaves_nothing_is_refused():
    with pytest.raises(InvalidProfile, match=r"video\.crop: leaves 0x720 of a picture of 1280x720"):
        layout(made_video(), VideoSettings.model_validate({"crop": {"left": 1000, "right": 280}}))


@pytest.mark.parametrize(
    ("options", "frames", "rate"),
    [("testsrc=r=10:d=1.3", 13, 10), ("testsrc=r=4:d=1,select='not(eq(n,1))'", 4, 4), ("testsrc=r=25:d=0.04", 1, 1)],
)
def test_an_image_that_moves_has_frames_of_one_length(options: str, frames: int, rate: int, tmp_path: Path):
    path = tmp_path / "moving.gif"
    run_ffmpeg("-f", "lavfi", "-i", options, "-fps_mode", "passthrough", path)
    image = open_image(path, max_pixels=1_000_000)
    assert (image.frames, image.rate) == (frames, rate)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif"])
def test_each_kind_of_image_is_taken(ending: str, tmp_path: Path):
    path = tmp_path / f"image.{ending}"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc=s=40x30", "-frames:v", "1", path)
    image = open_image(path, max_pixels=1_000_000)
    assert (image.width, image.height, image.moves) == (40, 30, False)

"""Pictures look as the video is shown: upright, in square pixels, in colours that every page can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelmill.errors import VerifyFailed
from reelmill.pictures.making import make_pictures
from tests.ffmpeg_tool import run_ffmpeg
from tests.picture_jobs import number_in, numbered_clip, pixels, take_pictures

POSTER = {"at": 0.0, "format": "png"}


def coloured(path: Path, colours: list[str], *options: str, size: str = "160x90") -> Path:
    """Write a clip that is one second of each colour; return `path`."""
    inputs = [word for each in colours for word in ("-f", "lavfi", "-i", f"color=c={each}:size={size}:d=1")]
    joined = "".join(f"[{number}]" for number in range(len(colours)))
    run_ffmpeg(
        *inputs, "-filter_complex", f"{joined}concat=n={len(colours)}[all]", "-map", "[all]", "-c:v", "libx264",
        "-qp", "4", *options, path,
    )  # fmt: skip
    return path


def test_rotated_video_stands_upright(tmp_path: Path):
    """A clip with a red left half that is to be turned: its top, or its bottom, is red."""
    halves = "drawbox=x=0:y=0:w=iw/2:h=ih:color=red:t=fill"
    coloured(tmp_path / "flat.mp4", ["blue"], "-pix_fmt", "yuv420p")
    run_ffmpeg("-i", tmp_path / "flat.mp4", "-vf", halves, "-c:v", "libx264", "-qp", "4", tmp_path / "halves.mp4")
    run_ffmpeg("-display_rotation", "90", "-i", tmp_path / "halves.mp4", "-c", "copy", tmp_path / "turned.mp4")
    taken = take_pictures(tmp_path / "turned.mp4", tmp_path / "out", poster=POSTER)
    picture = pixels(taken.paths("poster")[0])[0]
    assert picture.shape == (160, 90, 3)
    top, bottom = picture[20, 45], picture[140, 45]
    assert (int(top[2]) > 200, int(bottom[0]) > 200) == (True, True), (top, bottom)


@pytest.mark.parametrize(
    ("ratio", "size"), [("2/1", (384, 96)), ("1/2", (192, 192)), ("1/1", (192, 96))], ids=["wide", "tall", "square"]
)
def test_pixels_become_square(ratio: str, size: tuple[int, int], tmp_path: Path):
    plain = numbered_clip(tmp_path / "plain.mp4", seconds=1)
    run_ffmpeg("-i", plain, "-vf", f"setsar={ratio}", "-c:v", "libx264", "-qp", "4", tmp_path / "clip.mp4")
    taken = take_pictures(
        tmp_path / "clip.mp4", tmp_path / "out", poster=POSTER | {"at": 0.2}, thumbnails={"width": 96}
    )
    picture = pixels(taken.paths("poster")[0])[0]
    assert picture.shape[1::-1] == size
    assert number_in(picture) == 5
    assert taken.reports["thumbnails"].width / taken.reports["thumbnails"].height == pytest.approx(size[0] / size[1])


def test_a_picture_is_not_enlarged(tmp_path: Path):
    clip = coloured(tmp_path / "clip.mp4", ["red"], "-pix_fmt", "yuv420p")
    taken = take_pictures(clip, tmp_path / "out", poster={}, sprites={"tile_width": 640})
    assert (taken.reports["poster"].width, taken.reports["sprites"].width) == (160, 160)


@pytest.mark.parametrize("format", ["jpeg", "webp", "png"])
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", None])
def test_colours_are_those_of_the_video(format: str, matrix: str | None, tmp_path: Path):
    """Also where the video doesn't say which matrix it has: then that of its size is taken."""
    size = "1280x720" if matrix != "smpte170m" else "160x90"
    convert = f"scale=out_color_matrix={matrix or 'bt709'}:out_range=tv,format=yuv420p"
    tags = ["-colorspace", matrix] if matrix else []
    run_ffmpeg(
        "-f", "lavfi", "-i", f"color=c=0x20a060:size={size}:d=0.2,format=gbrp", "-vf", convert, "-c:v", "libx264",
        "-preset", "ultrafast", "-qp", "2", *tags, *([] if matrix else ["-colorspace", "unknown"]), tmp_path / "c.mp4",
    )  # fmt: skip
    taken = take_pictures(tmp_path / "c.mp4", tmp_path / "out", poster={"at": 0.0, "format": format, "width": 160})
    found = pixels(taken.paths("poster")[0])[0].mean(axis=(0, 1))
    assert found == pytest.approx([0x20, 0xA0, 0x60], abs=4)


@pytest.mark.parametrize(("transfer", "hdr"), [("smpte2084", "pq"), ("arib-std-b67", "hlg")])
def test_hdr_is_brought_into_the_range_of_a_page(transfer: str, hdr: str, tmp_path: Path):
    """Grey that is 100 cd/m2, and a white ten times as bright: neither is grey mud, nor burnt out alike."""
    to_hdr = (
        f"format=gbrpf32le,zscale=tin=linear:t={transfer}:npl=100:p=bt2020:pin=bt709:m=bt2020nc:r=limited,"
        "format=yuv420p10le"
    )
    ramp = "geq=r='if(lt(X,W/2),0.4,4)':g='if(lt(X,W/2),0.4,4)':b='if(lt(X,W/2),0.4,4)'"
    tags = (
        f"-color_primaries bt2020 -color_trc {transfer} -colorspace bt2020nc -c:v libx265 -x265-params log-level=error"
    )
    run_ffmpeg(
        "-f", "lavfi", "-i", "color=c=white:size=160x90:d=0.2,format=gbrpf32le", "-vf", f"{ramp},{to_hdr}",
        *tags.split(), "-c:v", "libx265", "-x265-params", "log-level=error", tmp_path / "hdr.mp4",
    )  # fmt: skip
    taken = take_pictures(tmp_path / "hdr.mp4", tmp_path / "out", poster=POSTER)
    assert taken.plan.pictures is not None
    assert taken.plan.pictures.look.hdr == hdr
    picture = pixels(taken.paths("poster")[0])[0].astype(int)
    dark, bright = picture[45, 20], picture[45, 140]
    assert dark.max() - dark.min() <= 6, "grey stays grey"
    assert 60 < dark.mean() < 180
    assert dark.mean() + 40 < bright.mean() <= 255


def test_auto_poster_is_not_black(tmp_path: Path):
    """Black, white, and in the middle something to be seen."""
    coloured(tmp_path / "ends.mp4", ["black", "black", "white", "black"], "-pix_fmt", "yuv420p")
    graph = "[1:v]setpts=PTS+2.9/TB[late];[0:v][late]overlay=enable='between(t,2.9,3.4)'"
    run_ffmpeg(
        "-i", tmp_path / "ends.mp4", "-f", "lavfi", "-t", "0.5", "-i", "testsrc2=size=160x90:rate=25",
        "-filter_complex", graph, "-c:v", "libx264", "-qp", "4", tmp_path / "clip.mp4",
    )  # fmt: skip
    taken = take_pictures(tmp_path / "clip.mp4", tmp_path / "out", poster={"format": "png"})
    picture = pixels(taken.paths("poster")[0])[0]
    assert np.std(picture) > 40
    [time_s] = taken.reports["poster"].times_s
    assert 2.9 <= time_s < 3.4


def test_cover_art_is_the_poster_of_sound(tmp_path: Path):
    run_ffmpeg("-f", "lavfi", "-i", "color=c=red:size=300x200", "-frames:v", "1", tmp_path / "cover.png")
    run_ffmpeg(
        "-f", "lavfi", "-t", "1", "-i", "sine", "-i", tmp_path / "cover.png", "-map", "0", "-map", "1", "-c:v", "copy",
        "-disposition:v", "attached_pic", tmp_path / "song.m4a",
    )  # fmt: skip
    taken = take_pictures(tmp_path / "song.m4a", tmp_path / "out", ("m4a",), poster={"width": 150}, sprites={})
    assert pixels(taken.paths("poster")[0])[0].shape == (100, 150, 3)
    assert "no sprites: song.m4a has no video" in taken.plan.warnings


def test_sound_without_cover_says_what_is_missing(tmp_path: Path):
    run_ffmpeg("-f", "lavfi", "-t", "1", "-i", "sine", tmp_path / "song.wav")
    taken = take_pictures(tmp_path / "song.wav", tmp_path / "out", ("mp3",), poster={}, preview={})
    assert taken.plan.pictures is None
    assert "no poster, preview: song.wav has no video" in taken.plan.warnings


def test_names_are_taken_literally(tmp_path: Path):
    folder = tmp_path / "100%d 'x'"
    folder.mkdir()
    clip = numbered_clip(tmp_path / "clip.mp4", seconds=1)
    taken = take_pictures(clip, folder, poster={"at": "50%"}, thumbnails={"count": 2}, sprites={}, preview={})
    assert sorted(each.name for each in folder.iterdir() if each.name != "work") == [
        "out.poster.jpg", "out.preview.webp", "out.sprites", "out.thumbnails",
    ]  # fmt: skip
    assert [path.name for path in taken.paths("thumbnails")] == ["00001.jpg", "00002.jpg"]


@pytest.mark.parametrize("quality", [(10, 95)])
@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_quality_is_what_it_costs(quality: tuple[int, int], format: str, tmp_path: Path):
    run_ffmpeg("-f", "lavfi", "-t", "0.2", "-i", "testsrc2=size=320x180", "-qp", "4", tmp_path / "clip.mp4")
    sizes = [
        take_pictures(
            tmp_path / "clip.mp4", tmp_path / str(each), poster={"at": 0.0, "format": format, "quality": each}
        ).reports["poster"].size_bytes
        for each in quality
    ]  # fmt: skip
    assert sizes[0] * 2 < sizes[1]


def test_a_picture_of_another_size_is_refused(tmp_path: Path):
    clip = numbered_clip(tmp_path / "clip.mp4", seconds=1)
    taken = take_pictures(clip, tmp_path / "out", thumbnails={"count": 2})
    assert taken.plan.pictures is not None
    wrong: Any = taken.plan.pictures.set_of("thumbnails").model_copy(update={"height": 97})
    with pytest.raises(VerifyFailed, match=r"a picture of 192 x 96, not \(192, 97\)"):
        make_pictures(
            wrong, taken.records, workspace=taken.workspace, out=tmp_path / "out" / "again", attempt="test"
        )  # fmt: skip

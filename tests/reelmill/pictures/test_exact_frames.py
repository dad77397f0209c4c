"""Every picture shows the frame that a player shows at its time: frames bear their number, and it is read again."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from tests.ffmpeg_tool import run_ffmpeg
from tests.picture_jobs import NUMBERED, RATE, Taken, number_in, numbered_clip, pixels, shown_at, take_pictures

_SECONDS = 4


def plain(folder: Path) -> Path:
    return numbered_clip(folder / "plain.mp4")


def variable(folder: Path) -> Path:
    """Frames are missing, at first some and then a second of them."""
    dropped = f"{NUMBERED},select='not(eq(mod(n,3),1))*not(between(n,40,65))'"
    return numbered_clip(folder / "variable.mkv", "-vf", dropped, "-fps_mode", "passthrough")


def late(folder: Path) -> Path:
    """The sound starts at 0, the picture after one second."""
    video = numbered_clip(folder / "video.mp4")
    run_ffmpeg(
        "-f", "lavfi", "-t", "5", "-i", "sine", "-itsoffset", "1", "-i", video, "-map", "1:v", "-map", "0:a",
        "-c:v", "copy", "-c:a", "aac", folder / "late.mp4",
    )  # fmt: skip
    return folder / "late.mp4"


def far(folder: Path) -> Path:
    """A recording whose clock is far from 0."""
    return numbered_clip(folder / "far.ts", "-output_ts_offset", "5000")


CLIPS = [plain, variable, late, far]


def expected_numbers(taken: Taken, numbers: list[int], kind: str) -> list[int]:
    assert taken.index is not None
    start_s, times_s = taken.plan.source.start_s, taken.reports[kind].times_s
    return [numbers[shown_at(taken.index, start_s, time_s)] for time_s in times_s]


@pytest.mark.parametrize("make", CLIPS, ids=lambda make: make.__name__)
def test_every_picture_shows_the_frame_of_its_time(make: Callable[[Path], Path], tmp_path: Path):
    clip = make(tmp_path)
    numbers = [number_in(each) for each in pixels(clip)]
    taken = take_pictures(
        clip, tmp_path / "out", ("mkv",),
        poster={"at": "2.5", "format": "png"}, thumbnails={"every_s": 0.3, "format": "png"},
        sprites={"every_s": 0.4, "format": "png", "columns": 3, "rows": 2, "tile_width": 192},
        preview={"format": "gif", "snippets": 3, "snippet_s": 0.5, "width": 192},
    )  # fmt: skip

    for kind in ("poster", "thumbnails"):
        found = [number_in(each) for path in taken.paths(kind) for each in pixels(path)]
        assert found == expected_numbers(taken, numbers, kind)
    assert taken.reports["poster"].times_s == (2.5,)
    tiles = [
        number_in(sheet[row * 96 : (row + 1) * 96, column * 192 : (column + 1) * 192])
        for sheet in (pixels(path)[0] for path in taken.paths("sprites"))
        for row in range(2)
        for column in range(3)
    ]
    wanted = expected_numbers(taken, numbers, "sprites")
    assert tiles[: len(wanted)] == wanted

    moving = [number_in(each) for each in pixels(taken.paths("preview")[0])]
    wanted = expected_numbers(taken, numbers, "preview")
    assert [number for number, _ in groupby(moving)] == [number for number, _ in groupby(wanted)]
    assert len(wanted) == 3 * 5


@pytest.mark.parametrize("make", CLIPS, ids=lambda make: make.__name__)
def test_no_picture_is_past_the_end(make: Callable[[Path], Path], tmp_path: Path):
    clip = make(tmp_path)
    taken = take_pictures(
        clip, tmp_path / "out", ("mkv",), poster={"at": 100, "format": "png"},
        thumbnails={"every_s": 1.0}, sprites={"every_s": 1.0}, preview={"start_s": 90.0, "format": "gif"},
    )  # fmt: skip
    assert taken.index is not None
    end_s = taken.index.end * taken.index.time_base - taken.plan.source.start_s
    for kind in ("thumbnails", "sprites", "preview"):
        assert max(taken.reports[kind].times_s) < end_s
    assert number_in(pixels(taken.paths("poster")[0])[0]) == number_in(pixels(clip)[-1])


def test_cues_point_at_the_part_that_is_shown_then(tmp_path: Path):
    clip = numbered_clip(tmp_path / "clip.mp4", seconds=_SECONDS)
    sprites = {"every_s": 0.3, "format": "png", "columns": 4, "rows": 2, "tile_width": 192}
    taken = take_pictures(clip, tmp_path / "out", sprites=sprites)
    folder = taken.folder / "out.sprites"
    text = (folder / "sprites.vtt").read_text()
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.300\n00001.png#xywh=0,0,192,96\n\n00:00:00.300 --> ")
    cues = re.findall(r"^([\d:.]+) --> ([\d:.]+)\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$", text, re.MULTILINE)

    assert len(cues) == 14
    assert [start for start, *_ in cues[1:]] == [end for _, end, *_ in cues[:-1]]
    assert cues[-1][1] == "00:00:04.000"
    for start, _, sheet, *part in cues:
        x, y, width, height = map(int, part)
        tile = pixels(folder / sheet)[0][y : y + height, x : x + width]
        assert tile.shape == (96, 192, 3)
        assert number_in(tile) == int(float(start[-6:]) * RATE + 1e-6)
    assert [path.name for path in taken.paths("sprites")] == ["00001.png", "00002.png"]


def test_pictures_of_frames_that_stand_still_are_made_once_and_shown_often(tmp_path: Path):
    """One frame a second, and a preview of ten."""
    clip = numbered_clip(tmp_path / "slow.mkv", "-vf", f"{NUMBERED},select='not(mod(n,25))'", "-fps_mode", "vfr")
    preview = {"format": "webp", "start_s": 0.5, "snippet_s": 2.0}
    taken = take_pictures(clip, tmp_path / "out", ("mkv",), preview=preview, thumbnails={"every_s": 0.25})
    assert taken.plan.pictures is not None
    assert len(taken.plan.pictures.set_of("preview").distinct) == 3
    assert len(taken.reports["preview"].times_s) == 20
    content = taken.paths("preview")[0].read_bytes()
    durations = [int.from_bytes(content[at + 20 : at + 23], "little") for at in offsets(content, b"ANMF")]
    assert sum(durations) == 2000
    assert [number_in(each) for path in taken.paths("thumbnails") for each in pixels(path)][:6] == [0, 0, 0, 0, 25, 25]


def offsets(content: bytes, mark: bytes) -> list[int]:
    """Where a kind of chunk starts."""
    return [each.start() for each in re.finditer(re.escape(mark), content)]


@pytest.mark.parametrize(("loop", "count"), [(True, 0), (False, 1)])
def test_a_webp_moves_as_often_as_asked(loop: bool, count: int, tmp_path: Path):
    clip = numbered_clip(tmp_path / "clip.mp4", seconds=2)
    taken = take_pictures(clip, tmp_path / "out", preview={"snippet_s": 1.0, "start_s": 0.0, "loop": loop})
    content = taken.paths("preview")[0].read_bytes()
    assert len(offsets(content, b"ANMF")) == 10
    [place] = offsets(content, b"ANIM")
    assert int.from_bytes(content[place + 12 : place + 14], "little") == count


def test_a_gif_that_is_not_to_be_repeated_says_so(tmp_path: Path):
    clip = numbered_clip(tmp_path / "clip.mp4", seconds=2)
    preview = {"snippet_s": 1.0, "start_s": 0.0, "format": "gif"}
    again = take_pictures(clip, tmp_path / "again", preview=preview)
    once = take_pictures(clip, tmp_path / "once", preview=preview | {"loop": False})
    marks = [b"NETSCAPE2.0" in each.paths("preview")[0].read_bytes() for each in (again, once)]
    assert marks == [True, False]
    assert len(pixels(once.paths("preview")[0])) == 10

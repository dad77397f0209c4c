"""Subtitles that are burned in: what is drawn and when, what is refused, and what names the job and its pieces."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelmill.encoding.pieces import piece_key
from reelmill.encoding.subtitles import read_subtitles
from reelmill.errors import (
    FormatNotAllowed,
    InvalidParameter,
    InvalidProfile,
    InvalidWatermark,
    JobRejected,
    PathEscape,
    SourceNotFound,
    StoreFailed,
)
from reelmill.job import TranscodeJob
from reelmill.media.fonts import font_file
from reelmill.media.subtitles import LONGEST_LINE, Subtitles
from reelmill.planning.subtitles import choose_track
from reelmill.preparing import accept_job
from reelmill.profiles.loading import parse_profile
from reelmill.workspace import Workspace
from tests.conftest import Set
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HardMedia
from tests.pipeline import Encoded, Prepared, encode_video, fast_profile, prepare, workspace_in
from tests.pixels import pixels
from tests.refused_jobs import refusal
from tests.subtitle_files import ASS, ass_file, srt_file

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n"
CUE = ("00:00:00,400", "00:00:01,200", "Straße, ещё раз")


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a grey picture of 320x180, at 25 frames a second."""
    path = tmp_path_factory.mktemp("grey") / "grey.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=gray:s=320x180:r=25:d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p", path)
    return path


def frames_of(source: Path, folder: Path, subtitles: Path, segment_s: float = 1000, **video: Any) -> np.ndarray:
    """Return all frames of the encode, without loss, as rows of RGB pixels."""
    profile = fast_profile(burn_subtitles={"file": str(subtitles)}, crf=1, **video)
    encoded = encode_video(prepare(source, folder, segment_s=segment_s, profile=profile), folder / "pieces")
    return np.concatenate([pixels(encoded.path(each)) for each in encoded.pieces[encoded.plan.video[0].id]])


def box_of(frame: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is white in a grey frame."""
    rows, columns = (frame.min(axis=2) > 200).nonzero()
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


@pytest.mark.parametrize("segment_s", [0.5, 1000])
def test_a_line_is_on_every_frame_of_its_time_and_on_no_other(segment_s: float, grey: Path, tmp_path: Path):
    frames = frames_of(grey, tmp_path, srt_file(tmp_path, CUE), segment_s)
    shown = [number for number, frame in enumerate(frames) if (frame.min(axis=2) > 200).any()]
    assert shown == list(range(10, 30))


def test_a_line_is_not_late_where_the_time_of_its_frame_can_not_be_said_in_binary(tmp_path: Path):
    """Frame 111 is shown at 3.7 s; 111 * 512 / 15360 seconds are 3699.9999999999995 ms where doubles are multiplied."""
    source = tmp_path / "clip.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x48:r=30:d=4.2", "-c:v", "libx264", "-pix_fmt", "yuv420p", source)
    frames = frames_of(source, tmp_path, srt_file(tmp_path, ("00:00:03,700", "00:00:04,100", "HHH")))
    shown = [number for number, frame in enumerate(frames) if (frame.min(axis=2) > 200).any()]
    assert shown == list(range(111, 123))


@pytest.mark.parametrize("start_s", [0, 20])
def test_times_count_from_the_start_of_the_source(start_s: int, grey: Path, tmp_path: Path):
    source = tmp_path / "late.ts"
    run_ffmpeg("-i", grey, "-c", "copy", "-output_ts_offset", str(start_s), source)
    frames = frames_of(source, tmp_path, srt_file(tmp_path, CUE), frame_rate="25")
    assert [number for number, frame in enumerate(frames) if (frame.min(axis=2) > 200).any()] == list(range(10, 30))


def test_a_line_lies_below_in_the_middle_and_what_is_beside_it_is_untouched(grey: Path, tmp_path: Path):
    frames = frames_of(grey, tmp_path, srt_file(tmp_path, CUE))
    left, top, right, bottom = box_of(frames[20])
    assert abs((left + right) / 2 - 160) < 4
    assert top > 145
    assert bottom < 175
    assert (frames[20][:140] == frames[0][:140]).all()


@pytest.mark.parametrize(("size", "least"), [("180x320", 7), ("64x48", 7), ("640x360", 14), ("360x640", 14)])
def test_lines_are_as_large_as_the_shorter_side_asks_for(size: str, least: int, tmp_path: Path):
    source = tmp_path / "clip.mp4"
    run_ffmpeg("-f", "lavfi", "-i", f"color=gray:s={size}:r=25:d=1", "-c:v", "libx264", "-pix_fmt", "yuv420p", source)
    frame = frames_of(source, tmp_path, srt_file(tmp_path, (*CUE[:2], "HHH")))[15]
    left, top, right, bottom = box_of(frame)
    assert least <= bottom - top + 1 <= 2 * least
    assert 1.5 < (right - left) / (bottom - top) < 4.5


def test_letters_are_as_wide_on_oblong_pixels(grey: Path, tmp_path: Path):
    """A picture whose pixels are 4:3 shows letters three quarters as wide, in pixels."""
    source = tmp_path / "oblong.mp4"
    run_ffmpeg("-i", grey, "-vf", "setsar=4/3", "-c:v", "libx264", source)
    line = srt_file(tmp_path, (*CUE[:2], "A LONG LINE OF TEXT"))
    square, oblong = (box_of(frames_of(each, tmp_path / each.stem, line)[20]) for each in (grey, source))
    assert (oblong[2] - oblong[0]) / (square[2] - square[0]) == pytest.approx(0.75, abs=0.03)


# Files


def lines_of(path: Path) -> Subtitles:
    return read_subtitles(path, attempt="test")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_be_in_utf_8_or_in_marked_utf_16(encoding: str, tmp_path: Path):
    made = lines_of(srt_file(tmp_path, CUE, encoding=encoding))
    assert made.lines == ("Dialogue: 0,0:00:00.40,0:00:01.20,Default,,0,0,0,,Straße, ещё раз",)


def test_of_a_file_without_styles_only_letters_and_colours_are_kept(tmp_path: Path):
    text = '<font face="/etc/x" size="90" color="#ff0000">red</font> <i>slanted</i> {\\an8}{\\pos(1,1)}♪ la\u200e ♪'
    (line,) = lines_of(srt_file(tmp_path, (*CUE[:2], text))).lines
    assert line.split(",,", 2)[2] == r"{\c&HFF&}red{\c} {\i1}slanted{\i0} {\an8}# la #"


def test_webvtt_is_read(tmp_path: Path):
    path = tmp_path / "lines.txt.vtt"
    path.write_text("WEBVTT\n\nSTYLE\n::cue { color: red }\n\nNOTE x\n\n00:01.000 --> 00:02.500 line:0\n<v Ann>Hello\n")
    assert lines_of(path).lines == ("Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,Hello",)


HOSTILE_ASS = (
    ASS.replace("Style: Song,Comic Sans MS", "Style: Song,/etc/passwd")
    + "Picture: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,/etc/hostname\n"
    + "Command: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,reboot\n"
    + "Dialogue: 0,0:00:00.00,0:00:09.00,No Such Style,,0,0,0,,{\\fn/etc/shadow\\b1}a{\\ fn@Arial}b{\\t(\\fnX)}c\n"
    + "Dialogue: 0,0:00:00.00,0:00:09.00,Song,,0,0,0,template line,{\\pos(1,2)}d\n"
    + "[Fonts]\nfontname: evil.ttf\n!!!!\n[Graphics]\nfilename: evil.png\n!!!!\n"
    + "[Aegisub Project Garbage]\nVideo File: /etc/x\n"
)


def test_a_hostile_script_names_no_file_and_no_font_but_ours(tmp_path: Path):
    path = tmp_path / "lines.ass"
    path.write_text(HOSTILE_ASS)
    made = lines_of(path)
    kept = "\n".join((made.header, *made.lines))
    for name in ("/etc", "Picture", "Command", "[Fonts", "evil", "Comic", "fn", "Garbage", "Arial"):
        assert name not in kept, name
    assert kept.count("Open Sans") == 2
    assert [line.split(",")[3] for line in made.lines] == ["Default", "Song"]


def test_bold_letters_are_drawn_in_our_font_whatever_is_installed(grey: Path, tmp_path: Path):
    """fontconfig is told of a folder of fonts as a desktop has them; the pictures are the same."""
    text = srt_file(tmp_path, (*CUE[:2], "<b>Bold</b> and <i>slanted</i>"))
    plain = frames_of(grey, tmp_path / "plain", text)
    installed = tmp_path / "fonts.conf"
    installed.write_text(f"<fontconfig><dir>{font_file().parent}</dir></fontconfig>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FONTCONFIG_FILE", str(installed))
        assert (frames_of(grey, tmp_path / "installed", text) == plain).all()


NOISE = random.Random(1).randbytes(3000)


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("list.srt", PLAYLIST, FormatNotAllowed, "no file of subtitles"),
        ("concat.srt", "ffconcat version 1.0\nfile /etc/hostname\n", FormatNotAllowed, "no file of subtitles"),
        ("words.srt", "Just some words\nand more\n", FormatNotAllowed, "SRT, WebVTT, ASS"),
        ("empty.srt", "", InvalidWatermark, "is empty"),
        ("blank.vtt", "\n \n", InvalidWatermark, "is empty"),
        ("noise.ass", NOISE, InvalidWatermark, "not in UTF-8"),
        ("latin.srt", b"1\n00:00:01,000 --> 00:00:02,000\nCaf\xe9\n", InvalidWatermark, "save it as UTF-8"),
        ("nul.srt", "1\n00:00:01,000 --> 00:00:02,000\na\0b\n", InvalidWatermark, "value 0"),
        ("bad.srt", "1\n00:00:01,000 --> 00:00:02\nx\n", InvalidWatermark, "line 2: '00:00:01,000 --> 00:00:02'"),
        ("bad.vtt", "WEBVTT\n\n00:61.000 --> 01:02.000\nx\n", InvalidWatermark, "line 3: '00:61.000"),
        ("none.vtt", "WEBVTT\n\nNOTE nothing\n", InvalidWatermark, "no line of text"),
        ("back.srt", "1\n00:00:03,000 --> 00:00:02,000\nx\n", InvalidWatermark, "no line of text"),
        ("none.ass", ASS, InvalidWatermark, "no line of text"),
        ("han.srt", "1\n00:00:01,000 --> 00:00:02,000\n夏が来た\n", InvalidWatermark, "has no が, た, 夏, 来"),
        ("long.srt", f"1\n00:00:01,000 --> 00:00:02,000\n{'x' * LONGEST_LINE}x\n", InvalidWatermark, "in one line"),
        ("large.srt", b"1\n" * (5 << 20), InvalidWatermark, "bytes are more"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_shown_is_refused(
    name: str, content: str | bytes, error: type[JobRejected], said: str, clip: Path, tmp_path: Path
):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    message = refusal(error, source=str(clip), output=str(tmp_path / "out"), burn_subtitles=str(path))
    assert name in message
    assert said in message


def test_a_file_that_is_not_there_or_may_not_be_read_is_refused(root: Path, set_to: Set):
    job = {"source": "clip.mp4", "output": str(root / "out")}
    set_to(source_root=root)
    refusal(SourceNotFound, **job, burn_subtitles="gone.srt")
    refusal(PathEscape, **job, burn_subtitles="../secret.srt")
    assert "a language" in refusal(InvalidParameter, **job, burn_subtitles="two words")


def test_burned_subtitles_need_encoding(clip: Path, tmp_path: Path):
    profile = tmp_path / "copy.yaml"
    profile.write_text("version: 1\nname: copies\nvideo: {codec: copy}\n")
    job = {"source": str(clip), "output": str(tmp_path / "out"), "profile": str(profile)}
    assert "burn_subtitles" in refusal(InvalidParameter, **job, burn_subtitles="eng")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("{}", "has none of track and file"), ("{track: eng, file: x.srt}", "has track and file"),
        ("{track: 'a b'}", "allowed: a language"), ("{file: x.srt, height: 2}", "height: 2 is not allowed"),
    ],
)  # fmt: skip
def test_settings_of_subtitles_that_can_not_be_are_refused(asked: str, said: str):
    with pytest.raises(InvalidProfile) as caught:
        parse_profile(f"version: 1\nname: test\nvideo: {{burn_subtitles: {asked}}}\n", "web.yaml")
    assert said in str(caught.value)


# Tracks


def test_a_track_is_chosen_by_language_number_or_mark(hard_media: HardMedia, tmp_path: Path):
    source = prepare(hard_media("many_tracks"), tmp_path).source
    assert [(each.index, each.language) for each in source.subtitles] == [(4, "eng"), (5, "fra")]
    assert [choose_track(source, each).index for each in ("eng", "FRA", "5")] == [4, 5, 5]
    for wanted in ("deu", "default", "forced", "1"):
        with pytest.raises(InvalidWatermark, match=r"there are: 4 \(eng, subrip\); 5 \(fra, ass\)"):
            choose_track(source, wanted)


def test_a_forced_track_is_taken_only_by_its_mark_where_there_is_a_full_one(hard_media: HardMedia, tmp_path: Path):
    source = prepare(hard_media("many_tracks"), tmp_path).source
    first, second = source.subtitles
    forced = first.model_copy(update={"dispositions": ("forced",)})
    source = source.model_copy(update={"subtitles": (forced, second.model_copy(update={"language": "eng"}))})
    assert [choose_track(source, each).index for each in ("eng", "forced")] == [second.index, first.index]


def test_pictures_are_no_text(hard_media: HardMedia, tmp_path: Path):
    profile = fast_profile(burn_subtitles={"track": "eng"})
    with pytest.raises(InvalidWatermark, match="are pictures, and only text is burned in"):
        prepare(hard_media("bitmap_subtitles"), tmp_path, profile=profile)


@pytest.mark.parametrize(("track", "shown"), [("eng", [*range(25, 63), *range(100, 125)]), ("fra", [*range(25, 63)])])
def test_a_track_is_drawn_at_its_times(track: str, shown: list[int], hard_media: HardMedia, tmp_path: Path):
    source = hard_media("many_tracks")
    plain, burned = (
        np.concatenate([pixels(made.path(each)) for each in made.pieces[made.plan.video[0].id]])
        for made in (
            encoded(source, tmp_path / "plain"), encoded(source, tmp_path / "burned", burn_subtitles={"track": track})
        )
    )  # fmt: skip
    changed = [number for number, (one, other) in enumerate(zip(plain, burned, strict=True)) if (one != other).any()]
    assert changed == shown


def encoded(source: Path, folder: Path, **video: Any) -> Encoded:
    prepared = prepare(source, folder, segment_s=3, profile=fast_profile(keyframe_interval_s=0.1, crf=0, **video))
    return encode_video(prepared, folder)


# What names the job and its pieces


def test_the_key_of_a_job_names_its_subtitles_by_their_content(clip: Path, tmp_path: Path):
    one = srt_file(tmp_path, CUE, name="one.srt")
    same = srt_file(tmp_path, CUE, name="same.srt", encoding="utf-16")
    other = srt_file(tmp_path, (*CUE[:2], "other"), name="other.srt")

    def key(**fields: Any) -> str:
        return accept_job(TranscodeJob(source=str(clip), output=str(tmp_path / "out"), **fields)).key

    keys = [key(), *(key(burn_subtitles=str(each)) for each in (one, other)), key(burn_subtitles="eng")]
    assert len({*keys, key(burn_subtitles="deu")}) == 5
    assert key(burn_subtitles=str(same)) == keys[1]


def test_a_piece_is_made_anew_when_its_subtitles_change(clip: Path, tmp_path: Path):
    def keys(words: str) -> list[str]:
        prepared = with_file(clip, tmp_path, srt_file(tmp_path, (*CUE[:2], words)))
        return [
            piece_key(prepared.source, each)
            for task in prepared.plan.order
            for each in prepared.plan.encodes_of(task)[1]
        ]

    assert keys("one") == keys("one")
    assert keys("one") != keys("two")


def test_subtitles_of_another_job_are_not_taken_for_the_plans(clip: Path, tmp_path: Path):
    one = with_file(clip, tmp_path, srt_file(tmp_path, CUE))
    other = lines_of(srt_file(tmp_path, (*CUE[:2], "other")))
    workspace: Workspace = workspace_in(tmp_path / "work")
    workspace.save_subtitles(other)
    planned = one.plan.subtitles
    assert planned is not None
    with pytest.raises(StoreFailed, match="subtitles that are burned in"):
        workspace.load_subtitles(planned.digest)


def with_file(source: Path, folder: Path, subtitles: Path, segment_s: float | None = None) -> Prepared:
    return prepare(source, folder, segment_s=segment_s, profile=fast_profile(burn_subtitles={"file": str(subtitles)}))


# Cuts


def test_no_cut_is_where_lines_make_room_for_one_another(hard_media: HardMedia, tmp_path: Path):
    lines = ass_file(
        tmp_path, "0,0:00:01.00,0:00:03.00,Default,one", "0,0:00:02.00,0:00:04.00,Default,two",
        r"0,0:00:05.00,0:00:07.00,Default,three", r"0,0:00:05.50,0:00:06.50,Default,{\pos(10,10)}four",
    )  # fmt: skip
    prepared = with_file(hard_media("cfr_h264"), tmp_path, lines, segment_s=0.5)
    video = prepared.plan.video[0]
    starts_s = [float(each.start * video.time_base) for each in video.segments]
    assert [each for each in starts_s if 1 < each < 4] == []
    assert [each for each in starts_s if 5 < each < 7]


def test_a_source_whose_lines_overlap_throughout_is_not_cut(hard_media: HardMedia, tmp_path: Path):
    lines = ass_file(tmp_path, "0,0:00:00.00,0:00:09.00,Default,one", "0,0:00:00.00,0:00:09.00,Default,two")
    plan = with_file(hard_media("cfr_h264"), tmp_path, lines, segment_s=0.5).plan
    assert len(plan.video[0].segments) == 1
    assert any("make room for one another" in each for each in plan.reasons)

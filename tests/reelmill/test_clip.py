"""A clip holds the frames and the sound of its part of the source, exactly, and nothing of the rest."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelmill.errors import InvalidParameter
from reelmill.formats import FormatName
from reelmill.job import Clip
from reelmill.media.containers import open_container
from reelmill.profiles.profile import Profile
from tests.exact_frames import frames_of_pieces, without_loss
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HardMedia
from tests.pipeline import Encoded, encode_video, fast_profile, prepare, run_job

pytestmark = pytest.mark.slow


def clip(start: float | str | None, end: float | str | None) -> Clip:
    return Clip(start=None if start is None else Decimal(str(start)), end=None if end is None else Decimal(str(end)))


def encode(source: Path, folder: Path, segment_s: float, part: Clip | None = None, **video: Any) -> Encoded:
    prepared = prepare(source, folder, segment_s=segment_s, profile=fast_profile(**video), clip=part)
    return encode_video(prepared, folder / f"pieces-{segment_s}-{part is None}", without_loss)


@pytest.mark.parametrize(
    ("name", "video", "start", "end"),
    [
        ("cfr_h264", {}, None, 2.02), ("cfr_h264", {}, 2.5, None), ("vfr_mp4", {}, 1.234, 3.7),
        ("vfr_mkv", {}, 1.234, 3.7), ("negative_start_mp4", {}, None, 2.02), ("video_late_mkv", {}, 1.234, 3.7),
        ("open_gop_hevc", {"denoise": "light"}, 1.234, 3.7), ("interlaced_mbaff", {"deinterlace": "auto"}, 1.234, 3.7),
        ("vp9_altref", {}, 2.5, None), ("rotation", {"height": 120}, 1.234, 3.7),
    ],
)  # fmt: skip
def test_its_frames_are_those_of_the_source_whatever_the_cut(
    name: str, video: dict[str, Any], start: float | None, end: float | None, hard_media: HardMedia, tmp_path: Path
):
    source = hard_media(name)
    whole = encode(source, tmp_path, 1000, **video)
    made = encode(source, tmp_path, 0.9, clip(start, end), **video)
    zero_s = whole.plan.source.start_s
    first_s, last_s = Fraction(str(start or 0)) + zero_s, Fraction(str(end or 1000)) + zero_s
    wanted = [each for each in frames_of_pieces(whole, tmp_path) if first_s <= each[0] < last_s]
    assert len(wanted) > 10
    assert frames_of_pieces(made, tmp_path) == wanted
    assert len(made.plan.video[0].segments) > 1


def test_a_resampled_clip_has_a_grid_that_hangs_on_its_first_frame(hard_media: HardMedia, tmp_path: Path):
    part = clip(1.0, 3.0)
    cut, whole = (encode(hard_media("vfr_mkv"), tmp_path, each, part, frame_rate="24") for each in (0.7, 1000))
    frames = frames_of_pieces(cut, tmp_path)
    assert frames == frames_of_pieces(whole, tmp_path)
    assert whole.index is not None
    assert frames[0][0] == whole.index.first * whole.index.time_base
    assert abs(len(frames) - 48) <= 2


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds whose picture turns white, and whose sound clicks, at every whole second; and two subtitles."""
    folder = tmp_path_factory.mktemp("clicks")
    (folder / "a.srt").write_text("1\n00:00:01,500 --> 00:00:02,500\nfirst\n\n2\n00:00:03,500 --> 00:00:04,500\nnext\n")
    (folder / "late.srt").write_text("1\n00:00:09,000 --> 00:00:09,500\nlate\n")
    (folder / "chapters").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=3\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1\nSTART=3\nEND=10\ntitle=two\n"
    )
    picture = "color=black:s=160x90:r=25:d=10,geq=lum='255*lt(mod(T,1),0.04)':cb=128:cr=128"
    run_ffmpeg(
        "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "aevalsrc='0.9*lt(mod(t,1),0.01)':s=48000:d=10",
        "-i", folder / "a.srt", "-i", folder / "late.srt", "-f", "ffmetadata", "-i", folder / "chapters",
        "-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map_chapters", "4",
        "-c:v", "libx264", "-c:a", "pcm_s16le", "-c:s", "srt", folder / "clicks.mkv",
    )  # fmt: skip
    return folder / "clicks.mkv"


def starts_of_clicks(path: Path) -> list[float]:
    """Return the times of a player at which the sound clicks."""
    with open_container(path, "matroska" if path.suffix == ".mkv" else "mov") as container:
        frames = [
            (float(each.time or 0), np.abs(each.to_ndarray()[0]).astype(float)) for each in container.decode(audio=0)
        ]
    peak = max(samples.max() for _, samples in frames)
    loud = [start + i / 48000 for start, samples in frames for i in np.flatnonzero(samples > peak / 2)]
    return [each for number, each in enumerate(loud) if not number or each - loud[number - 1] > 0.5]


def white_frames(path: Path) -> list[float]:
    with open_container(path, "matroska" if path.suffix == ".mkv" else "mov") as container:
        return [float(each.time or 0) for each in container.decode(video=0) if each.to_ndarray()[:90].mean() > 200]


@pytest.mark.parametrize("format", ["mp4", "mkv"])
def test_sound_subtitles_and_chapters_are_cut_to_it_and_stay_in_time(clicks: Path, tmp_path: Path, format: FormatName):
    job = run_job(clicks, tmp_path, (format,), 1.0, clip=clip(2.02, 8.5))
    path = job.path(format)
    assert white_frames(path) == pytest.approx([0.96, 1.96, 2.96, 3.96, 4.96, 5.96], abs=0.001)
    assert starts_of_clicks(path) == pytest.approx([0.96, 1.96, 2.96, 3.96, 4.96, 5.96], abs=0.001)
    assert job.reports[format].duration_s == pytest.approx(6.48, abs=0.03)
    with open_container(path, "matroska" if format == "mkv" else "mov") as container:
        chapters = [(float(c["start"] * (c["time_base"] or 0)), c["metadata"]["title"]) for c in container.chapters()]
        shown = [
            (round(float(packet.pts * base), 3), round(float((packet.duration or 0) * base), 3))
            for packet in container.demux(container.streams.subtitles[0])
            if packet.size > 2 and packet.pts is not None and (base := packet.time_base)
        ]
        assert len(container.streams.subtitles) == 1
    assert chapters == [(0.0, "one"), (0.96, "two")]
    assert shown == [(0.0, 0.46), (1.46, 1.0)]


def test_an_audio_only_format_has_the_sound_of_the_clip(clicks: Path, tmp_path: Path):
    job = run_job(clicks, tmp_path, ("m4a",), clip=clip(2.5, 5.5))
    assert starts_of_clicks(job.path("m4a")) == pytest.approx([0.5, 1.5, 2.5], abs=0.041)
    assert job.reports["m4a"].duration_s == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (clip(20, None), "no frame of clicks.mkv begins between 20 s and its end; it lasts 10.000 s"),
        (clip(3.001, 3.01), "no frame of clicks.mkv begins between 3.001 s and 3.01 s"),
        (clip(5, 5), "clip: end 5 is not allowed; allowed: more than its start, 5"),
        (clip(-1, 5), "clip: start -1 is not allowed"),
    ],
)
def test_an_impossible_clip_is_refused(part: Clip, says: str, clicks: Path, tmp_path: Path):
    with pytest.raises(InvalidParameter, match=says.replace(".", r"\.")):
        prepare(clicks, tmp_path, clip=part)


def test_packets_can_not_be_copied_for_a_clip(clicks: Path, tmp_path: Path):
    copied = Profile.model_validate({"version": 1, "name": "as-is", "video": {"codec": "copy"}})
    with pytest.raises(InvalidParameter, match="clip: profile as-is copies the video; allowed: one that encodes it"):
        prepare(clicks, tmp_path, profile=copied, clip=clip(1, 2))


def test_what_would_be_copied_is_encoded(clicks: Path, tmp_path: Path):
    plan = prepare(clicks, tmp_path, ("mkv",), clip=clip(1, 2), copy_when_fits=True).plan
    assert plan.video[0].codec == "h264"
    assert not any(each.copies for each in plan.tracks if each.kind == "audio")


def test_pictures_are_of_the_clip(clicks: Path, tmp_path: Path):
    plan = prepare(clicks, tmp_path, clip=clip(4, 6), pictures=True).plan
    assert plan.pictures is not None
    base = plan.video[0].time_base
    assert {4 <= frame * base < 6 for each in plan.pictures.sets for frame in each.frames} == {True}
    assert all(0 <= time < 2 for each in plan.pictures.sets for time in each.times_s)

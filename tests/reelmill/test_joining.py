"""Several sources become one video that has every frame of each, once and in its time, and no gap in its sound."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelmill.errors import InvalidParameter, NoAudioStream, SourceNotFound
from reelmill.formats import FormatName
from reelmill.job import Clip, Following
from reelmill.media.containers import open_container
from tests.exact_frames import without_loss
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HardMedia
from tests.pipeline import Encoded, decoded_frames, encode_video, fast_profile, frame_times_of, prepare, run_job

pytestmark = pytest.mark.slow


def follow(*paths: Path) -> tuple[Following, ...]:
    return tuple(Following(source=str(each)) for each in paths)


def encode(sources: list[Path], folder: Path, segment_s: float, **video: Any) -> Encoded:
    prepared = prepare(
        sources[0], folder, segment_s=segment_s, profile=fast_profile(**video), append=follow(*sources[1:])
    )
    return encode_video(prepared, folder / f"pieces-{len(sources)}-{segment_s}", without_loss)


def frames_of(encoded: Encoded, folder: Path) -> list[str]:
    return [
        md5
        for piece in encoded.pieces[encoded.plan.video[0].id]
        for _, md5 in decoded_frames(encoded.path(piece), folder, "-enc_time_base", "demux")
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("cfr_h264", "vfr_mkv", "negative_start_mp4"),  # bases of 1/12800, 1/1000
        ("open_gop_hevc", "video_late_mkv"),
        ("interlaced_mbaff", "vfr_mp4"),
    ],
)
def test_every_frame_of_each_is_there_once_whatever_the_cut(
    names: tuple[str, ...], hard_media: HardMedia, tmp_path: Path
):
    sources = [hard_media(each) for each in names]
    cut, whole = (encode(sources, tmp_path, each) for each in (1.1, 1000))
    assert len(cut.plan.video[0].segments) > len(whole.plan.video[0].segments) == len(names)
    frames = frames_of(cut, tmp_path)
    assert frames == frames_of(whole, tmp_path)
    assert cut.index is not None
    assert len(frames) == len(cut.index)
    times = cut.index.times
    assert all(later > earlier for earlier, later in pairwise(times))


def test_frames_of_equal_sources_are_those_of_the_sources(hard_media: HardMedia, tmp_path: Path):
    one = hard_media("cfr_h264")
    alone = frames_of(encode([one], tmp_path, 1000), tmp_path)
    assert frames_of(encode([one, one, one], tmp_path, 1.3), tmp_path) == alone * 3


@pytest.fixture(scope="module")
def beeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Videos whose picture turns white, and whose sound clicks, half a second after each whole second."""
    folder = tmp_path_factory.mktemp("beeps")

    def make(name: str, seconds: float, rate: str, size: str, audio: str, options: tuple[str, ...] = ()) -> Path:
        picture = f"color=black:s={size}:r={rate}:d={seconds},geq=lum='255*between(mod(T,1),0.499,0.539)':cb=128:cr=128"
        sound = f"aevalsrc='0.9*between(mod(t,1),0.5,0.51)':s={audio}:d={seconds}"
        run_ffmpeg(
            "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-c:v", "libx264", "-preset", "ultrafast",
            "-pix_fmt", "yuv420p", *options, folder / name,
        )  # fmt: skip
        return folder / name

    made = {
        "a": make("a.mp4", 3.2, "25", "320x180", "48000"),
        "b": make("b.mkv", 2.6, "30000/1001", "160x160", "22050", ("-c:a", "pcm_s16le")),
        "c": make("c.mp4", 4.0, "50", "640x360", "44100", ("-ac", "2")),
        "silent": make("silent.mp4", 2.0, "25", "320x180", "48000", ("-an",)),
    }
    run_ffmpeg("-i", made["a"], "-vn", "-c:a", "copy", folder / "sound.m4a")
    return {**made, "sound": folder / "sound.m4a"}


def clicks(path: Path) -> list[float]:
    with open_container(path, "matroska" if path.suffix == ".mkv" else "mov") as container:
        frames = [(float(each.time or 0), np.abs(each.to_ndarray()[0])) for each in container.decode(audio=0)]
        rate = container.streams.audio[0].sample_rate
    peak = max(samples.max() for _, samples in frames)
    loud = [start + i / rate for start, samples in frames for i in np.flatnonzero(samples > peak / 2)]
    return [each for number, each in enumerate(loud) if not number or each - loud[number - 1] > 0.3]


def flashes(path: Path) -> list[float]:
    with open_container(path, "matroska" if path.suffix == ".mkv" else "mov") as container:
        white = [
            float(each.time or 0)
            for each in container.decode(video=0)
            if each.to_ndarray()[: each.height].astype(float)[:, each.width // 2 - 20 : each.width // 2 + 20].mean()
            > 200
        ]
    return [each for number, each in enumerate(white) if not number or each - white[number - 1] > 0.3]


@pytest.mark.parametrize(("format", "video"), [("mp4", {}), ("mkv", {"frame_rate": "24"})])
def test_sound_stays_with_the_picture_across_sizes_rates_and_layouts(
    format: FormatName, video: dict[str, Any], beeps: dict[str, Path], tmp_path: Path
):
    job = run_job(
        beeps["a"], tmp_path, (format,), 1.0, fast_profile(**video),
        append=follow(beeps["silent"], beeps["b"], beeps["c"], beeps["a"]),
    )  # fmt: skip
    heard, seen = clicks(job.path(format)), flashes(job.path(format))
    silent_s = [each for each in seen if 3.2 < each < 5.1]
    with_sound = [each for each in seen if each not in silent_s]
    assert len(silent_s) == 2
    assert len(with_sound) == len(heard) == 3 + 3 + 4 + 3
    assert max(abs(a - b) for a, b in zip(heard, with_sound, strict=True)) < 0.045
    report = job.reports[format]
    assert report.width, report.height == (320, 180)
    assert report.duration_s == pytest.approx(3.2 + 2.0 + 2.6 + 4.0 + 3.2, abs=0.1)
    assert report.frames == len(frame_times_of(job.plan.video[0], job.encoded.index))


def test_clips_of_sources_are_joined(beeps: dict[str, Path], tmp_path: Path):
    part = Following(source=str(beeps["c"]), clip=Clip(start=Decimal(1), end=Decimal("2.5")))
    job = run_job(
        beeps["a"], tmp_path, ("mp4", "m4a"), clip=Clip(start=None, end=Decimal("1.2")), append=(part,)
    )  # fmt: skip
    assert job.reports["mp4"].frames == 30 + 75
    assert flashes(job.path("mp4")) == pytest.approx([0.52, 1.7], abs=0.021)
    assert clicks(job.path("mp4")) == pytest.approx([0.5, 1.7], abs=0.002)
    assert clicks(job.path("m4a")) == pytest.approx([0.5, 1.7], abs=0.045)


def test_sound_alone_is_joined(beeps: dict[str, Path], tmp_path: Path):
    job = run_job(beeps["sound"], tmp_path, ("m4a",), append=follow(beeps["c"]))
    assert clicks(job.path("m4a")) == pytest.approx([0.5, 1.5, 2.5, 3.7, 4.7, 5.7, 6.7], abs=0.07)


def test_a_small_picture_is_put_into_the_middle_of_the_first_ones(beeps: dict[str, Path], tmp_path: Path):
    plan = prepare(beeps["a"], tmp_path, append=follow(beeps["b"], beeps["c"])).plan
    assert [each.video[0].bars for each in plan.parts] == [(0, 0, 0, 0), (70, 0, 70, 0), (0, 0, 0, 0)]
    assert [(each.video[0].width, each.video[0].height) for each in plan.parts] == [(320, 180), (180, 180), (320, 180)]
    assert {each.video[0].size for each in plan.parts} == {(320, 180)}
    assert plan.video[0].time_base == Fraction(1, 64000)


def test_a_clock_and_windows_of_overlays_count_from_the_start_of_the_result(beeps: dict[str, Path], tmp_path: Path):
    overlays = [{"text": "only in the second", "start_s": 3.5, "end_s": 5.0}, {"clock": True}]
    job = run_job(
        beeps["a"], tmp_path, ("mp4",), 1.0, fast_profile(crf=0, overlays=overlays), append=follow(beeps["b"])
    )  # fmt: skip
    plain = run_job(beeps["a"], tmp_path / "plain", ("mp4",), 1.0, fast_profile(crf=0, overlays=overlays[1:]),
                    append=follow(beeps["b"]))  # fmt: skip
    with_text = decoded_frames(job.path("mp4"), tmp_path)
    without = decoded_frames(plain.path("mp4"), tmp_path)
    differ = [float(a[0]) for a, b in zip(with_text, without, strict=True) if a[1] != b[1]]
    assert min(differ) == pytest.approx(3.5, abs=0.05)
    assert max(differ) < 5.0


@pytest.mark.parametrize(
    ("first", "then", "kind", "says"),
    [
        ("a", "sound", InvalidParameter, "append: sound.m4a has no video, and others have"),
        ("a", "gone", SourceNotFound, "there is no file"),
    ],
)
def test_what_does_not_go_together_is_refused(
    first: str, then: str, kind: type[Exception], says: str, beeps: dict[str, Path], tmp_path: Path
):
    with pytest.raises(kind, match=says):
        prepare(beeps[first], tmp_path, append=follow(beeps.get(then, tmp_path / "gone.mp4")))


def test_sound_can_not_be_joined_to_what_has_none(beeps: dict[str, Path], tmp_path: Path):
    with pytest.raises(NoAudioStream, match=r"silent\.mp4 has neither sound nor picture"):
        prepare(beeps["sound"], tmp_path, ("m4a",), append=follow(beeps["silent"]))


def test_hdr_and_sdr_are_joined_only_when_tone_mapped(hard_media: HardMedia, beeps: dict[str, Path], tmp_path: Path):
    sources = [hard_media("hdr10"), beeps["a"]]
    with pytest.raises(InvalidParameter, match=r"is HDR and a\.mp4 is not; allowed: `tone_map: auto`"):
        prepare(sources[0], tmp_path, append=follow(sources[1]))
    made = encode(sources, tmp_path, 1000, tone_map="auto", pixel_format="yuv420p")
    assert len({each.parameter_sets for each in made.pieces[made.plan.video[0].id]}) == 1


def test_what_is_not_made_of_joined_sources_is_refused(beeps: dict[str, Path], tmp_path: Path):
    with pytest.raises(InvalidParameter, match="append: no pictures are taken of joined sources"):
        prepare(beeps["a"], tmp_path, append=follow(beeps["c"]), pictures=True)
    with pytest.raises(InvalidParameter, match="append: no subtitles are burned into joined sources"):
        prepare(beeps["a"], tmp_path, append=follow(beeps["c"]), burn_subtitles="eng")

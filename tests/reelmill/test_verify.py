"""An output that is not what was planned is found out; what is in a good one is read by PyAV alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame

from reelmill.encoding.mux_commands import join_list_text, metadata_text, mux_argv
from reelmill.errors import VerifyFailed
from reelmill.formats import FormatName
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HardMedia
from tests.pipeline import Finished, fast_profile, merge, run_job, verify

pytestmark = pytest.mark.slow

ULTRAFAST: tuple[FormatName, ...] = ("mp4", "mov", "mkv", "flv", "avi")
FIVE_PIECES_S = 1.7
TWO_PIECES_S = 4.1

Tamper = Callable[[list[str]], list[str]]


@dataclass(frozen=True, repr=False)
class Jobs:
    """One source of 200 frames in every video format, in pieces of 40 frames, and the same of another source."""

    good: Finished
    webm: Finished
    foreign: Finished

    def of(self, format: FormatName) -> Finished:
        return self.webm if format == "webm" else self.good


@pytest.fixture(scope="session")
def jobs(hard_media: HardMedia, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    folder, source, fast = tmp_path_factory.mktemp("jobs"), hard_media("cfr_h264"), fast_profile()
    return Jobs(
        good=run_job(source, folder / "good", ULTRAFAST, FIVE_PIECES_S, fast),
        webm=run_job(source, folder / "webm", ("webm",), FIVE_PIECES_S, fast_profile(codec="vp9", preset="8")),
        foreign=run_job(hard_media("flv_h264"), folder / "foreign", ("mp4",), FIVE_PIECES_S, fast_profile(height=90)),
    )


@pytest.mark.parametrize("format", [*ULTRAFAST, "webm"])
def test_good_output_passes_with_every_check(format: FormatName, jobs: Jobs):
    report = verify(jobs.of(format), format)
    names = ["streams", "frames", "times", "picture", "colour", "joins", "pieces", "audio offset 1"]
    assert [each.name for each in report.checks] == names
    assert all(each.passed for each in report.checks)
    assert (report.frames, report.width, report.height) == (200, 320, 180)
    assert "4 decoded" in next(each.found for each in report.checks if each.name == "joins")


def pieces_of(list_text: str) -> list[str]:
    """The entries of a join list, one for each piece."""
    return ["file" + entry for entry in list_text.split("file")[1:]]


def without_third(entries: list[str]) -> list[str]:
    return [*entries[:2], *entries[3:]]


def without_last(entries: list[str]) -> list[str]:
    return entries[:-1]


def with_two_swapped(entries: list[str]) -> list[str]:
    return [entries[0], entries[2], entries[1], *entries[3:]]


def with_third_doubled(entries: list[str]) -> list[str]:
    return [*entries[:3], *entries[2:]]


def with_third_in_place_of_fourth(entries: list[str]) -> list[str]:
    return [*entries[:3], entries[2], *entries[4:]]


@pytest.mark.parametrize("format", ["mp4", "mkv", "avi", "webm"])
@pytest.mark.parametrize(
    "tamper",
    [without_third, without_last, with_two_swapped, with_third_doubled, with_third_in_place_of_fourth],
    ids=lambda tamper: tamper.__name__,
)
def test_tampered_join_list_is_found_out(tamper: Tamper, format: FormatName, jobs: Jobs, tmp_path: Path):
    """All pieces are of one length, so that times alone would not tell one from another."""
    job = jobs.of(format)
    assert len({each.frames for each in job.plan.rendition(_video(job, format)).segments}) == 1
    with pytest.raises(VerifyFailed):
        verify(job, format, muxed(job, format, tmp_path, tamper))


@pytest.mark.parametrize("format", ["mp4", "mkv", "avi"])
def test_piece_of_another_source_is_found_out(format: FormatName, jobs: Jobs, hard_media: HardMedia, tmp_path: Path):
    """It is like ours in everything but its pictures: codec, parameter sets, size, rate and length."""
    negative = tmp_path / "negative.mp4"
    run_ffmpeg("-i", hard_media("cfr_h264"), "-vf", "negate", "-preset", "ultrafast", "-c:a", "copy", negative)
    other = run_job(negative, tmp_path / "other", (format,), FIVE_PIECES_S, fast_profile())
    theirs = other.encoded.path(other.encoded.pieces[_video(other, format)][2])

    def with_a_foreign_third(entries: list[str]) -> list[str]:
        lines = entries[2].splitlines()
        return [*entries[:2], "\n".join([f"file '{theirs}'", *lines[1:], ""]), *entries[3:]]

    with pytest.raises(VerifyFailed):
        verify(jobs.good, format, muxed(jobs.good, format, tmp_path, with_a_foreign_third))


def test_empty_place_in_an_avi_is_found_out(jobs: Jobs, tmp_path: Path):
    good, holed = jobs.good.path("avi"), tmp_path / "holed.avi"
    assert places_in(good) == [*range(200)]
    run_ffmpeg("-itsoffset", "0.04", "-i", good, "-i", good, "-map", "0:v", "-map", "1:a", "-c", "copy", holed)
    assert places_in(holed) == [0, *range(2, 201)]
    with pytest.raises(VerifyFailed, match="times: monotonic; largest difference 40"):
        verify(jobs.good, "avi", holed)


def places_in(avi: Path) -> list[int | None]:
    """Where the frames of an AVI are among all places of its video, counted by the reader; empty ones it leaves out."""
    with av.open(avi) as container:
        return [each.dts for each in container.demux(video=0) if each.size]


@pytest.mark.parametrize("format", ["mp4", "mkv", "flv"])
@pytest.mark.parametrize("shift_s", [0.2, -0.2])
def test_shifted_sound_is_found_out(shift_s: float, format: FormatName, jobs: Jobs, tmp_path: Path):
    with pytest.raises(VerifyFailed, match="audio offset 1"):
        verify(jobs.good, format, muxed(jobs.good, format, tmp_path, shift_s=shift_s))


@pytest.mark.parametrize("format", [*ULTRAFAST, "webm"])
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_truncated_output_is_found_out(share: float, format: FormatName, jobs: Jobs, tmp_path: Path):
    whole = jobs.of(format).path(format).read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(VerifyFailed):
        verify(jobs.of(format), format, cut)


@pytest.mark.parametrize(("number", "is_first", "check"), [(80, True, "joins"), (60, False, "pieces")])
def test_damage_is_found_out_wherever_it_is(number: int, is_first: bool, check: str, jobs: Jobs, tmp_path: Path):
    path = jobs.good.path("mp4")
    with av.open(path) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        assert packet.is_keyframe == is_first
        position = packet.pos or 0
    damaged = bytearray(path.read_bytes())
    # Behind the SEI unit: half of the picture.
    half = packet.size // 2
    damaged[position + half : position + packet.size] = bytes(packet.size - half)
    (tmp_path / "damaged.mp4").write_bytes(damaged)
    with pytest.raises(VerifyFailed, match=f" {check}: "):
        verify(jobs.good, "mp4", tmp_path / "damaged.mp4")


def test_output_of_another_size_is_found_out(jobs: Jobs):
    with pytest.raises(VerifyFailed, match=r"picture: 160x90, .* planned 320x180"):
        verify(jobs.good, "mp4", jobs.foreign.path("mp4"))


def test_output_without_its_sound_is_found_out(jobs: Jobs, tmp_path: Path):
    run_ffmpeg("-i", jobs.good.path("mp4"), "-map", "0:v", "-c", "copy", tmp_path / "silent.mp4")
    with pytest.raises(VerifyFailed, match="streams"):
        verify(jobs.good, "mp4", tmp_path / "silent.mp4")


def test_merge_refuses_pieces_that_are_not_those_of_the_plan(jobs: Jobs):
    name = _video(jobs.good, "mp4")
    pieces = jobs.good.encoded.pieces[name]
    before = jobs.good.path("mp4").read_bytes()
    for wrong in (pieces[1:], [*pieces, pieces[0]], [pieces[0], pieces[0], *pieces[2:]]):
        with pytest.raises(VerifyFailed, match="not those of the plan"):
            merge(jobs.good, "mp4", {name: wrong})
    assert jobs.good.path("mp4").read_bytes() == before


def test_merge_goes_by_the_plan_whatever_the_order_of_the_records(jobs: Jobs, tmp_path: Path):
    name = _video(jobs.good, "mkv")
    backwards = {name: jobs.good.encoded.pieces[name][::-1]}
    encoded = replace(jobs.good.encoded, pieces=backwards)
    merge(replace(jobs.good, encoded=encoded), "mkv")
    assert verify(jobs.good, "mkv").frames == 200


def muxed(
    job: Finished, format: FormatName, folder: Path, tamper: Tamper = lambda entries: entries, shift_s: float = 0
) -> Path:
    """Mux an output anew into `folder`, of a join list that `tamper` changed and of tracks moved by `shift_s`."""
    output = next(each for each in job.plan.outputs if each.format == format)
    video = job.plan.rendition(_video(job, format))
    files = [job.encoded.path(each) for each in job.encoded.pieces[video.id]]
    entries = pieces_of(join_list_text(video, files))
    # Absolute names: the list lies elsewhere. The last piece has no duration, which only the last may lack.
    entries = [each.replace("file '", f"file '{job.encoded.workspace.cache}/") for each in entries]
    join_list, tags = folder / "list.ffconcat", folder / "tags"
    join_list.write_text("ffconcat version 1.0\n" + "".join(tamper(entries)))
    tags.write_text(metadata_text(job.plan.source))
    tracks = []
    for name in output.tracks:
        made = job.encoded.path(job.tracks[name])
        moved = folder / f"{name}{made.suffix}"
        offset = ("-itsoffset", str(shift_s)) if shift_s >= 0 else ("-ss", str(-shift_s))
        run_ffmpeg(*offset, "-i", made, "-c", "copy", "-strict", "unofficial", moved)
        tracks.append((job.plan.track(name), moved if shift_s else made))
    out = folder / f"tampered.{format}"
    run_ffmpeg(
        *mux_argv(
            "ffmpeg", job.plan.source, None, output,
            video=video, join_list=join_list, tracks=tracks, metadata=tags, out=out,
        )[1:]
    )  # fmt: skip
    return out


def test_untampered_list_passes_by_the_same_way(jobs: Jobs, tmp_path: Path):
    assert verify(jobs.good, "mp4", muxed(jobs.good, "mp4", tmp_path)).frames == 200


def _video(job: Finished, format: FormatName) -> str:
    name = next(each.video for each in job.plan.outputs if each.format == format)
    assert name is not None
    return name


@pytest.fixture(scope="session")
def many_tracks(hard_media: HardMedia, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("many_tracks")
    return run_job(hard_media("many_tracks"), folder, ("mp4", "mov", "mkv", "avi"), TWO_PIECES_S, fast_profile())


@pytest.mark.parametrize("format", ["mp4", "mov", "mkv", "avi"])
def test_all_audio_tracks_are_kept_in_order(format: FormatName, many_tracks: Finished):
    frequencies = [loudest_hz(many_tracks.path(format), number) for number in range(3)]
    assert frequencies == [pytest.approx(hz, abs=5) for hz in (330, 440, 550)]


@pytest.mark.parametrize("format", ["mp4", "mov", "mkv"])
def test_languages_are_kept(format: FormatName, many_tracks: Finished):
    """AVI has no place for them that ffmpeg would write to; QuickTime has another code for German."""
    german = "ger" if format == "mov" else "deu"
    with av.open(many_tracks.path(format)) as container:
        assert [each.metadata.get("language") for each in container.streams.audio] == ["eng", german, "fra"]


def loudest_hz(path: Path, track: int) -> float:
    with av.open(path) as container:
        frames = [each.to_ndarray()[0] for each in container.decode(audio=track)]
        rate = container.streams.audio[track].rate
    sound = numpy.concatenate(frames)
    return float(numpy.argmax(numpy.abs(numpy.fft.rfft(sound)))) * rate / len(sound)


@pytest.mark.parametrize("format", ["mp4", "mov", "mkv"])
def test_track_titles_are_kept(format: FormatName, many_tracks: Finished):
    with av.open(many_tracks.path(format)) as container:
        titles = [each.metadata.get("title") or each.metadata.get("name") for each in container.streams.audio]
    assert titles == ["Main", "Kommentar", "Son d'ambiance"]


@pytest.mark.parametrize("format", ["mp4", "mov", "mkv", "avi"])
def test_title_is_kept(format: FormatName, many_tracks: Finished):
    with av.open(many_tracks.path(format)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    assert tags["title"] == "A Hard Title; with = and # inside"
    assert tags["artist"] == "Réal Müller"


@pytest.mark.parametrize("format", ["mp4", "mov", "mkv"])
def test_chapters_are_kept(format: FormatName, many_tracks: Finished):
    with av.open(many_tracks.path(format)) as container:
        chapters = [
            (each["start"] * base, each["end"] * base, each["metadata"].get("title"))
            for each in container.chapters()
            for base in [each["time_base"] or Fraction(1)]
        ]
    assert chapters == [(0, Fraction(7, 2), "Opening"), (Fraction(7, 2), 8, "Ending")]


@pytest.mark.parametrize(
    ("format", "codecs"), [("mp4", ["mov_text", "mov_text"]), ("mov", ["mov_text"] * 2), ("mkv", ["subrip", "ass"])]
)
def test_subtitles_are_kept_in_what_the_container_holds(format: FormatName, codecs: list[str], many_tracks: Finished):
    with av.open(many_tracks.path(format)) as container:
        streams = container.streams.subtitles[:2]
        assert [each.codec_context.codec.canonical_name for each in streams] == codecs
        assert [each.metadata.get("language") for each in streams] == ["eng", "fra"]
        packets = [packet for packet in container.demux(*streams) if packet.size > 2]
        first = {each.index: Fraction(0) for each in streams}
        for packet in reversed(packets):
            first[packet.stream_index] = (packet.pts or 0) * (packet.time_base or Fraction(1))
        texts = b" ".join(bytes(packet) for packet in packets).decode(errors="replace")  # styles are bytes
    assert list(first.values()) == [1, 1]
    assert [text for text in ("First line", "Second line with", "Première ligne") if text not in texts] == []


def test_webm_gets_webvtt(hard_media: HardMedia, tmp_path: Path):
    job = run_job(hard_media("many_tracks"), tmp_path, ("webm",), 8, fast_profile(codec="vp9", preset="8", height=90))
    with av.open(job.path("webm")) as container:
        assert [each.codec_context.codec.canonical_name for each in container.streams.subtitles] == ["webvtt", "webvtt"]
        assert [each.metadata.get("language") for each in container.streams.audio] == ["eng", "deu", "fra"]
        assert container.metadata["title"] == "A Hard Title; with = and # inside"


def first_frame(path: Path) -> VideoFrame:
    with av.open(path) as container:
        return next(container.decode(video=0))


def test_rotation_is_baked_in(hard_media: HardMedia, tmp_path: Path):
    job = run_job(hard_media("rotation"), tmp_path, ("mp4", "mkv", "flv"), TWO_PIECES_S, fast_profile())
    for format in ("mp4", "mkv", "flv"):
        frame = first_frame(job.path(format))
        assert (frame.width, frame.height, frame.rotation) == (180, 320, 0), format


def test_shape_of_pixels_is_kept(hard_media: HardMedia, tmp_path: Path):
    job = run_job(hard_media("sar"), tmp_path, ULTRAFAST, TWO_PIECES_S, fast_profile())
    for format in ULTRAFAST:
        with av.open(job.path(format)) as container:
            shape = container.streams.video[0].sample_aspect_ratio or Fraction(1)
        assert shape == Fraction(4, 3), format


def colour_of(path: Path) -> tuple[int, ...]:
    """Range, primaries, transfer and matrix, as the decoder reports them."""
    with av.open(path) as container:
        codec = container.streams.video[0].codec_context
        next(container.decode(video=0))
        return tuple(
            int(each) for each in (codec.color_range, codec.color_primaries, codec.color_trc, codec.colorspace)
        )


def test_full_range_and_colour_tags_are_kept(hard_media: HardMedia, tmp_path: Path):
    job = run_job(hard_media("full_range"), tmp_path, ULTRAFAST, TWO_PIECES_S, fast_profile())
    source = colour_of(hard_media("full_range"))
    assert (source[0], source[3]) == (2, 1)
    assert {format: colour_of(job.path(format)) for format in ULTRAFAST} == dict.fromkeys(ULTRAFAST, source)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_hdr10_is_kept_whole(codec: str, hard_media: HardMedia, tmp_path: Path):
    formats: tuple[FormatName, ...] = ("mp4", "mkv")
    job = run_job(hard_media("hdr10"), tmp_path, formats, TWO_PIECES_S, fast_profile(codec=codec))
    source = side_data(hard_media("hdr10"))
    assert len(source) == 2
    for format in formats:
        assert colour_of(job.path(format)) == (1, 9, 16, 9), format
        assert first_frame(job.path(format)).format.name == "yuv420p10le", format
        assert side_data(job.path(format)) == source, format


def side_data(path: Path) -> dict[str, bytes]:
    """The static HDR metadata of the first frame, byte for byte."""
    kinds = (SideData.MASTERING_DISPLAY_METADATA, SideData.CONTENT_LIGHT_LEVEL)
    found: list[Any] = list(first_frame(path).side_data)
    return {each.type.name: bytes(each) for each in found if each.type in kinds}


@pytest.mark.parametrize("name", ["interlaced_mbaff", "interlaced_mpeg2"])
def test_interlaced_picture_stays_flagged(name: str, hard_media: HardMedia, tmp_path: Path):
    formats: tuple[FormatName, ...] = ("mp4", "mkv")
    job = run_job(hard_media(name), tmp_path, formats, TWO_PIECES_S, fast_profile())
    for format in formats:
        assert all(fields_of(job.path(format))), format


def fields_of(path: Path) -> list[Any]:
    with av.open(path) as container:
        return [frame.interlaced_frame for frame in container.decode(video=0)]

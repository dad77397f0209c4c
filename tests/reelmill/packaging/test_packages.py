"""Packages of real clips: every rendition, by every way into it, has the frames and the times of its pieces."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import m3u8
import pytest

from reelmill.errors import VerifyFailed
from reelmill.packaging import making
from reelmill.packaging.packaged import Packaged, Part
from reelmill.profiles.profile import Profile
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HardMedia
from tests.packages import (
    SEGMENT_S,
    PackageJob,
    make_packaged,
    make_talk,
    package,
    prepare_package,
    shown_frames,
    streaming_profile,
)
from tests.pipeline import decoded_frames, encode_video, frame_times_of

SECONDS = 9
FRAMES = SECONDS * 25
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> PackageJob:
    """Two rungs of a film with two languages, in files."""
    folder = tmp_path_factory.mktemp("package")
    talk = make_talk(folder / "talk.mkv", seconds=SECONDS, size="384x216")
    return make_packaged(talk, folder, streaming_profile(360, 216, 144))


@pytest.fixture(scope="module")
def in_ranges(job: PackageJob, tmp_path_factory: pytest.TempPathFactory) -> PackageJob:
    return package(job.encoded, tmp_path_factory.mktemp("ranges"), in_ranges=True)


@pytest.fixture(params=["job", "in_ranges"])
def either(request: pytest.FixtureRequest) -> PackageJob:
    return request.getfixturevalue(request.param)


def frames_of_pieces(job: PackageJob, rung: str, folder: Path) -> list[tuple[Fraction, str]]:
    """The frames of the encoded pieces laid end to end, at the times of the source's, counted from the first."""
    video = job.encoded.plan.rendition(rung)
    records = sorted(job.encoded.pieces[rung], key=lambda record: record.segment)
    pictures = [md5 for record in records for _, md5 in decoded_frames(job.encoded.path(record), folder)]
    times = frame_times_of(video, job.encoded.index)
    return [((time - times[0]) * video.time_base, md5) for time, md5 in zip(times, pictures, strict=True)]


def playlist(job: PackageJob, name: str) -> Any:
    """What an independent parser reads."""
    return m3u8.load(str(job.folder / name))


def bytes_of(job: PackageJob, folder: str, part: Part) -> bytes:
    content = (job.folder / folder / part.file_name).read_bytes()
    return content[part.offset : part.offset + part.size_bytes]


def near(frames: list[tuple[Fraction, str]], late_s: float = 0.0) -> list[tuple[object, str]]:
    """The frames with times that may be rounded, `late_s` later."""
    return [(pytest.approx(float(time) + late_s, abs=2e-4), md5) for time, md5 in frames]


def test_the_ladder_has_no_rung_above_the_source(job: PackageJob):
    assert job.rungs == ["h264-216p", "h264-144p"]


@pytest.mark.parametrize("entry", ["playlist.m3u8", "manifest.mpd"])
def test_every_rung_shows_the_frames_of_its_pieces(either: PackageJob, entry: str, tmp_path: Path):
    for number, rung in enumerate(either.rungs):
        path = either.folder / (entry if entry.endswith("mpd") else f"{rung}/{entry}")
        shown = shown_frames(path, f"v:{number}" if entry.endswith("mpd") else "v:0")
        assert shown == near(frames_of_pieces(either, rung, tmp_path))
        assert len(shown) == FRAMES


def test_the_master_playlist_leads_to_every_rung_and_every_track(either: PackageJob):
    master = playlist(either, "master.m3u8")
    assert [each.uri for each in master.playlists] == [f"{rung}/playlist.m3u8" for rung in either.rungs]
    assert [(each.type, each.language, each.default) for each in master.media] == [
        ("AUDIO", "en", "YES"), ("AUDIO", "de", "NO"), ("SUBTITLES", "en", "YES"), ("SUBTITLES", "de", "NO"),
    ]  # fmt: skip
    for variant in master.playlists:
        info = variant.stream_info
        with av.open(str(either.folder / variant.uri)) as opened:
            assert info.resolution == (opened.streams.video[0].width, opened.streams.video[0].height)
        assert (info.frame_rate, info.audio, info.subtitles) == (25.0, "audio", "subtitles")
        assert info.codecs.startswith("avc1.")
        assert info.codecs.endswith(",mp4a.40.2")
        assert info.average_bandwidth <= info.bandwidth
    assert [each.uri for each in master.iframe_playlists] == [f"{rung}/keyframes.m3u8" for rung in either.rungs]


def test_the_bandwidth_is_that_of_the_largest_segments(job: PackageJob):
    def segments(uri: str) -> list[float]:
        listed = playlist(job, uri).segments
        sizes = ((job.folder / uri).parent.joinpath(each.uri).stat().st_size for each in listed)
        return [8 * size / each.duration for size, each in zip(sizes, listed, strict=True) if each.duration > 1.5]

    master = playlist(job, "master.m3u8")
    sound = max(max(segments(each.uri)) for each in master.media if each.type == "AUDIO")
    for variant in master.playlists:
        assert variant.stream_info.bandwidth == pytest.approx(max(segments(variant.uri)) + sound, rel=0.05)


def test_segments_begin_with_a_keyframe_at_the_same_times_in_every_rung(either: PackageJob):
    for rung, video in zip(either.rungs, either.made.package.videos, strict=True):
        listed = playlist(either, f"{rung}/playlist.m3u8")
        assert [each.duration for each in listed.segments] == [2, 2, 2, 2, 1]
        assert listed.target_duration == SEGMENT_S
        init = bytes_of(either, rung, video.packaged.init)
        starts: list[float] = []
        for part in video.packaged.parts:
            alone = either.folder.parent / "alone.mp4"
            alone.write_bytes(init + bytes_of(either, rung, part))
            with av.open(str(alone)) as opened:
                packets = [packet for packet in opened.demux(video=0) if packet.size]
                starts.append(float(min(packet.pts or 0 for packet in packets) * (packets[0].time_base or 0)))
                assert [packet.is_keyframe for packet in packets] == [True] + [False] * (len(packets) - 1)
        assert starts == [0, 2, 4, 6, 8]


def test_the_keyframes_can_be_fetched_and_decoded_alone(either: PackageJob):
    for rung in either.rungs:
        listed = playlist(either, f"{rung}/keyframes.m3u8")
        assert listed.is_i_frames_only
        assert [each.duration for each in listed.segments] == [2, 2, 2, 2, 1]
        pictures = [md5 for _, md5 in shown_frames(either.folder / rung / "keyframes.m3u8")]
        whole = dict(shown_frames(either.folder / rung / "playlist.m3u8"))
        assert pictures == [whole[Fraction(second)] for second in (0, 2, 4, 6, 8)]


def test_sound_of_every_language_is_whole_and_starts_with_the_picture(either: PackageJob, tmp_path: Path):
    for track in either.made.package.audio:
        entry = either.folder / track.packaged.id / "playlist.m3u8"
        samples = tmp_path / "sound.f32"
        run_ffmpeg("-i", entry, "-ac", "1", "-f", "f32le", samples)
        content = memoryview(samples.read_bytes()).cast("f")
        assert len(content) == pytest.approx(SECONDS * 48_000, abs=1024)
        assert max(map(abs, content[:480])) > 0.01


def test_text_is_one_file_of_webvtt_for_each_language(either: PackageJob):
    for track, language in zip(either.made.package.subtitles, ("eng", "deu"), strict=True):
        text = (either.folder / track.id / "subtitles.vtt").read_text()
        assert text.startswith("WEBVTT\n")
        assert "00:03.000 --> 00:03.900\n" + f"{language} 3\n" in text
        [segment] = playlist(either, f"{track.id}/playlist.m3u8").segments
        assert (segment.uri, segment.duration) == ("subtitles.vtt", pytest.approx(SECONDS, abs=0.1))


def test_the_index_of_a_file_leads_to_every_segment(in_ranges: PackageJob):
    """The sidx box is read by the book here: ISO/IEC 14496-12, 8.16.3."""
    root = ElementTree.parse(in_ranges.folder / "manifest.mpd").getroot()
    space = {"d": "urn:mpeg:dash:schema:mpd:2011"}
    for each in root.iterfind(".//d:AdaptationSet[@contentType='video']/d:Representation", space):
        base = each.find("d:SegmentBase", space)
        assert base is not None
        first, last = map(int, base.attrib["indexRange"].split("-"))
        content = (in_ranges.folder / str(each.findtext("d:BaseURL", namespaces=space))).read_bytes()
        size, kind = struct.unpack_from(">I4s", content, first)
        assert (size, kind) == (last - first + 1, b"sidx")
        skipped, count = struct.unpack_from(">Q2xH", content, first + 28)
        rows = [struct.unpack_from(">III", content, first + 40 + 12 * row) for row in range(count)]
        offsets = list(accumulate((row[0] for row in rows), initial=first + size + skipped))
        assert [content[offset + 4 : offset + 8] for offset in offsets[:-1]] == [b"moof"] * count
        assert offsets[-1] == len(content)
        assert {row[2] for row in rows} == {0x90000000}


def test_the_report_names_every_file(either: PackageJob):
    there = {path.relative_to(either.folder).as_posix() for path in either.folder.rglob("*") if path.is_file()}
    assert {each.file_name for each in either.report.files} == there
    assert either.report.size_bytes == sum((either.folder / each).stat().st_size for each in there)
    assert either.report.frames == FRAMES
    assert [each.name for each in either.report.checks] == [
        "streams", "frames", "times", "picture", "colour", "joins", "pieces", "segments", "audio offset 1", "cues",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda content: content[:-9], "frames"),
        (lambda content: content[:-200] + bytes(100) + content[-100:], "piece"),
    ],
)
def test_a_segment_that_was_harmed_is_found(
    job: PackageJob, harm: Callable[[bytes], bytes], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def harmed(*args: Any, **options: Any) -> Packaged:
        laid_out = original(*args, **options)
        path = next(Path(tmp_path).rglob("h264-144p")) / "00003.m4s" if laid_out.id == "h264-144p" else None
        if path is not None:
            path.write_bytes(harm(path.read_bytes()))
        return laid_out

    original = making.lay_out
    monkeypatch.setattr(making, "lay_out", harmed)
    with pytest.raises(VerifyFailed, match=f"h264-144p: .*{said}"):
        package(job.encoded, tmp_path)


@pytest.mark.parametrize("name", ["vfr_mp4", "video_late", "audio_late", "ts_late", "sar", "gap", "audio_51"])
def test_times_of_hard_sources_are_kept(name: str, tmp_path: Path, hard_media: HardMedia):
    job = make_packaged(hard_media(name), tmp_path, streaming_profile(90))
    [rung] = job.rungs
    source = job.encoded.plan.source
    assert source.video is not None
    assert source.video.start_s is not None
    late_s = float(source.video.start_s - source.start_s) if source.audio else 0.0
    pieces = near(frames_of_pieces(job, rung, tmp_path), late_s)
    assert shown_frames(job.folder / rung / "playlist.m3u8") == pieces
    assert shown_frames(job.folder / "manifest.mpd") == pieces


def test_hevc_is_packaged_too_and_says_what_it_is(tmp_path: Path, hard_media: HardMedia):
    video = {"codec": "hevc", "preset": "ultrafast"}
    job = make_packaged(hard_media("hdr10"), tmp_path, streaming_profile(90, video=video))
    [rung] = job.rungs
    assert shown_frames(job.folder / rung / "playlist.m3u8") == near(frames_of_pieces(job, rung, tmp_path))
    info = playlist(job, "master.m3u8").playlists[0].stream_info
    assert info.codecs.split(",")[0].startswith("hvc1.2.4.L")
    assert info.video_range == "PQ"


def test_sound_alone_is_packaged_as_sound(tmp_path: Path):
    sound = tmp_path / "sound.m4a"
    run_ffmpeg("-f", "lavfi", "-t", "9", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "aac", sound)
    job = make_packaged(sound, tmp_path, streaming_profile(360, 144))
    master = playlist(job, "master.m3u8")
    assert [(each.uri, each.stream_info.codecs) for each in master.playlists] == [
        ("aac-audio-0/playlist.m3u8", "mp4a.40.2")
    ]
    assert len(playlist(job, "aac-audio-0/playlist.m3u8").segments) == 5
    assert len(shown_frames(job.folder / "manifest.mpd", "a:0")) > 400


def test_without_a_ladder_there_is_one_rung_and_one_format_if_no_more_is_asked_for(tmp_path: Path):
    talk = make_talk(tmp_path / "talk.mkv", seconds=5, size="128x72")
    job = make_packaged(talk, tmp_path, Profile(version=1, name="plain"), ("hls",))
    assert job.rungs == ["h264-72p"]
    assert not (job.folder / "manifest.mpd").exists()
    assert len(shown_frames(job.folder / "h264-72p" / "playlist.m3u8")) == 5 * 25
    assert job.report.format == "hls"


def test_pieces_of_an_earlier_run_are_used_again(job: PackageJob, tmp_path: Path):
    talk = Path(job.encoded.plan.source.location)
    again = encode_video(prepare_package(talk, job.folder.parent, streaming_profile(360, 216, 144)), job.folder.parent)
    assert all(record.reused for records in again.pieces.values() for record in records)
    assert sum(map(len, again.pieces.values())) == 2 * 3


def test_the_frames_of_a_resampled_rendition_are_aligned(tmp_path: Path, hard_media: HardMedia):
    video = {"codec": "h264", "preset": "ultrafast", "frame_rate": "30000/1001"}
    job = make_packaged(hard_media("vfr_mp4"), tmp_path, streaming_profile(90, 72, video=video))
    rungs = [video.packaged.media for video in job.made.package.videos]
    starts = [[segment.start / media.timescale for segment in media.segments] for media in rungs]
    assert starts[0] == starts[1] == [pytest.approx(2 * n, abs=0.05) for n in range(4)]
    assert all(info.stream_info.frame_rate == 29.97 for info in playlist(job, "master.m3u8").playlists)

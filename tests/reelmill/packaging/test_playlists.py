"""The text of playlists and manifests, of renditions whose segments are known to the byte."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.packaging.codec_names import codec_name
from reelmill.packaging.dash import dash_manifest
from reelmill.packaging.fragments import Fragmented, MediaSegment
from reelmill.packaging.hls import keyframes_playlist, master_playlist, media_playlist, subtitles_playlist
from reelmill.packaging.languages import language_name, language_tag
from reelmill.packaging.package import AudioOffer, Package, SubtitlesOffer, VideoOffer
from reelmill.packaging.packaged import Packaged, peak_bps


def packaged(
    name: str, sizes: list[int], *, codecs: str = "avc1.64001f", scale: int = 12_800, seconds: int = 4, **changes: Any
) -> Packaged:
    """A rendition with segments of these sizes in bytes, laid end to end behind 1000 bytes of header and index."""
    offsets = [1000 + sum(sizes[:number]) for number in range(len(sizes))]
    segments = tuple(
        MediaSegment(number * seconds * scale, seconds * scale, offset, size, size // 4)
        for number, (offset, size) in enumerate(zip(offsets, sizes, strict=True))
    )
    media = Fragmented(Path("unused"), codecs, scale, 700, 40 + 12 * len(sizes), segments)
    return Packaged(name, media, **({"file_per_segment": True} | changes))


def video(name: str, width: int, height: int, sizes: list[int], **changes: Any) -> VideoOffer:
    return VideoOffer(packaged(name, sizes, **changes), width, height, Fraction(1), Fraction(30000, 1001), "SDR")


def audio(name: str, language: str, sizes: list[int], **changes: Any) -> AudioOffer:
    sound = packaged(name, sizes, codecs="mp4a.40.2", scale=48_000, **changes)
    return AudioOffer(language_tag(language), language_name(language) or "", language == "eng", True, sound, 2, 48_000)


def offer(**changes: Any) -> Package:
    """Two rungs of three segments, two languages, and German text."""
    return Package(
        (
            video("h264-720p", 1280, 720, [500_000, 1_000_000, 300_000], **changes),
            video("h264-360p", 640, 360, [100_000, 150_000, 50_000], **changes),
        ),
        (audio("aac-1", "eng", [60_000] * 3, **changes), audio("aac-2", "deu", [80_000, 64_000, 64_000], **changes)),
        (SubtitlesOffer("de", "Deutsch", False, True, "webvtt-3", is_forced=False),),
        file_per_segment=changes.get("file_per_segment", True),
    )


def test_the_master_playlist_offers_every_choice():
    assert master_playlist(offer()).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",LANGUAGE="en",NAME="English",DEFAULT=YES,AUTOSELECT=YES,'
        'CHANNELS="2",URI="aac-1/playlist.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",LANGUAGE="de",NAME="Deutsch",DEFAULT=NO,AUTOSELECT=YES,'
        'CHANNELS="2",URI="aac-2/playlist.m3u8"',
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",LANGUAGE="de",NAME="Deutsch",DEFAULT=NO,AUTOSELECT=YES,'
        'URI="webvtt-3/playlist.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=2160000,AVERAGE-BANDWIDTH=1338667,CODECS="avc1.64001f,mp4a.40.2",'
        'RESOLUTION=1280x720,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO="audio",SUBTITLES="subtitles",'
        "CLOSED-CAPTIONS=NONE",
        "h264-720p/playlist.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=460000,AVERAGE-BANDWIDTH=338667,CODECS="avc1.64001f,mp4a.40.2",'
        'RESOLUTION=640x360,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO="audio",SUBTITLES="subtitles",CLOSED-CAPTIONS=NONE',
        "h264-360p/playlist.m3u8",
        '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=500000,CODECS="avc1.64001f",RESOLUTION=1280x720,VIDEO-RANGE=SDR,'
        'URI="h264-720p/keyframes.m3u8"',
        '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=75000,CODECS="avc1.64001f",RESOLUTION=640x360,VIDEO-RANGE=SDR,'
        'URI="h264-360p/keyframes.m3u8"',
    ]


def test_sound_alone_is_offered_as_streams_of_its_own():
    lines = master_playlist(replace(offer(), videos=(), subtitles=())).splitlines()
    assert lines[3:] == [
        '#EXT-X-STREAM-INF:BANDWIDTH=120000,AVERAGE-BANDWIDTH=120000,CODECS="mp4a.40.2"', "aac-1/playlist.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=160000,AVERAGE-BANDWIDTH=138667,CODECS="mp4a.40.2"', "aac-2/playlist.m3u8",
    ]  # fmt: skip


def test_a_picture_of_oblong_pixels_is_offered_in_its_shape():
    [rung, *_] = offer().videos
    wide = replace(rung, width=720, height=576, sample_aspect_ratio=Fraction(64, 45))
    assert "RESOLUTION=1024x576," in master_playlist(replace(offer(), videos=(wide,)))
    assert 'width="720" height="576" sar="64:45"' in dash_manifest(replace(offer(), videos=(wide,)))


def test_a_media_playlist_names_the_files():
    assert media_playlist(packaged("h264-720p", [10, 20])).splitlines()[2:] == [
        "#EXT-X-TARGETDURATION:4", "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="init.mp4"',
        "#EXTINF:4.000000,", "00001.m4s", "#EXTINF:4.000000,", "00002.m4s", "#EXT-X-ENDLIST",
    ]  # fmt: skip


def test_a_media_playlist_of_one_file_names_ranges():
    assert media_playlist(packaged("h264-720p", [10, 20], file_per_segment=False)).splitlines()[5:] == [
        '#EXT-X-MAP:URI="media.mp4",BYTERANGE="700@0"',
        "#EXTINF:4.000000,", "#EXT-X-BYTERANGE:10@1000", "media.mp4",
        "#EXTINF:4.000000,", "#EXT-X-BYTERANGE:20@1010", "media.mp4", "#EXT-X-ENDLIST",
    ]  # fmt: skip


def test_the_keyframes_playlist_names_the_first_bytes_of_each_segment():
    in_files = keyframes_playlist(packaged("h264-720p", [40, 80]))
    in_ranges = keyframes_playlist(packaged("h264-720p", [40, 80], file_per_segment=False))
    assert "#EXT-X-I-FRAMES-ONLY" in in_files.splitlines()
    assert "#EXT-X-BYTERANGE:10@0\n00001.m4s\n" in in_files
    assert "#EXT-X-BYTERANGE:20@0\n00002.m4s\n" in in_files
    assert "#EXT-X-BYTERANGE:10@1000\nmedia.mp4\n" in in_ranges
    assert "#EXT-X-BYTERANGE:20@1040\nmedia.mp4\n" in in_ranges


def test_the_playlist_of_text_is_as_long_as_the_film():
    assert subtitles_playlist(Fraction(125, 2)).splitlines()[2:] == [
        "#EXT-X-TARGETDURATION:63", "#EXT-X-PLAYLIST-TYPE:VOD", "#EXTINF:62.500000,", "subtitles.vtt",
        "#EXT-X-ENDLIST",
    ]  # fmt: skip


def test_durations_add_up_however_they_are_rounded():
    rendition = packaged("h264-720p", [1] * 3000, scale=90_000)
    thirds = tuple(replace(each, duration=30_030) for each in rendition.media.segments)
    text = media_playlist(replace(rendition, media=replace(rendition.media, segments=thirds)))
    seconds = [Fraction(line[8:-1]) for line in text.splitlines() if line.startswith("#EXTINF")]
    assert abs(sum(seconds) - 3000 * Fraction(30_030, 90_000)) <= Fraction(1, 2_000_000)


@pytest.mark.parametrize(
    ("sizes", "seconds", "target", "peak"),
    [
        ([100, 200, 100], [4, 4, 4], 4, 400),
        ([100, 200, 900], [4, 4, 1], 4, 1760),  # the last alone is too short to count
        ([100], [1], 4, 800),
        ([100, 100, 400, 400, 100], [1, 1, 1, 1, 1], 2, 3200),
    ],
)
def test_the_peak_is_that_of_segments_that_last_about_a_target_duration(
    sizes: list[int], seconds: list[int], target: int, peak: int
):
    assert peak_bps(sizes, tuple(map(Fraction, seconds)), target) == peak


@given(st.lists(st.tuples(st.integers(1, 10**7), st.integers(1, 400)), min_size=1, max_size=40))
def test_the_peak_is_never_below_the_average(rows: list[tuple[int, int]]):
    sizes, durations = [size for size, _ in rows], tuple(Fraction(part, 100) for _, part in rows)
    target = max(1, round(max(durations)))
    assert peak_bps(sizes, durations, target) > 0
    alike = tuple(Fraction(target) for _ in rows)
    assert peak_bps(sizes, alike, target) >= 8 * sum(sizes) / sum(alike)


def test_the_dash_manifest_has_a_timeline_for_files():
    text = dash_manifest(offer())
    assert 'mediaPresentationDuration="PT12.000000S" minBufferTime="PT4.000000S"' in text
    assert 'id="h264-720p" codecs="avc1.64001f" bandwidth="2000000"' in text
    assert 'frameRate="30000/1001"' in text
    assert 'media="h264-720p/$Number%05d$.m4s"' in text
    assert text.count('<S t="0" d="51200" r="2" />') == 2
    assert '<AdaptationSet contentType="text" mimeType="text/vtt" lang="de">' in text
    assert "<BaseURL>webvtt-3/subtitles.vtt</BaseURL>" in text


def test_the_dash_manifest_has_an_index_for_ranges():
    text = dash_manifest(offer(file_per_segment=False))
    assert "urn:mpeg:dash:profile:isoff-on-demand:2011" in text
    assert "<BaseURL>h264-720p/media.mp4</BaseURL>" in text
    assert 'indexRange="700-775"' in text
    assert '<Initialization range="0-699" />' in text
    assert "SegmentTimeline" not in text


@pytest.mark.parametrize(
    ("language", "tag", "name"),
    [
        ("eng", "en", "English"), ("ger", "de", "Deutsch"), ("deu", "de", "Deutsch"), ("pt-BR", "pt-BR", "Português"),
        ("haw", "haw", "haw"), (None, None, None),
    ],
)  # fmt: skip
def test_languages_are_named_as_playlists_want_them(language: str | None, tag: str | None, name: str | None):
    assert (language_tag(language), language_name(language)) == (tag, name)


_AAC_LC = "00000000" + "031900000004114015000000000000000000000005021190"


def boxed(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (boxed(b"avc1", bytes(78) + boxed(b"avcC", bytes.fromhex("0164001fffe1"))), "avc1.64001f"),
        (
            boxed(b"hvc1", bytes(78) + boxed(b"hvcC", bytes.fromhex("010160000000b0000000000078f000"))),
            "hvc1.1.6.L120.B0",
        ),
        (boxed(b"av01", bytes(78) + boxed(b"av1C", bytes.fromhex("81080c00"))), "av01.0.08M.08"),
        (boxed(b"av01", bytes(78) + boxed(b"av1C", bytes.fromhex("81084c00"))), "av01.0.08M.10"),
        (boxed(b"mp4a", bytes(28) + boxed(b"esds", bytes.fromhex(_AAC_LC))), "mp4a.40.2"),
    ],
)
def test_codecs_are_named_as_rfc_6381_has_it(entry: bytes, name: str):
    assert codec_name(entry) == name


def test_a_codec_without_a_name_is_refused():
    with pytest.raises(ValueError, match="ec-3"):
        codec_name(boxed(b"ec-3", bytes(40)))

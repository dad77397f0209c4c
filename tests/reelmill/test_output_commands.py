"""The argv of what makes tracks and outputs, whole."""

from pathlib import Path

import pytest

from reelmill.encoding.mux_commands import mux_argv
from reelmill.encoding.track_commands import track_argv
from reelmill.formats import FormatName
from reelmill.media.source import Source
from reelmill.planning.plan import Plan
from reelmill.storage.readable import Readable
from tests.made_sources import late_source, made_audio, made_subtitles, made_video
from tests.segment_commands import MEDIA, NO_TAGS, QUIET, SERVED, planned, served


def many_tracks() -> Source:
    return late_source(
        video=made_video(start_pts=12800, title="Film"),
        audio=(
            made_audio(1, language="eng", title="Main", dispositions=("default",)),
            made_audio(2, language="deu", dispositions=("comment", "hearing_impaired"), channels=6, layout="5.1(side)"),
        ),
        subtitles=(made_subtitles(3, language="eng"), made_subtitles(4, codec="ass", language="fra", title="Français")),
    )


def track(format: FormatName, number: int, media: Readable = MEDIA) -> list[str]:
    plan = planned(many_tracks(), format)
    return track_argv(
        "ffmpeg", plan.sources, [media], plan.track(plan.outputs[0].tracks[number]), Path("/pieces/track")
    )


TRACK_INPUT = [
    "ffmpeg", *QUIET, "-f", "mov", "-copyts", "-format_whitelist", "mov", "-itsoffset", "-0.500000",
    "-protocol_whitelist", "file", "-i", "file:/media/in.mp4",
]  # fmt: skip
UNOFFICIAL = ["-strict", "unofficial", "-vn", "file:/pieces/track"]


@pytest.mark.parametrize(
    ("format", "number", "rest"),
    [
        ("mp4", 0, ["-map", "0:1", "-f", "mp4", "-b:a", "128000", "-c:a", "aac", "-dn", *NO_TAGS, *UNOFFICIAL]),
        (
            "webm", 1,
            ["-filter_complex", "[0:2]aformat=channel_layouts=mono|stereo|3.0|5.0|5.1|6.1|7.1[s0]", "-map", "[s0]",
             "-f", "mp4", "-b:a", "384000", "-c:a", "libopus", "-dn", *NO_TAGS, *UNOFFICIAL],
        ),
        (
            "avi", 1,
            ["-filter_complex", "[0:2]aresample=async=1:first_pts=0[s0]", "-map", "[s0]", "-f", "mp4", "-ac", "2",
             "-b:a", "192000", "-c:a", "libmp3lame", "-dn", *NO_TAGS, *UNOFFICIAL],
        ),
        ("mp4", 3, ["-map", "0:4", "-f", "mp4", "-c:s", "mov_text", "-dn", *NO_TAGS, *UNOFFICIAL]),
        ("mkv", 3, ["-map", "0:4", "-f", "matroska", "-c:s", "copy", "-dn", *NO_TAGS, "-vn", "file:/pieces/track"]),
        ("webm", 2, ["-map", "0:3", "-f", "matroska", "-c:s", "webvtt", "-dn", *NO_TAGS, "-vn", "file:/pieces/track"]),
    ],
    ids=["aac", "opus-5.1", "mp3-of-5.1-without-gaps", "text-to-mov", "text-kept", "text-to-webvtt"],
)  # fmt: skip
def test_track_is_made_in_one_run_over_the_whole_source(format: FormatName, number: int, rest: list[str]):
    assert track(format, number) == [*TRACK_INPUT, *rest]


def mux(plan: Plan, media: Readable | None = None) -> list[str]:
    """Mux the only output of the plan, of a join list when it has pieces."""
    output = plan.outputs[0]
    video = plan.rendition(output.video) if output.video else None
    tracks = [(plan.track(name), Path(f"/pieces/{number}")) for number, name in enumerate(output.tracks)]
    join_list = Path("/pieces/list") if video and video.segments else None
    return mux_argv(
        "ffmpeg", plan.source, media, output, video=video, join_list=join_list, tracks=tracks,
        metadata=Path("/pieces/tags"), out=Path("/out/file"),
    )  # fmt: skip


LIST_INPUT = [
    "-itsoffset", "0.500000", "-f", "concat", "-safe", "0", "-protocol_whitelist", "file", "-i", "file:/pieces/list",
]  # fmt: skip


def track_input(number: int, demuxer: str = "mov") -> list[str]:
    return ["-f", demuxer, "-protocol_whitelist", "file", "-i", f"file:/pieces/{number}"]


TWO_TRACKS = [
    "-metadata:s:v:0", "title=Film", "-disposition:v:0", "default",
    "-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=Main", "-disposition:a:0", "default",
    "-metadata:s:a:1", "language=deu", "-disposition:a:1", "comment+hearing_impaired",
]  # fmt: skip


def test_mp4_with_two_audio_tracks_and_subtitles_is_muxed_with_their_labels():
    assert mux(planned(many_tracks())) == [
        "ffmpeg", *QUIET, "-copyts", *LIST_INPUT, *track_input(0), *track_input(1), *track_input(2), *track_input(3),
        "-f", "ffmetadata", "-i", "file:/pieces/tags",
        "-map", "0:v:0", "-map", "1:0", "-map", "2:0", "-map", "3:0", "-map", "4:0",
        "-map_metadata", "5", "-map_chapters", "5", "-c", "copy", "-video_track_timescale", "12800", *TWO_TRACKS,
        "-metadata:s:s:0", "language=eng", "-disposition:s:0", "0",
        "-metadata:s:s:1", "language=fra", "-metadata:s:s:1", "title=Français", "-disposition:s:1", "0",
        "-movflags", "+faststart", "-f", "mp4", "file:/out/file",
    ]  # fmt: skip


def test_avi_is_muxed_at_its_rate():
    assert mux(planned(many_tracks(), "avi")) == [
        "ffmpeg", *QUIET, "-copyts", *LIST_INPUT, *track_input(0), *track_input(1),
        "-f", "ffmetadata", "-i", "file:/pieces/tags", "-map", "0:v:0", "-map", "1:0", "-map", "2:0",
        "-map_metadata", "3", "-map_chapters", "3", "-c", "copy", "-video_track_timescale", "25", "-r", "25",
        *TWO_TRACKS, "-avoid_negative_ts", "disabled",
        "-f", "avi", "file:/out/file",
    ]  # fmt: skip


def test_mp3_is_muxed_of_one_track_and_starts_at_zero():
    assert mux(planned(many_tracks(), "mp3")) == [
        "ffmpeg", *QUIET, *track_input(0), "-f", "ffmetadata", "-i", "file:/pieces/tags", "-map", "0:0",
        "-map_metadata", "1", "-map_chapters", "1", "-c", "copy",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=Main", "-disposition:a:0", "default",
        "-f", "mp3", "file:/out/file",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("media", "address"),
    [(MEDIA, ["file", "-format_whitelist", "mov", "-i", "file:/media/in.mp4"]),
     (SERVED, ["http,tcp", "-format_whitelist", "mov", "-i", "http://127.0.0.1:8000/secret"])],
    ids=["file", "served"],
)  # fmt: skip
def test_copied_video_is_muxed_from_the_source(media: Readable, address: list[str]):
    assert mux(planned(late_source(audio=()), codec="copy"), media) == [
        "ffmpeg", *QUIET, "-copyts", "-itsoffset", "-0.500000", "-f", "mov", "-protocol_whitelist", *address,
        "-f", "ffmetadata", "-i", "file:/pieces/tags",
        "-map", "0:0", "-map_metadata", "1", "-map_chapters", "1", "-c", "copy", "-video_track_timescale", "12800",
        "-disposition:v:0", "default", "-movflags", "+faststart", "-f", "mp4", "file:/out/file",
    ]  # fmt: skip


def test_track_of_a_served_source_is_made_like_that_of_a_file():
    assert track("mp4", 0, SERVED) == served(track("mp4", 0))

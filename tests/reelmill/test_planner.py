"""What a plan makes of a source and the formats asked for: nothing is encoded twice, and nothing is left out unsaid."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.errors import InvalidProfile, NoAudioStream, NoVideoStream
from reelmill.formats import FORMATS, FormatName
from reelmill.media.source import OtherStream, Source
from reelmill.planning.plan import LeftOut, OutputPlan, Plan
from tests.made_sources import made_audio, made_plan, made_source, made_subtitles, made_video

VIDEO_FORMATS = [each.name for each in FORMATS.values() if not each.is_audio_only]


def planned(source: Source, formats: Sequence[FormatName] = ("mp4",), **profile: Any) -> Plan:
    return made_plan(source, formats, profile)


def output(plan: Plan, format: FormatName) -> OutputPlan:
    return next(each for each in plan.outputs if each.format == format)


def codecs(plan: Plan) -> tuple[list[str], list[str]]:
    return [each.codec for each in plan.video], [each.codec for each in plan.tracks]


def test_formats_that_need_the_same_encode_share_it():
    plan = planned(made_source(), ["mp4", "flv", "mov", "mkv"])
    assert codecs(plan) == (["h264"], ["aac"])
    assert {(each.video, each.tracks) for each in plan.outputs} == {(plan.video[0].id, (plan.tracks[0].id,))}


def test_webm_adds_one_video_and_one_audio_rendition():
    plan = planned(made_source(), ["mp4", "flv", "webm"])
    assert sorted(codecs(plan)[0]) == ["h264", "vp9"]
    assert sorted(codecs(plan)[1]) == ["aac", "opus"]
    assert output(plan, "mp4").video == output(plan, "flv").video != output(plan, "webm").video
    assert plan.rendition(output(plan, "webm").video or "").codec == "vp9"
    assert [plan.track(each).codec for each in output(plan, "webm").tracks] == ["opus"]


def test_avi_needs_an_encode_of_its_own_without_reordering():
    plan = planned(made_source(), ["mp4", "avi"])
    avi = plan.rendition(output(plan, "avi").video or "")
    assert [each.id for each in plan.video] == ["h264-720p", "h264-720p-2"]
    assert (avi.b_frames, avi.frame_rate, output(plan, "avi").avi_frame_rate) == (False, Fraction(25), Fraction(25))


def test_sound_formats_share_the_tracks_of_the_video_formats():
    plan = planned(made_source(), ["mp4", "m4a", "webm", "opus"])
    assert sorted(codecs(plan)[1]) == ["aac", "opus"]
    assert output(plan, "m4a").tracks == output(plan, "mp4").tracks
    assert output(plan, "m4a").video is None


def test_longest_work_comes_first_and_holds_every_segment_once():
    plan = planned(made_source(), ["mp4", "webm", "avi"])
    costs = [each.cost for each in plan.order]
    assert costs == sorted(costs, reverse=True)
    assert plan.rendition(plan.order[0].renditions[0]).codec == "vp9"
    assert sorted((name, each.segment) for each in plan.order for name in each.renditions) == sorted(
        (video.id, segment.number) for video in plan.video for segment in video.segments
    )


def test_tracks_come_longest_first():
    plan = planned(
        made_source(audio=(made_audio(1, channels=1, layout="mono"), made_audio(2, channels=6, layout="5.1")))
    )
    assert [each.stream_index for each in plan.tracks] == [2, 1]
    assert [plan.track(each).stream_index for each in plan.outputs[0].tracks] == [1, 2]


@given(
    st.lists(st.sampled_from(VIDEO_FORMATS), min_size=1, unique=True), st.integers(1, 60), st.floats(0.1, 60),
    st.integers(1, 32),
)  # fmt: skip
def test_encode_tasks_have_an_upper_bound(formats: list[FormatName], most: int, segment_s: float, workers: int):
    plan = made_plan(made_source(), formats, segment_s=segment_s, workers=workers, most_encode_tasks=most)
    assert len(plan.order) <= max(most, len(plan.video))
    assert plan.encoder_threads >= 1


@pytest.mark.parametrize(("tasks", "threads"), [(1, 8), (3, 2), (12, 1)])
def test_cores_are_shared_out_when_there_are_fewer_segments(tasks: int, threads: int):
    plan = made_plan(made_source(), segment_s=60 / tasks, workers=8)
    assert (len(plan.order), plan.encoder_threads) == (tasks, threads)


def test_plan_that_must_not_cut_says_why():
    plan = made_plan(made_source(), ["mp4", "webm"], whole_because="damaged: no picture")
    assert [len(each.segments) for each in plan.video] == [1, 1]
    assert plan.reasons == ("not cut: damaged: no picture",)


def many_tracks(**changes: Any) -> Source:
    given: dict[str, Any] = {
        "audio": (made_audio(1, language="eng"), made_audio(2, language="deu", dispositions=("default",))),
        "subtitles": (
            made_subtitles(3, language="eng"),
            made_subtitles(4, codec="hdmv_pgs_subtitle", language="fra"),
            made_subtitles(5, start_pts=None, end_pts=None),
        ),
        "others": (
            OtherStream.model_validate(made_subtitles(6, codec="none").model_dump() | {"kind": "data"}),
            OtherStream.model_validate(made_subtitles(7, codec="ttf").model_dump() | {"kind": "attachment"}),
            OtherStream.model_validate(made_subtitles(8, codec="mjpeg").model_dump() | {"kind": "cover"}),
        ),
        "more_video": (made_video(index=9, codec="hevc"),),
        "chapters": ({"start_s": 0, "end_s": 30, "title": "One"}, {"start_s": 30, "end_s": 60, "title": "Two"}),
    }
    return made_source(**given | changes)


NEVER_KEPT = [
    LeftOut(what="video hevc 9", reason="one video stream is encoded"),
    LeftOut(what="data stream 6", reason="only video, audio and text are carried over"),
    LeftOut(what="attachment stream 7", reason="only video, audio and text are carried over"),
    LeftOut(what="cover stream 8", reason="only video, audio and text are carried over"),
]


@pytest.mark.parametrize(
    ("format", "left_out"),
    [
        (
            "mp4",
            [
                LeftOut(what="subtitles 4 (fra)", reason="mp4 holds no bitmap subtitles"),
                LeftOut(what="subtitles 5", reason="the track is empty"),
                *NEVER_KEPT,
            ],
        ),
        ("mkv", [LeftOut(what="subtitles 5", reason="the track is empty"), *NEVER_KEPT]),
        (
            "flv",
            [
                LeftOut(what="audio track 1 (eng)", reason="flv holds one audio track"),
                LeftOut(what="subtitles 3 (eng)", reason="flv holds no text subtitles"),
                LeftOut(what="subtitles 4 (fra)", reason="flv holds no bitmap subtitles"),
                LeftOut(what="subtitles 5", reason="flv holds no text subtitles"),
                *NEVER_KEPT,
                LeftOut(what="2 chapters", reason="flv holds none"),
            ],
        ),
        (
            "mp3",
            [
                LeftOut(what="audio track 1 (eng)", reason="mp3 holds one audio track"),
                LeftOut(what="subtitles 3 (eng)", reason="mp3 is audio only"),
                LeftOut(what="subtitles 4 (fra)", reason="mp3 is audio only"),
                LeftOut(what="subtitles 5", reason="mp3 is audio only"),
                LeftOut(what="video h264 0", reason="mp3 is audio only"),
                LeftOut(what="video hevc 9", reason="mp3 is audio only"),
                *NEVER_KEPT[1:],
            ],
        ),
    ],
)
def test_everything_left_out_is_named_with_a_reason(format: FormatName, left_out: list[LeftOut]):
    found = output(planned(many_tracks(), [format]), format).left_out
    assert sorted(found, key=str) == sorted(left_out, key=str)


def test_text_becomes_what_the_container_holds():
    plan = planned(many_tracks(), ["mp4", "mkv", "webm"])
    kinds = {
        each.format: [plan.track(name).codec for name in each.tracks if plan.track(name).kind == "subtitle"]
        for each in plan.outputs
    }
    assert kinds == {"mp4": ["mov_text"], "mkv": ["subrip", "hdmv_pgs_subtitle"], "webm": ["webvtt"]}


def test_dolby_vision_is_said_to_be_lost():
    source = made_source(video=made_video(hdr=("dolby_vision",)))
    reason = "it does not survive encoding; its base layer does"
    assert planned(source).outputs[0].left_out == (LeftOut(what="Dolby Vision metadata", reason=reason),)


def test_streams_that_fit_are_remuxed():
    plan = planned(made_source(), ["mp4", "mkv"], copy_when_fits=True)
    assert codecs(plan) == (["copy"], ["aac"])
    assert plan.tracks[0].copies
    assert (plan.order, plan.video[0].segments) == ((), ())
    assert "video is copied: the source already is what the format needs" in plan.reasons


def test_only_what_fits_is_remuxed():
    plan = planned(made_source(), ["mp4", "webm", "avi"], copy_when_fits=True)
    assert sorted(codecs(plan)[0]) == ["copy", "h264", "vp9"]
    assert {each.codec: each.copies for each in plan.tracks} == {"aac": True, "opus": False, "mp3": False}


@pytest.mark.parametrize(
    "video",
    [
        {"crf": 20.0},
        {"height": 480},
        {"frame_rate": "30"},
        {"pixel_format": "yuv420p10le"},
        {"keyframe_interval_s": 2.0},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_the_profile_changes_is_encoded_although_the_codec_fits(video: dict[str, Any]):
    assert codecs(planned(made_source(), copy_when_fits=True, video=video)) == (["h264"], ["aac"])


@pytest.mark.parametrize(
    ("format", "profile", "message"),
    [
        ("webm", {"video": {"codec": "h264"}}, r"video\.codec.*h264.*webm"),
        ("flv", {"video": {"codec": "hevc"}}, r"video\.codec.*hevc.*flv"),
        ("flv", {"audio": {"codec": "opus"}}, r"audio\.codec.*opus.*flv"),
        ("webm", {"video": {"codec": "copy"}}, r"video\.codec.*h264.*webm"),
        ("webm", {"audio": {"codec": "copy"}}, r"audio\.codec.*aac.*webm"),
    ],
)
def test_codec_that_a_container_cannot_hold_is_refused_naming_both(
    format: FormatName, profile: dict[str, Any], message: str
):
    with pytest.raises(InvalidProfile, match=message):
        planned(made_source(), [format], **profile)


@pytest.mark.parametrize("format", [each for each in VIDEO_FORMATS if not FORMATS[each].packaged])
def test_video_format_of_sound_alone_is_refused(format: FormatName):
    with pytest.raises(NoVideoStream, match=f"no video for {format}"):
        planned(made_source(video=None), [format])


def test_package_of_sound_alone_has_sound():
    [output] = planned(made_source(video=None), ["hls", "dash"]).outputs
    assert (output.videos, output.tracks) == ((), ("aac-audio-1",))


def test_package_of_nothing_is_refused():
    with pytest.raises(NoVideoStream, match="no video for hls"):
        planned(made_source(video=None, audio=()), ["hls"])


@pytest.mark.parametrize("format", ["m4a", "mp3", "opus"])
def test_sound_format_of_a_silent_source_is_refused(format: FormatName):
    with pytest.raises(NoAudioStream, match=f"no audio for {format}"):
        planned(made_source(audio=()), [format])


def test_silent_film_has_no_tracks():
    plan = planned(made_source(audio=()), ["mp4", "avi"])
    assert (plan.tracks, [each.tracks for each in plan.outputs]) == ((), [(), ()])


def test_sound_alone_needs_no_index():
    plan = planned(made_source(video=None), ["mp3"])
    assert (plan.video, plan.order, plan.source_frames) == ((), (), None)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ({"height": 1080}, (1280, 720)),
        ({"width": 1920, "height": 1080}, (1280, 720)),
        ({"height": 1080, "allow_upscale": True}, (1920, 1080)),
        ({"height": 480}, (854, 480)),
        ({"width": 640, "height": 640}, (640, 360)),
        ({}, (1280, 720)),
    ],
)
def test_picture_is_fitted_and_never_enlarged_unless_asked(box: dict[str, Any], size: tuple[int, int]):
    video = planned(made_source(), video=box).video[0]
    assert (video.width, video.height) == size
    assert video.sample_aspect_ratio == 1


def test_rotated_picture_is_fitted_as_it_is_shown():
    source = made_source(video=made_video(rotation_deg=90, sample_aspect_ratio=Fraction(4, 3)))
    video = planned(source).video[0]
    assert (video.width, video.height, video.sample_aspect_ratio) == (720, 1280, Fraction(3, 4))


@pytest.mark.parametrize(
    ("size", "pixel_format", "pad"),
    [
        ((321, 181), "yuv420p", (1, 1)),
        ((321, 180), "yuv420p", (1, 0)),
        ((321, 181), "yuv422p", (1, 0)),
        ((321, 181), "yuv444p", (0, 0)),
        ((320, 180), "yuv420p", (0, 0)),
    ],
)
def test_odd_sizes_are_padded_where_the_chroma_needs_it_and_it_is_said(
    size: tuple[int, int], pixel_format: str, pad: tuple[int, int]
):
    source = made_source(video=made_video(width=size[0], height=size[1], pixel_format=pixel_format))
    plan = planned(source)
    assert ((plan.video[0].width, plan.video[0].height), plan.video[0].pad) == (size, pad)
    assert any("padded by" in each for each in plan.warnings) == (pad != (0, 0))


HDR = {
    "pixel_format": "yuv420p10le",
    "colour": {"range": 1, "primaries": 9, "transfer": 16, "matrix": 9},
    "hdr": ("content_light", "mastering_display"),
}


@pytest.mark.parametrize(("format", "codec"), [("mp4", "h264"), ("mp4", "hevc"), ("webm", "vp9"), ("mp4", "av1")])
def test_hdr_keeps_its_10_bits(format: FormatName, codec: str):
    plan = planned(made_source(video=made_video(**HDR)), [format], video={"codec": codec})
    assert plan.video[0].pixel_format == "yuv420p10le"
    assert not any("HDR" in each for each in plan.warnings)


def test_hdr_in_8_bits_is_warned_of():
    plan = planned(made_source(video=made_video(**HDR)), video={"pixel_format": "yuv420p"})
    assert plan.video[0].pixel_format == "yuv420p"
    assert "h264-720p: HDR in 8 bits shows bands" in plan.warnings


@pytest.mark.parametrize(
    ("source", "codec", "kept"),
    [
        ("yuvj420p", "h264", "yuv420p"),
        ("yuv422p10le", "h264", "yuv422p10le"),
        ("yuv444p12le", "h264", "yuv444p10le"),
        ("gbrp", "h264", "yuv444p"),
        ("yuv422p10le", "av1", "yuv420p10le"),
        ("yuv444p", "av1", "yuv420p"),
        ("yuv410p", "h264", "yuv420p"),
        ("rgb24", "h264", "yuv444p"),
        ("nv12", "h264", "yuv420p"),
        ("p010le", "hevc", "yuv420p10le"),
        ("gray", "h264", "yuv420p"),
    ],
)
def test_pixel_format_is_the_nearest_that_the_encoder_takes(source: str, codec: str, kept: str):
    plan = planned(made_source(video=made_video(pixel_format=source)), video={"codec": codec})
    assert plan.video[0].pixel_format == kept


def test_interlaced_picture_stays_so_or_becomes_frames_when_asked():
    source = made_source(video=made_video(field_order="top_first"))
    assert planned(source).video[0].interlaced
    progressive = planned(source, video={"deinterlace": "auto"}).video[0]
    assert (progressive.interlaced, progressive.deinterlace) == (False, True)
    assert any("no interlacing flags" in each for each in planned(source, ["webm"]).warnings)


def test_plan_prints_and_reads_back_as_it_was():
    plan = planned(many_tracks(), ["mp4", "webm", "flv"])
    assert Plan.model_validate_json(plan.model_dump_json()) == plan

"""The ladder of an output for streaming: its rungs, and keyframes that are at the same times in all of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.errors import InvalidProfile
from reelmill.planning.plan import OutputPlan, Plan
from reelmill.profiles.loading import load_profile, parse_profile
from tests.made_sources import made_audio, made_plan, made_source, made_video

LADDER = [{"height": each} for each in (1080, 720, 480, 360)]


def planned(width: int, height: int, ladder: list[dict[str, Any]] = LADDER, **profile: Any) -> Plan:
    source = made_source(video=made_video(width=width, height=height))
    return made_plan(source, ("hls", "dash"), {"ladder": ladder} | profile)


def package(plan: Plan) -> OutputPlan:
    [output] = [each for each in plan.outputs if each.package]
    return output


def sizes(plan: Plan) -> list[tuple[int, int]]:
    return [(plan.rendition(each).width, plan.rendition(each).height) for each in package(plan).videos]


def test_rungs_are_in_the_order_of_the_ladder_and_keep_the_shape():
    assert sizes(planned(1920, 1080)) == [(1920, 1080), (1280, 720), (854, 480), (640, 360)]
    assert sizes(planned(1440, 1080)) == [(1440, 1080), (960, 720), (640, 480), (480, 360)]


def test_rungs_above_the_source_are_left_out():
    assert sizes(planned(1280, 720)) == [(1280, 720), (854, 480), (640, 360)]
    assert sizes(planned(1278, 718)) == [(854, 480), (640, 360)]


def test_a_source_below_the_smallest_rung_keeps_its_size():
    assert sizes(planned(320, 180)) == [(320, 180)]


def test_the_height_of_a_rung_is_the_width_of_a_picture_that_stands_upright():
    assert sizes(planned(1080, 1920)) == [(1080, 1920), (720, 1280), (480, 854), (360, 640)]


def test_a_box_is_turned_with_the_picture():
    ladder = [{"width": 1280, "height": 720}, {"width": 640, "height": 360}]
    assert sizes(planned(720, 1600, ladder)) == [(576, 1280), (288, 640)]


@given(st.integers(16, 4000), st.integers(16, 4000))
def test_no_rung_is_ever_larger_than_the_source(width: int, height: int):
    found = sizes(planned(width, height))
    assert found
    assert all(wide <= width and high <= height for wide, high in found)
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_a_rung_that_sets_a_rate_takes_none_from_video():
    video = {"codec": "h264", "crf": 20, "preset": "fast"}
    plan = planned(1280, 720, [{"height": 720}, {"height": 360, "bitrate_bps": 700_000}], video=video)
    upper, lower = (plan.rendition(each) for each in package(plan).videos)
    assert (upper.crf, upper.bitrate_bps, upper.preset) == (20, None, "fast")
    assert (lower.crf, lower.bitrate_bps, lower.preset) == (None, 700_000, "fast")


def test_hls_and_dash_are_one_output_and_need_one_encode():
    plan = planned(1280, 720)
    assert [each.file_name for each in plan.outputs] == ["out.stream"]
    assert package(plan).public_name == "out.stream/"
    alone = package(made_plan(plan.source, ("hls",), {"ladder": LADDER}))
    both = [output.package for output in (package(plan), alone) if output.package]
    assert [each.formats for each in both] == [("hls", "dash"), ("hls",)]
    assert package(plan).videos == alone.videos
    assert len(plan.video) == 3


def test_every_rung_has_its_keyframes_at_the_same_times_and_is_cut_only_there():
    plan = planned(1280, 720, streaming={"segment_s": 3})
    for each in plan.video:
        assert [time * each.time_base for time in each.keyframes] == [3 * n for n in range(20)]
        assert {segment.start for segment in each.segments} <= set(each.keyframes)
        assert len(each.segments) > 1


@pytest.mark.parametrize("rate", ["30000/1001", "25", "10"])
def test_keyframes_of_resampled_rungs_are_on_the_nearest_frame(rate: str):
    plan = planned(1280, 720, video={"frame_rate": rate}, streaming={"segment_s": 3})
    for each in plan.video:
        assert each.time_base == 1 / Fraction(rate)
        assert list(each.keyframes) == [round(3 * n * Fraction(rate)) for n in range(20)]
        assert {segment.start for segment in each.segments} <= set(each.keyframes)


def test_a_format_beside_the_package_has_an_encode_of_its_own():
    plan = made_plan(made_source(), ("mp4", "hls"), {"ladder": LADDER})
    assert [each.id for each in plan.video] == ["h264-720p", "h264-720p-2", "h264-480p", "h264-360p"]
    assert [each.videos for each in plan.outputs] == [("h264-720p",), ("h264-720p-2", "h264-480p", "h264-360p")]


def test_the_default_track_of_sound_is_the_sources():
    audio = (made_audio(1, language="eng"), made_audio(2, language="deu", dispositions=("default",)))
    output = package(made_plan(made_source(audio=audio), ("dash",)))
    assert output.package is not None
    assert output.package.default_audio == "aac-audio-2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ladder: [{height: 360}, {height: 720}]", "ladder.1.height: 720 is not allowed; allowed: less than 360"),
        ("ladder: [{height: 720}, {height: 720}]", "ladder.1.height: 720 is not allowed; allowed: less than 720"),
        ("ladder: [{height: 721}]", "ladder.0.height: 721 is not allowed; allowed: 16 to 16384, even"),
        ("ladder: [{height: 720, crf: 99}]", "ladder.0.crf: 99 is not allowed; allowed: 0 to 51"),
        ("ladder: [{height: 720, bitrate: 1}]", "ladder.0.bitrate: unknown field (did you mean bitrate_bps?)"),
        ("ladder: [{height: 720}]\nvideo: {codec: copy}", "ladder: needs encoding"),
        ("formats: [hls]\nvideo: {codec: copy}", "video.codec: copy is not allowed, hls needs keyframes"),
        ("formats: [hls]\nvideo: {codec: vp9}", "video.codec: vp9 is not allowed, hls can't hold it"),
        ("streaming: {segment_s: 0.5}", "streaming.segment_s: 0.5 is not allowed; allowed: 1"),
        ("streaming: {files: many}", "streaming.files: many is not allowed; allowed: segments, renditions"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused(text: str, said: str):
    with pytest.raises(InvalidProfile) as error:
        parse_profile(f"version: 1\nname: mine\n{text}\n", "mine.yaml")
    assert said in str(error.value)


def test_the_built_in_ladder_is_what_its_description_says():
    profile = load_profile("hls-ladder")
    assert [(each.width, each.height) for each in profile.ladder] == [(1920, 1080), (1280, 720), (854, 480), (640, 360)]
    assert profile.formats == ("hls", "dash")

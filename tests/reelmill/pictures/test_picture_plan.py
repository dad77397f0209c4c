"""Which frames are planned for pictures, and how often the decoder is started for them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import InvalidProfile, LimitOutputs
from reelmill.pictures.commands import stills_argv
from reelmill.planning.picture_plan import PicturesPlan
from reelmill.planning.pictures import plan_pictures
from reelmill.profiles.loading import load_profile, parse_profile
from reelmill.profiles.pictures import ALL_PICTURES, PictureSettings
from tests.made_sources import made_index, made_source, made_video

HOUR_S = 3600


def planned(seconds: int, *, careful: bool = False, **pictures: dict[str, Any]) -> PicturesPlan:
    """Pictures of a source of 25 frames a second and 1920 x 1080, with a keyframe every 2 s."""
    source = made_source(video=made_video(width=1920, height=1080), duration_s=Fraction(seconds))
    wanted = PictureSettings.model_validate(pictures)
    plan, warnings = plan_pictures(source, made_index(source, seconds=seconds), wanted, "out", careful=careful)
    assert plan is not None
    assert warnings == ()
    return plan


def spans_of(plan: PicturesPlan) -> int:
    return sum(len(each.spans) for each in plan.stills)


def test_few_pictures_of_a_long_video_are_a_seek_each():
    plan = planned(HOUR_S, thumbnails={"count": 10})
    assert spans_of(plan) == 10
    assert all(span.entry_s is not None for each in plan.stills for span in each.spans)


def test_many_pictures_are_passes_without_seeks_between_them():
    plan = planned(HOUR_S, sprites={"every_s": 4.0})
    assert spans_of(plan) == len(plan.stills)
    assert len(plan.stills) > 10


def test_all_kinds_share_the_decoding():
    apart = [planned(60, thumbnails={}), planned(60, sprites={}), planned(60, preview={})]
    together = planned(60, thumbnails={}, sprites={}, preview={})
    assert spans_of(together) == 1
    cost = sum(each.cost for each in together.stills)
    assert cost < 0.5 * sum(each.cost for plan in apart for each in plan.stills)


@pytest.mark.parametrize("careful", [True, False])
def test_every_frame_is_taken_by_one_task(careful: bool):
    plan = planned(600, careful=careful, thumbnails={"every_s": 0.5}, sprites={"every_s": 0.7}, poster={})
    for each in plan.sets:
        taken = [frame for stills in plan.stills for span in stills.spans for frame in span.frames.get(each.kind, ())]
        assert taken == list(each.distinct)


def test_a_source_that_is_not_cut_is_decoded_from_its_start():
    plan = planned(HOUR_S, careful=True, thumbnails={"count": 10})
    assert [span.entry_s for each in plan.stills for span in each.spans] == [None]


def test_whole_command_of_a_run_for_two_sets():
    source = made_source()
    wanted = PictureSettings.model_validate({"poster": {"at": 40.0}, "thumbnails": {"count": 1, "width": 64}})
    plan, _ = plan_pictures(source, made_index(source), wanted, "out", careful=False)
    assert plan is not None
    [[span]] = [each.spans for each in plan.stills]
    look = "flags=lanczos+accurate_rnd+full_chroma_int:in_color_matrix=bt709,setsar=1,format=rgb24"
    assert stills_argv(
        "ffmpeg", source, Path("/media/in.mp4"), plan.look, span, plan.sets, max_pixels=100, folder=Path("/w")
    ) == [
        "ffmpeg", "-y", "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-nostats", "-progress", "pipe:1",
        "-copyts", "-noaccurate_seek", "-threads", "1", "-max_pixels", "100", "-reinit_filter", "0",
        "-ss", "30.000000", "-f", "mov", "-protocol_whitelist", "file", "-format_whitelist", "mov",
        "-i", "file:/media/in.mp4", "-filter_complex",
        "[0:0]trim=end_pts=512001,select='if(lt(pts,512000),eq(pts,384000),eq(pts,512000))',"
        "split=2[poster-frames][thumbnails-frames];"
        f"[poster-frames]select='eq(pts,512000)',scale=w=1280:h=720:{look}[poster];"
        f"[thumbnails-frames]select='eq(pts,384000)',scale=w=64:h=36:{look}[thumbnails]",
        "-map", "[poster]", "-fps_mode", "passthrough", "-c:v", "png", "-compression_level", "1",
        "-f", "image2", "file:/w/poster-%05d.png",
        "-map", "[thumbnails]", "-fps_mode", "passthrough", "-c:v", "png", "-compression_level", "1",
        "-f", "image2", "file:/w/thumbnails-%05d.png",
    ]  # fmt: skip


def test_an_interval_by_mistake_is_refused():
    with pytest.raises(LimitOutputs, match=r"36000 pictures, one every 0\.1 s, are more than 20000"):
        planned(HOUR_S, thumbnails={"every_s": 0.1})


def test_sprites_of_a_long_video_are_four_hundred_at_most():
    sprites = planned(HOUR_S, sprites={}).set_of("sprites")
    assert len(sprites.frames) == 400
    assert (sprites.columns, sprites.rows) == (10, 10)


def test_a_short_video_has_one_small_sheet_and_all_of_it_as_preview():
    plan = planned(3, sprites={}, preview={})
    assert (plan.set_of("sprites").columns, plan.set_of("sprites").rows) == (3, 1)
    assert len(plan.set_of("preview").frames) == 30


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("pictures: {}", "pictures: asks for nothing; allowed: one or more of poster, thumbnails, sprites, preview"),
        ("pictures: {thumbnails: {count: 3, every_s: 1}}",
         "pictures.thumbnails.count: excludes every_s; allowed: one of the two"),
        ("pictures: {poster: {at: middle}}",
         "pictures.poster.at: middle is not allowed; allowed: auto, seconds such as 12.5, or a share such as 25%"),
        ("pictures: {poster: {at: -1}}",
         "pictures.poster.at: -1 is not allowed; allowed: auto, seconds such as 12.5, or a share such as 25%"),
        ("pictures: {sprites: {columns: 100, tile_width: 320}}",
         "pictures.sprites.columns: 100 is not allowed with tile_width 320; allowed: 1 to 51"),
        ("pictures: {preview: {snippets: 20, snippet_s: 10}}",
         "pictures.preview.snippet_s: 10 is not allowed with 20 snippets; allowed: 0.2 to 3"),
        ("pictures: {sprite: {}}",
         "pictures.sprite: unknown field (did you mean sprites?); known: poster, thumbnails, sprites, preview"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_pictures_is_said(body: str, sentence: str):
    with pytest.raises(InvalidProfile) as caught:
        parse_profile(f"version: 1\nname: test\n{body}", "p.yaml")
    assert str(caught.value) == f"p.yaml: {sentence}"


def test_built_in_profile_asks_for_all_of_them():
    assert load_profile("web-page").pictures == ALL_PICTURES

"""Which renditions are made of one decode, and in which order."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.formats import FormatName
from reelmill.planning.encode_tasks import shared_part
from reelmill.planning.plan import Plan
from tests.made_sources import made_plan, made_source, made_video

HEIGHTS = (1080, 720, 480, 360)


def ladder(*formats: FormatName, workers: int, segments: int, heights: tuple[int, ...] = HEIGHTS) -> Plan:
    source = made_source(video=made_video(width=1920, height=1080))
    rungs = {"ladder": [{"height": each} for each in heights], "streaming": {"segment_s": 1}}
    return made_plan(source, formats or ("hls",), rungs, workers=workers, segment_s=60 / segments)


def names(plan: Plan, segment: int = 0) -> list[list[str]]:
    """The heights of what each task of a segment makes."""
    return [[each.rpartition("-")[2] for each in task.renditions] for task in plan.order if task.segment == segment]


@pytest.mark.parametrize(
    ("workers", "segments", "groups"),
    [
        (1, 1, [["1080p", "720p", "480p", "360p"]]),
        (2, 2, [["1080p", "720p", "480p", "360p"]]),
        (8, 12, [["1080p", "720p", "480p", "360p"]]),
        (2, 1, [["1080p"], ["720p", "480p", "360p"]]),
        (8, 4, [["1080p"], ["720p", "480p", "360p"]]),
        (9, 4, [["1080p"], ["720p"], ["480p", "360p"]]),
        (16, 4, [["1080p"], ["720p"], ["480p"], ["360p"]]),
        (64, 4, [["1080p"], ["720p"], ["480p"], ["360p"]]),
    ],
)
def test_a_decode_is_shared_as_far_as_every_worker_has_something_to_do(
    workers: int, segments: int, groups: list[list[str]]
):
    assert names(ladder(workers=workers, segments=segments)) == groups


def test_formats_of_other_codecs_share_it_too():
    plan = ladder("mp4", "webm", workers=2, segments=4)
    assert [each.renditions for each in plan.order] == [("vp9-1080p", "h264-1080p")] * 4


def test_encoders_of_one_run_have_no_more_than_twice_the_pixels_of_the_largest():
    """Three of the largest size don't fit into one run, nor do the rungs of two."""
    plan = ladder("mp4", "hls", "webm", workers=2, segments=4)
    assert [each.renditions for each in plan.order if each.segment == 0] == [
        ("vp9-1080p",), ("h264-1080p", "h264-720p"), ("h264-1080p-2", "h264-480p", "h264-360p"),
    ]  # fmt: skip


def test_what_needs_other_frames_has_its_own_decode():
    """An AVI has a constant frame rate, so it is not of the frames of the others."""
    plan = ladder("hls", "avi", workers=2, segments=4)
    resampled = {each.id for each in plan.video if each.frame_rate}
    assert len(resampled) == 1
    assert {resampled == set(each.renditions) for each in plan.order} == {True, False}
    assert all(resampled.isdisjoint(each.renditions) or resampled == set(each.renditions) for each in plan.order)


@given(
    st.sets(st.sampled_from(["hls", "mp4", "webm", "avi", "mkv"]), min_size=1), st.integers(1, 40), st.integers(1, 30),
    st.lists(st.integers(1, 60).map(lambda each: 18 * each), min_size=1, max_size=6, unique=True),
)  # fmt: skip
def test_every_encode_is_in_one_task_and_tasks_are_as_few_as_keep_the_workers_busy(
    formats: set[FormatName], workers: int, segments: int, heights: list[int]
):
    plan = ladder(*sorted(formats), workers=workers, segments=segments, heights=tuple(sorted(heights, reverse=True)))
    made = [(name, task.segment) for task in plan.order for name in task.renditions]
    assert sorted(made) == sorted((each.id, segment.number) for each in plan.video for segment in each.segments)
    assert len(made) == plan.encodes
    assert [each.cost for each in plan.order] == sorted((each.cost for each in plan.order), reverse=True)
    for task in plan.order:
        assert len({shared_part(each.rendition, [each.segment]) for each in plan.encodes_of(task)[1]}) == 1
        pixels = [plan.rendition(name).size[0] * plan.rendition(name).size[1] for name in task.renditions]
        assert sum(pixels) <= 2 * max(each.size[0] * each.size[1] for each in plan.video)
    parts = {each.id: shared_part(each, each.segments) for each in plan.video}
    for part in set(parts.values()):
        together = {name for name, each in parts.items() if each == part}
        runs = [task for task in plan.order if task.segment == 0 and together.intersection(task.renditions)]
        count = len(plan.rendition(min(together)).segments)
        assert len(runs) >= min(len(together), ceil(workers / count))


def test_a_plan_says_what_is_made_of_one_decode():
    shared, alone = (ladder(workers=workers, segments=1).reasons for workers in (2, 4))
    assert shared[1:] == ("h264-720p, h264-480p, h264-360p: made of one decode",)
    assert len(alone) == 1

"""Every frame is in exactly one segment, whatever the source's times and keyframes are; and cuts lie where they pay."""

from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.media.frame_index import EntryPoint, FrameIndex, resample_times, times_digest
from reelmill.planning.plan import Segment
from reelmill.planning.segments import FILTER_LEAD_FRAMES, choose_cut, resampled_segments_of, segments_of

TIME_BASES = (Fraction(1, 25), Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 30_000), Fraction(1, 600))
RATES = (Fraction(25), Fraction(30_000, 1001), Fraction(24_000, 1001), Fraction(10), Fraction(60), Fraction(1))


@st.composite
def indexes(draw: st.DrawFn) -> FrameIndex:
    """Frames with gaps of any kind, from any first time; keyframes anywhere, open or clean, some before the first."""
    time_base = draw(st.sampled_from(TIME_BASES))
    usual = max(int(Fraction(1, 25) / time_base), 1)
    steps = st.one_of(st.just(usual), st.integers(1, 3 * usual), st.integers(1, 200 * usual))
    first = draw(st.integers(-2 * usual, 40 * usual))
    times = list(accumulate(draw(st.lists(steps, max_size=120)), initial=first))
    entries = draw(st.dictionaries(st.sampled_from([first - usual, *times]), st.booleans(), max_size=12))
    return FrameIndex(
        time_base=time_base,
        times=array("q", times),
        entries=tuple(EntryPoint(pts, clean) for pts, clean in sorted(entries.items())),
        last_duration=draw(st.integers(1, 3 * usual)),
        origin="packets",
    )


@st.composite
def cuts(draw: st.DrawFn) -> tuple[FrameIndex, tuple[int, ...], int]:
    """An index, where the planner cuts it, and the most segments it was allowed."""
    index, most = draw(indexes()), draw(st.integers(1, 40))
    target_s = draw(st.one_of(st.none(), st.floats(0.1, 20)))
    cut = choose_cut(
        index, target_s=target_s, default_s=draw(st.floats(1, 30)), workers=draw(st.integers(1, 16)), most_segments=most
    )
    return index, cut.boundaries, most


def frames_every_tick(count: int, keyframes: Sequence[int], clean: bool = True) -> FrameIndex:
    """`count` frames at 25 a second, counted in frames."""
    entries = tuple(EntryPoint(pts, clean) for pts in keyframes)
    return FrameIndex(Fraction(1, 25), array("q", range(count)), entries, 1, "packets")


def kept_by(segment: Segment, times: Sequence[int]) -> list[int]:
    """What ffmpeg's trim filter keeps of `times`: from `start` on, before `end`."""
    return [pts for pts in times if pts >= segment.start and (segment.end is None or pts < segment.end)]


@given(cuts())
def test_segments_hold_every_frame_once_and_in_order(cut: tuple[FrameIndex, tuple[int, ...], int]):
    index, boundaries, most = cut
    segments = segments_of(index, boundaries)
    kept = [kept_by(each, index.times) for each in segments]
    assert [pts for each in kept for pts in each] == list(index.times)
    assert [each.number for each in segments] == list(range(len(boundaries) + 1))
    assert all(earlier.end == later.start for earlier, later in pairwise(segments))
    assert [each.frames for each in segments] == [len(each) for each in kept]
    assert [each.times_digest for each in segments] == [
        times_digest(frames, segment.start) for frames, segment in zip(kept, segments, strict=True)
    ]
    assert min(each.frames for each in segments) > 0
    assert len(segments) <= most


@given(cuts())
def test_last_segment_is_open_and_absorbs_the_tail(cut: tuple[FrameIndex, tuple[int, ...], int]):
    index, boundaries, _ = cut
    *_, last = segments_of(index, boundaries)
    late = [*index.times, index.times[-1] + 10**9]
    assert last.end is None
    assert kept_by(last, late)[-1] == late[-1]


@given(cuts(), st.sampled_from((0, FILTER_LEAD_FRAMES)))
def test_decoding_starts_early_enough(cut: tuple[FrameIndex, tuple[int, ...], int], lead: int):
    index, boundaries, _ = cut
    clean = {each.pts: each.is_clean for each in index.entries}
    for segment in segments_of(index, boundaries, lead):
        if segment.entry_s is None:
            continue
        entry = segment.entry_s / index.time_base
        assert entry in clean, "decoding starts beside a keyframe"
        frames_before = [pts for pts in index.times if entry <= pts < segment.start]
        assert len(frames_before) >= lead
        passed = [pts for pts in clean if entry < pts <= index.times[index.times.index(segment.start) - lead]]
        assert clean[int(entry)] or passed, "the frames after an open keyframe may need what came before it"


@given(cuts(), st.sampled_from(RATES))
def test_resampled_segments_hold_every_place_of_the_grid_once(
    cut: tuple[FrameIndex, tuple[int, ...], int], rate: Fraction
):
    index, boundaries, _ = cut
    grid = list(resample_times(index, rate))
    segments = resampled_segments_of(index, boundaries, rate)
    kept = [kept_by(each, grid) for each in segments]
    assert [tick for each in kept for tick in each] == grid
    assert grid == list(range(len(grid)))
    assert [each.frames for each in segments] == [len(each) for each in kept]
    assert [each.number for each in segments] == list(range(len(segments)))
    assert all(earlier.end == later.start for earlier, later in pairwise(segments))
    assert segments[-1].end is None
    assert min(each.frames for each in segments) > 0
    assert len(segments) <= len(boundaries) + 1


@given(cuts(), st.sampled_from(RATES))
def test_resampled_segments_know_all_their_times_but_how_long_the_last_frame_lasts(
    cut: tuple[FrameIndex, tuple[int, ...], int], rate: Fraction
):
    index, boundaries, _ = cut
    *others, last = resampled_segments_of(index, boundaries, rate)
    assert last.times_digest is None
    assert [each.times_digest for each in others] == [times_digest(range(each.frames), 0) for each in others]


@given(cuts(), st.sampled_from(RATES))
def test_resampled_segments_decode_the_frame_that_is_repeated_at_their_start(
    cut: tuple[FrameIndex, tuple[int, ...], int], rate: Fraction
):
    index, boundaries, _ = cut
    for segment in resampled_segments_of(index, boundaries, rate):
        if segment.entry_s is not None:
            start_s = index.first * index.time_base + segment.start / rate
            shown = [pts for pts in index.times if pts * index.time_base <= start_s - 1 / (2 * rate)]
            assert segment.entry_s <= shown[-1] * index.time_base


def test_short_source_is_not_cut():
    cut = choose_cut(frames_every_tick(200, [0]), target_s=None, default_s=30, workers=8, most_segments=1000)
    assert cut.boundaries == ()
    assert cut.reason == "not cut: 8.0 s are encoded as fast in one piece"


def test_source_with_a_fault_is_not_cut_even_when_asked():
    index = FrameIndex(Fraction(1, 25), array("q", range(2000)), (), 1, "packets", fault="two frames have one time")
    cut = choose_cut(index, target_s=5, default_s=30, workers=8, most_segments=1000)
    assert cut.boundaries == ()
    assert cut.reason == "not cut: two frames have one time"


@pytest.mark.parametrize("keyframe", [732, 750, 768])
def test_cut_snaps_to_a_clean_keyframe_nearby(keyframe: int):
    index = frames_every_tick(1500, [0, keyframe])
    cut = choose_cut(index, target_s=30, default_s=30, workers=2, most_segments=1000)
    assert cut.boundaries == (keyframe,)
    assert cut.reason == "cut into 2 segments of about 30.0 s"
    assert segments_of(index, cut.boundaries)[1].entry_s == Fraction(keyframe, 25)


@pytest.mark.parametrize(("keyframe", "clean"), [(700, True), (800, True), (740, False)])
def test_cut_lies_on_any_frame_where_no_clean_keyframe_is_near(keyframe: int, clean: bool):
    cut = choose_cut(
        frames_every_tick(1500, [0, keyframe], clean), target_s=30, default_s=30, workers=2, most_segments=1000
    )
    assert cut.boundaries == (750,)


def test_decoding_for_a_cut_behind_an_open_keyframe_starts_at_the_one_before():
    index = frames_every_tick(1500, range(0, 1500, 100), clean=False)
    assert segments_of(index, [750])[1].entry_s == Fraction(600, 25)
    assert segments_of(index, [700])[1].entry_s == Fraction(600, 25)


def test_keyframes_too_far_apart_prevent_a_cut():
    cut = choose_cut(frames_every_tick(1500, [0]), target_s=None, default_s=30, workers=3, most_segments=1000)
    assert cut.boundaries == ()
    assert cut.reason == "not cut: most of the source would be decoded twice, its keyframes are too far apart"


def test_fewer_cuts_are_made_where_all_would_decode_too_much_twice():
    cut = choose_cut(frames_every_tick(3000, [0]), target_s=None, default_s=30, workers=4, most_segments=1000)
    assert cut.boundaries == (1500,)
    assert cut.reason == "cut into 2 segments of about 60.0 s"


def test_cut_is_made_where_it_does_not_pay_when_asked_for():
    cut = choose_cut(frames_every_tick(1500, [0]), target_s=20, default_s=30, workers=3, most_segments=1000)
    assert cut.boundaries == (500, 1000)


@pytest.mark.parametrize(
    ("seconds", "workers", "segments"), [(60, 2, 2), (60, 4, 4), (61, 2, 4), (60, 16, 6), (15, 4, 1)]
)
def test_every_worker_has_a_segment_in_the_last_round_unless_they_get_too_short(
    seconds: int, workers: int, segments: int
):
    index = frames_every_tick(seconds * 25, range(0, seconds * 25, 25))
    cut = choose_cut(index, target_s=None, default_s=30, workers=workers, most_segments=1000)
    assert len(cut.boundaries) + 1 == segments


def test_segment_that_would_begin_in_a_gap_begins_at_the_frame_behind_it():
    index = FrameIndex(
        Fraction(1, 25), array("q", [*range(500), *range(1000, 1500)]), (EntryPoint(0, True),), 1, "packets"
    )
    cut = choose_cut(index, target_s=15, default_s=30, workers=2, most_segments=1000)
    assert cut.boundaries == (375, 1000, 1125)

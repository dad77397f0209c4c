"""The videos of the simulations: planned by the real planner, with the seconds that their tasks should take."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from random import Random
from typing import NamedTuple

from bench.fleet_run import FleetJob, Repeat
from reelmill.cost.estimate import estimate_cost
from reelmill.cost.prices import Prices, seconds_of
from reelmill.cost.speeds import mux_of
from reelmill.media.frame_index import EntryPoint, FrameIndex
from reelmill.planning.planner import make_plan
from reelmill.profiles.profile import Profile
from reelmill.settings import Settings
from tests.made_sources import made_audio, made_source, made_video

VIDEO_S = 900
_WORKERS = 30
_STEP_S, _SHORTEST_S, _LONGEST_S = 30, 30, 3 * 3600
_BITRATE_BPS = 8_000_000
_CLOCK, _FRAMES_PER_S = 12800, 25
_DEFAULTS = Settings.model_fields


@dataclass(frozen=True)
class Variation:
    """How unlike videos are. Spreads are those of logarithms; the means stay what they are.

    A `straggler_share` of tasks takes `straggler_times` as long; a `failed_share` is done once more from some point on.
    """

    length: float = 0.0
    video: float = 0.0
    segment: float = 0.0
    straggler_share: float = 0.0
    straggler_times: float = 1.0
    failed_share: float = 0.0


ALIKE = Variation()
UNLIKE = Variation(
    length=0.6, video=0.35, segment=0.25, straggler_share=0.01, straggler_times=3.0, failed_share=0.002
)  # fmt: skip


@dataclass(frozen=True)
class PlannedVideo:
    """The tasks of one video, in CPU seconds by the table of default speeds. The longest comes first.

    Those with a cost are encodes.
    """

    tasks_s: tuple[float, ...]
    costs: tuple[float | None, ...]
    mux_s: float
    output_bytes: int


@dataclass(frozen=True)
class Finishing:
    """What joining takes beyond the mux: seconds to open and compare a second of video, and bytes a second of a store.

    Every piece is fetched, and the output is uploaded.
    """

    verify_s_per_s: float = 0.0
    store_bytes_per_s: float = math.inf
    publish_s: float = 0.0


@lru_cache(maxsize=4096)
def planned_video(seconds: int) -> PlannedVideo:
    """Plan a 1080p video with 25 frames a second and stereo sound to mp4, each slot one core."""
    source = made_source(
        duration_s=Fraction(seconds), size_bytes=seconds * _BITRATE_BPS // 8,
        video=made_video(width=1920, height=1080, end_pts=_CLOCK * seconds),
        audio=(made_audio(end_pts=48000 * seconds),),
    )  # fmt: skip
    plan = make_plan(
        job_key="key", base_name="out", source=source, index=_index(seconds),
        profile=Profile(version=1, name="default"), formats=("mp4",), workers=_WORKERS, segment_s=None,
        default_segment_s=_DEFAULTS["segment_s"].default, most_encode_tasks=_DEFAULTS["max_encode_tasks"].default,
    )  # fmt: skip
    estimate = estimate_cost(plan, Prices(), {}, reads_bucket=True, writes_bucket=True)
    seconds_by_work = {each.work: seconds_of(each.cpu_tenths) for each in estimate.lines}
    video = plan.video[0]
    tasks = [(task.cost, seconds_by_work[video.id] * video.segments[task.segment].frames / video.frames, task.cost)
             for task in plan.order]  # fmt: skip
    tasks += [(track.cost, seconds_by_work[track.id], None) for track in plan.tracks]
    _, ordered, costs = zip(*sorted(tasks, key=lambda costed: -costed[0]), strict=True)
    return PlannedVideo(ordered, costs, seconds_by_work[mux_of("mp4")], estimate.stored_bytes)


def _index(seconds: int) -> FrameIndex:
    """Return the times of the frames, with a keyframe every two seconds."""
    tick = _CLOCK // _FRAMES_PER_S
    entries = tuple(EntryPoint(pts, True) for pts in range(0, seconds * _CLOCK, 2 * _CLOCK))
    return FrameIndex(Fraction(1, _CLOCK), array("q", range(0, seconds * _CLOCK, tick)), entries, tick, "packets")


def draw_jobs(
    arrivals_s: Iterable[float], *, seed: int, variation: Variation, finishing: Finishing = Finishing(), queue: int = 0
) -> list[FleetJob]:
    """Return a video of some 15 minutes for each arrival; equal seeds draw equal videos."""
    random = Random(seed)
    return [_draw(random, arrives_s, variation, finishing, queue) for arrives_s in arrivals_s]


def _draw(random: Random, arrives_s: float, unlike: Variation, finishing: Finishing, queue: int) -> FleetJob:
    wanted_s = VIDEO_S * _factor(random, unlike.length)
    seconds = min(max(round(wanted_s / _STEP_S) * _STEP_S, _SHORTEST_S), _LONGEST_S)
    video, difficulty = planned_video(seconds), _factor(random, unlike.video)
    drawn = [(each * difficulty, cost, _mishaps(random, unlike))
             for each, cost in zip(video.tasks_s, video.costs, strict=True)]  # fmt: skip
    tasks_s = tuple(task_s * mishaps.times for task_s, _, mishaps in drawn)
    repeats = tuple(None if cost is None else Repeat(cost, task_s * mishaps.difficulty)
                    for task_s, cost, mishaps in drawn)  # fmt: skip
    merge_s = video.mux_s + seconds * finishing.verify_s_per_s + 2 * video.output_bytes / finishing.store_bytes_per_s
    return FleetJob(arrives_s, tasks_s, merge_s, finishing.publish_s, queue, repeats)


class _Mishaps(NamedTuple):
    """How many times as long a task takes as on average, and how many of it when nothing goes wrong with it."""

    times: float
    difficulty: float


def _mishaps(random: Random, unlike: Variation) -> _Mishaps:
    """Draw what becomes of a task. A straggler was on a bad machine; a failure may come to it anywhere."""
    times = difficulty = _factor(random, unlike.segment)
    if random.random() < unlike.straggler_share:
        times *= unlike.straggler_times
    if random.random() < unlike.failed_share:
        times *= 1 + random.random()
    return _Mishaps(times, difficulty)


def _factor(random: Random, spread: float) -> float:
    """Return a factor that is 1 on average, with a logarithm of this spread."""
    return random.lognormvariate(-(spread**2) / 2, spread) if spread else 1.0

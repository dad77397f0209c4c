"""Which encodes share a decode, and the order in which they are begun. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from math import ceil

from reelmill.planning.plan import EncodeTask, Segment, VideoRendition

_MEGAPIXEL_COST_S = {"h264": 0.015, "hevc": 0.05, "vp9": 0.08, "av1": 0.02}
"""CPU seconds that encoding a million pixels takes at the default preset, about. Only their order matters."""

_MOST_TIMES_LARGEST = 2
"""Pixels that the encoders of one run may have together, by those of the largest rendition: they are what takes memory.
The rungs of a usual ladder have 1.75 times as many."""


def shared_part(rendition: VideoRendition, segments: Sequence[Segment]) -> Hashable:
    """Return all that is done to the source before `rendition` has frames of its own.

    Where it is equal the same frames are decoded and filtered, for each of `segments`: they can be made once.
    """
    ranges = tuple((each.number, each.start, each.end, each.entry_s) for each in segments)
    filters = rendition.deinterlace, rendition.denoise, rendition.frame_rate, rendition.first_pts
    return rendition.stream_index, filters, ranges


def encode_tasks(video: Iterable[VideoRendition], workers: int) -> tuple[EncodeTask, ...]:
    """Return every segment of every rendition once, what takes longest first.

    Renditions that can share a decode do, in as few runs as leave every worker a task and stay within the memory that
    is meant for one. There is no other bound: wherever it was measured, sharing took less CPU time, as
    docs/architecture.md says.
    """
    shared: dict[Hashable, list[VideoRendition]] = {}
    for each in video:
        if each.segments:
            shared.setdefault(shared_part(each, each.segments), []).append(each)
    tasks = [
        EncodeTask(
            renditions=tuple(each.id for each in group), segment=number, cost=sum(_cost(each, number) for each in group)
        )
        for renditions in shared.values()
        for group in _groups(renditions, workers)
        for number in range(len(group[0].segments))
    ]
    return tuple(sorted(tasks, key=lambda task: -task.cost))


def _groups(renditions: Sequence[VideoRendition], workers: int) -> list[list[VideoRendition]]:
    """Divide renditions of the same frames among as few runs as may be."""
    most_pixels = _MOST_TIMES_LARGEST * max(map(_pixels, renditions))
    count = min(ceil(workers / len(renditions[0].segments)), len(renditions))
    while True:
        groups = _divided(renditions, count)
        if all(sum(map(_pixels, group)) <= most_pixels for group in groups):
            return groups
        count += 1


def _divided(renditions: Sequence[VideoRendition], count: int) -> list[list[VideoRendition]]:
    """Divide them among `count` runs of about the same cost."""
    groups: list[list[VideoRendition]] = [[] for _ in range(count)]
    for each in sorted(renditions, key=lambda each: -_cost(each, 0)):
        min(groups, key=lambda group: sum(_cost(other, 0) for other in group)).append(each)
    return groups


def _pixels(rendition: VideoRendition) -> int:
    width, height = rendition.size
    return width * height


def _cost(rendition: VideoRendition, segment: int) -> float:
    return rendition.segments[segment].frames * _pixels(rendition) * _MEGAPIXEL_COST_S[rendition.codec] / 1e6

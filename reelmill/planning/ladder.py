"""Which renditions an output for streaming has, and where they must have keyframes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from reelmill.media.frame_index import FrameIndex
from reelmill.media.source import VideoStream
from reelmill.planning.picture import fit_scale, kept_size
from reelmill.planning.plan import Segment
from reelmill.profiles.profile import Profile
from reelmill.profiles.streaming import rung_video
from reelmill.profiles.video import VideoSettings


def ladder_of(video: VideoStream, profile: Profile) -> list[VideoSettings]:
    """Return the settings of each rung that does not enlarge the source, the largest first.

    Where all would, the smallest stays, and keeps the source's size. Without a ladder there is one, as `video` says.
    """
    if not profile.ladder:
        return [profile.video]
    size = kept_size(video, profile.video)
    rungs = [rung_video(profile.video, rung, upright=size[1] > size[0]) for rung in profile.ladder]
    return [each for each in rungs if fit_scale(size, each.width, each.height) <= 1] or rungs[-1:]


def segment_starts(index: FrameIndex, segment_s: Fraction) -> tuple[int, ...]:
    """Return the time of the first frame at or after each multiple of `segment_s`, counted from the first frame."""
    step = segment_s / index.time_base
    starts: list[int] = [index.first]
    for number in range(1, ceil((index.end - index.first) / step)):
        start = index.at_or_after(ceil(index.first + number * step))
        if start is not None and start > starts[-1]:
            starts.append(start)
    return tuple(starts)


def with_keyframes(
    segments: Sequence[Segment], index: FrameIndex, starts: Sequence[int], rate: Fraction | None
) -> tuple[Segment, ...]:
    """Return the segments with a keyframe at each of `starts`, which are times of the source.

    A rendition resampled to `rate` counts in frames from the first, and has them on the nearest frame.
    """
    times = list(starts)
    if rate is not None:
        last = segments[-1].start + segments[-1].frames - 1
        rounded = (round((each - index.first) * index.time_base * rate) for each in starts)
        times = sorted({each for each in rounded if each <= last})
    with_times: list[Segment] = []
    for segment in segments:
        stop = len(times) if segment.end is None else bisect_left(times, segment.end)
        inside = times[bisect_left(times, segment.start + 1) : stop]
        with_times.append(segment.model_copy(update={"keyframes": tuple(inside)}))
    return tuple(with_times)

"""Lays out how often the decoder is started for the pictures, and from where. Pure.

The frames of all pictures go into one list. Decoding goes on from one to the next; it jumps to a keyframe instead where
that saves more than a start of ffmpeg takes. So a few pictures of a long video cost some seeks, and many cost one pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reelmill.media.frame_index import EntryPoint, FrameIndex
from reelmill.planning.picture_plan import PictureKind, PictureSet, Span, Stills
from reelmill.planning.segments import NEAR_START_S

_JUMP_MEGAPIXELS = 250
"""What is decoded while ffmpeg starts, seeks and comes from the keyframe to the frame: 120 frames of 1080p."""
_TASK_MEGAPIXELS = 10_000
"""Work of one task, about six seconds: what is lost when it fails."""
_MOST_TASKS = 200
_MOST_FRAMES = 500
"""Of one run: their names must fit into a command."""
_MEGAPIXEL_S = 0.0006


def lay_out_runs(
    index: FrameIndex, sets: Sequence[PictureSet], lead: int, megapixels: float, *, from_start: bool
) -> Iterator[Stills]:
    """Yield the tasks that take every frame of the sets from the source, in order.

    A frame has so many `megapixels`, and the decoder needs `lead` frames before one that is wanted. With `from_start`,
    or where the index has a fault, it starts at the start of the file and nowhere else.
    """
    runs = _Runs(index, lead, megapixels, from_start=from_start or index.fault is not None)
    yield from runs.stills(sets)


class _Runs:
    """Lays out the runs of the decoder over the frames that are wanted."""

    def __init__(self, index: FrameIndex, lead: int, megapixels: float, *, from_start: bool):
        self._index = index
        self._lead = lead
        self._megapixels = megapixels
        self._from_start = from_start

    def stills(self, sets: Sequence[PictureSet]) -> Iterator[Stills]:
        """Yield the tasks: runs in the order of time, together about as much work as one task should be."""
        runs = list(self._runs(sorted({frame for each in sets for frame in each.frames})))
        costs = [self._megapixels_of(*run) for run in runs]
        most = max(_TASK_MEGAPIXELS, sum(costs) / _MOST_TASKS)
        number, held, cost = 0, list[Span](), 0.0
        for (entry, frames), megapixels in zip(runs, costs, strict=True):
            if held and cost + megapixels > most:
                yield Stills(number=number, spans=tuple(held), cost=cost * _MEGAPIXEL_S)
                number, held, cost = number + 1, [], 0.0
            held.append(self._span(entry, frames, sets))
            cost += megapixels
        yield Stills(number=number, spans=tuple(held), cost=cost * _MEGAPIXEL_S)

    def _runs(self, wanted: Iterable[int]) -> Iterator[tuple[EntryPoint | None, list[int]]]:
        began, frames = None, list[int]()
        for frame in wanted:
            entry = None if self._from_start else self._entry(frame)
            if self._starts_anew(began, frames, entry):
                if frames:
                    yield began, frames
                began, frames = entry, []
            frames.append(frame)
        yield began, frames

    def _entry(self, frame: int) -> EntryPoint | None:
        entry = self._index.entry_for(frame, self._lead)
        near_start = entry is None or (entry.pts - self._index.source_first) * self._index.time_base < NEAR_START_S
        return None if near_start else entry

    def _starts_anew(self, began: EntryPoint | None, frames: Sequence[int], entry: EntryPoint | None) -> bool:
        """Whether to jump to the entry: it saves much, or the run that goes on is a task's work already."""
        if len(frames) >= _MOST_FRAMES:
            return True
        if entry is None:
            return False
        reached = frames[-1] if frames else self._index.first
        saved = len(self._index.within(reached, entry.pts)) * self._megapixels
        return saved > _JUMP_MEGAPIXELS or self._megapixels_of(began, frames) > _TASK_MEGAPIXELS

    def _megapixels_of(self, entry: EntryPoint | None, frames: Sequence[int]) -> float:
        if not frames:
            return 0.0
        start = entry.pts if entry else self._index.first
        count = frames[-1] + 1 if self._index.fault else len(self._index.within(start, frames[-1] + 1))
        return count * self._megapixels + _JUMP_MEGAPIXELS

    def _span(self, entry: EntryPoint | None, frames: Sequence[int], sets: Sequence[PictureSet]) -> Span:
        here = set(frames)
        mine: dict[PictureKind, tuple[int, ...]] = {
            each.kind: tuple(frame for frame in each.distinct if frame in here) for each in sets
        }
        return Span(
            entry_s=entry.pts * self._index.time_base if entry else None,
            end=None if self._index.fault else frames[-1] + 1,
            frames={kind: wanted for kind, wanted in mine.items() if wanted},
        )

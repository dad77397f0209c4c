"""A job of the simulated fleet, and what its run knows of its tasks. Which straggle is for the real code to say."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from reelmill.planning.stragglers import straggles_after_s


@dataclass(frozen=True)
class Repeat:
    """How a second try of a task would go: its cost is what its siblings are compared by."""

    cost: float
    takes_s: float


@dataclass(frozen=True)
class FleetJob:
    """One video. `tasks_s` are the seconds of its encodes and tracks, in the order in which its run submits them.

    `publish_s` is what its run does after the merge. The least `queue` is served first. `repeats` are those of
    `tasks_s`, None of what has no siblings; without them nothing is tried twice.
    """

    arrives_s: float
    tasks_s: tuple[float, ...]
    merge_s: float
    publish_s: float = 0.0
    queue: int = 0
    repeats: tuple[Repeat | None, ...] = ()

    @property
    def work_s(self) -> float:
        return sum(self.tasks_s) + self.merge_s


@dataclass(eq=False)
class Task:
    """One try. `other` is the other try of the same work, where there are two."""

    run: Run
    takes_s: float
    repeat: Repeat | None = None
    is_second: bool = False
    began_s: float | None = None
    other: Task | None = None
    is_over: bool = False


@dataclass(eq=False)
class Run:
    """What the process of a run keeps: what it has not submitted yet, and how fast its tasks were."""

    number: int
    job: FleetJob
    waiting: deque[Task] = field(init=False)
    free_s: float = 0.0
    """When its process is done with what it was told to submit."""
    unfinished: int = 0
    looks_s: float = inf
    """When it looks for stragglers next."""
    _alone: dict[Task, None] = field(default_factory=dict["Task", None])
    _paces: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        repeats = self.job.repeats or (None,) * len(self.job.tasks_s)
        self.waiting = deque(Task(self, *each) for each in zip(self.job.tasks_s, repeats, strict=True))
        self.unfinished = len(self.waiting)

    def note_begun(self, task: Task, now_s: float) -> None:
        task.began_s = now_s
        if task.repeat is not None and not task.is_second:
            self._alone[task] = None

    def note_done(self, task: Task, now_s: float) -> None:
        assert task.began_s is not None
        for each in (task, task.other):
            if each is not None:
                self._alone.pop(each, None)
        if task.repeat is not None:
            self._paces.append((now_s - task.began_s) / task.repeat.cost)

    def second_try(self, task: Task) -> Task:
        assert task.repeat is not None
        self._alone.pop(task)
        second = Task(self, task.repeat.takes_s, task.repeat, is_second=True, other=task)
        task.other = second
        return second

    def stragglers(self, factor: float) -> Iterable[tuple[float, Task]]:
        """Yield the tasks that run and had no second try, each with the moment from which it is a straggler."""
        for task in list(self._alone):
            assert task.repeat is not None
            assert task.began_s is not None
            yield task.began_s + straggles_after_s(task.repeat.cost, self._paces, factor), task

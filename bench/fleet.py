"""Simulates a fleet that does many jobs: when each run starts, where its tasks wait, and what is paid for. Pure."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.fleet_run import FleetJob, Run, Task

_RATE_OVER_S = 10


@dataclass(frozen=True)
class Overheads:
    """Seconds that are no encoding: of a run before its first task, of its process for each task, of each task."""

    run_start_s: float = 0.0
    dispatch_s: float = 0.0
    task_s: float = 0.0


@dataclass(frozen=True)
class Fleet:
    """What there is. A slot is a worker that does one task at a time.

    `ready` slots are there from the start, `kept` never go, others do after `idle_s` without a task. A slot that is
    asked for is paid from then on, for `least_paid_s` at least, and takes tasks after `boot_s`. With a
    `straggler_factor` stragglers are tried a second time, as REELMILL_STRAGGLER_FACTOR has it.
    """

    most: int
    ready: int = 0
    kept: int = 0
    runs_at_once: int = 1_000_000
    submitted_at_once: int = 1_000_000
    boot_s: float = 0.0
    boots_per_s: float = math.inf
    idle_s: float = 60.0
    least_paid_s: float = 0.0
    overheads: Overheads = field(default_factory=Overheads)
    straggler_factor: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it, in seconds. `done_s` and `took_s` are of each job: when it was published, and since it arrived.

    `busy_s` has the overheads of tasks in it, `work_s` has not. `standing` says from when on how many slots were paid,
    and how many of them had a task.
    """

    wall_s: float
    work_s: float
    busy_s: float
    paid_s: float
    tasks: int
    done_s: tuple[float, ...]
    took_s: tuple[float, ...]
    standing: tuple[tuple[float, int, int], ...]
    most_tasks_per_s: float
    """Most tasks that ended in a second, on average of ten."""
    second_tries: int = 0
    second_tries_first: int = 0
    """Those of them that were done before the first."""

    @property
    def idle_share(self) -> float:
        """What was paid for and did nothing, of all that was paid for."""
        return 1 - self.busy_s / self.paid_s if self.paid_s else 0.0


@dataclass(eq=False)
class _Slot:
    asked_s: float
    idle_since_s: float = 0.0


def simulate(fleet: Fleet, jobs: Sequence[FleetJob], *, until_s: float = 0.0) -> Outcome:
    """Do all jobs and return what came of it; slots that are kept are paid until `until_s` at least."""
    return _Simulation(fleet, jobs).run(until_s)


class _Simulation:
    """Events in the order of their times; of one time, in the order in which they were made."""

    def __init__(self, fleet: Fleet, jobs: Sequence[FleetJob]):
        self._fleet, self._jobs = fleet, jobs
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self._now = 0.0
        self._arrived: list[tuple[int, float, int]] = []
        self._running = 0
        self._queue: deque[Task] = deque()
        self._slots: dict[Task, _Slot] = {}
        self._free: deque[_Slot] = deque()
        self._watching = False
        self._up, self._busy, self._booting, self._asked = fleet.ready, 0, 0, 0
        self._next_boot_s = 0.0
        self._done_s = [0.0] * len(jobs)
        self._busy_s = self._paid_s = 0.0
        self._ended: Counter[int] = Counter()
        self._tasks = 0
        self._standing: list[tuple[float, int, int]] = []
        self._second_tries = self._second_tries_first = 0

    def run(self, until_s: float) -> Outcome:
        for number, job in enumerate(self._jobs):
            self._at(job.arrives_s, partial(self._arrive, number))
        for _ in range(self._fleet.ready):
            self._rest(_Slot(0.0))
        while self._events:
            self._now, _, act = heapq.heappop(self._events)
            act()
        first = min((each.arrives_s for each in self._jobs), default=0.0)
        wall_s = max(self._done_s, default=0.0) - first
        for slot in self._free:  # those that are kept
            self._paid_s += max(first + wall_s, until_s) - slot.asked_s
        took = tuple(done - job.arrives_s for done, job in zip(self._done_s, self._jobs, strict=True))
        return Outcome(
            wall_s=wall_s, work_s=sum(each.work_s for each in self._jobs), busy_s=self._busy_s, paid_s=self._paid_s,
            tasks=self._tasks, done_s=tuple(self._done_s), took_s=took, standing=tuple(self._standing),
            most_tasks_per_s=max(self._ended.values(), default=0) / _RATE_OVER_S, second_tries=self._second_tries,
            second_tries_first=self._second_tries_first,
        )  # fmt: skip

    def _at(self, time_s: float, act: Callable[[], None]) -> None:
        self._made += 1
        heapq.heappush(self._events, (time_s, self._made, act))

    def _arrive(self, number: int) -> None:
        job = self._jobs[number]
        heapq.heappush(self._arrived, (job.queue, job.arrives_s, number))
        self._start_runs()

    def _start_runs(self) -> None:
        while self._arrived and self._running < self._fleet.runs_at_once:
            number = heapq.heappop(self._arrived)[2]
            self._running += 1
            run = Run(number, self._jobs[number])
            self._at(self._now + self._fleet.overheads.run_start_s, partial(self._begin, run))

    def _begin(self, run: Run) -> None:
        """Submit as much as the Dispatcher does: what is over follows as tasks end."""
        for _ in range(min(self._fleet.submitted_at_once, len(run.waiting))):
            self._submit(run.waiting.popleft())
        if not run.unfinished:
            self._merge(run)

    def _submit(self, task: Task) -> None:
        run = task.run
        run.free_s = max(run.free_s, self._now) + self._fleet.overheads.dispatch_s
        self._at(run.free_s, partial(self._queue_up, task))

    def _queue_up(self, task: Task) -> None:
        if task.is_over:
            return
        self._queue.append(task)
        self._grow()
        self._assign()

    def _grow(self) -> None:
        """Ask for slots until there is one for every task, as far as there may be."""
        wanted = min(self._busy + len(self._queue), self._fleet.most) - self._up - self._booting
        for _ in range(wanted):
            self._next_boot_s = max(self._next_boot_s, self._now) + 1 / self._fleet.boots_per_s
            self._booting += 1
            self._at(self._next_boot_s, self._ask)
            self._at(self._next_boot_s + self._fleet.boot_s, partial(self._be_up, _Slot(self._next_boot_s)))

    def _ask(self) -> None:
        self._asked += 1
        self._note()

    def _be_up(self, slot: _Slot) -> None:
        self._booting -= 1
        self._asked -= 1
        self._up += 1
        self._rest(slot)
        self._assign()

    def _rest(self, slot: _Slot) -> None:
        slot.idle_since_s = self._now
        self._free.append(slot)
        if not self._watching and self._fleet.kept < self._fleet.most:
            self._watching = True
            self._at(self._now + self._fleet.idle_s, self._let_go)

    def _let_go(self) -> None:
        """Let those go that have been idle for long enough: the first ones, since the last is taken first."""
        while self._free and self._up > self._fleet.kept:
            leaves_s = self._free[0].idle_since_s + self._fleet.idle_s
            if leaves_s > self._now:
                self._at(leaves_s, self._let_go)
                return
            slot = self._free.popleft()
            self._up -= 1
            self._paid_s += max(self._now - slot.asked_s, self._fleet.least_paid_s)
            self._note()
        self._watching = False

    def _assign(self) -> None:
        """Give what waits to free slots, first what was submitted first; the slot that rested least, so others go."""
        while self._queue and self._free:
            task = self._queue.popleft()
            self._slots[task] = self._free.pop()
            self._busy += 1
            task.run.note_begun(task, self._now)
            self._at(self._now + task.takes_s + self._fleet.overheads.task_s, partial(self._end, task))
            self._look(task.run)
        self._note()

    def _leave(self, task: Task) -> None:
        """Take a task from its slot, or from the queue; what it took was paid."""
        task.is_over = True
        if task.began_s is None:
            if task in self._queue:
                self._queue.remove(task)
            return
        self._busy -= 1
        self._busy_s += self._now - task.began_s
        self._rest(self._slots.pop(task))

    def _look(self, run: Run) -> None:
        """Try again what is a straggler by now, and come back when the next one would be."""
        factor = self._fleet.straggler_factor
        if factor is None or run.waiting:
            return
        next_s = math.inf
        for moment_s, task in run.stragglers(factor):
            if moment_s <= self._now:
                self._second_tries += 1
                self._submit(run.second_try(task))
            else:
                next_s = min(next_s, moment_s)
        if next_s < run.looks_s or run.looks_s <= self._now < next_s < math.inf:
            run.looks_s = next_s
            self._at(next_s, partial(self._look, run))

    def _end(self, task: Task) -> None:
        if task.is_over:
            return
        run = task.run
        self._tasks += 1
        self._ended[int(self._now // _RATE_OVER_S)] += 1
        self._leave(task)
        if task.other is not None:
            self._second_tries_first += task.is_second
            self._leave(task.other)
        run.note_done(task, self._now)
        run.unfinished -= 1
        if run.waiting:
            self._submit(run.waiting.popleft())
        elif run.unfinished == 0:
            self._merge(run)
        elif run.unfinished < 0:
            self._at(self._now + run.job.publish_s, partial(self._publish, run))
        self._look(run)
        self._assign()

    def _merge(self, run: Run) -> None:
        """Submit the merge, the last task of a run."""
        self._submit(Task(run, run.job.merge_s))

    def _publish(self, run: Run) -> None:
        self._done_s[run.number] = self._now
        self._running -= 1
        self._start_runs()

    def _note(self) -> None:
        now = (self._now, self._up + self._asked, self._busy)
        if self._standing and self._standing[-1][0] == self._now:
            self._standing[-1] = now
        else:
            self._standing.append(now)

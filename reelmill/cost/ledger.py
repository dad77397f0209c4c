"""Counts what every ffmpeg run of a job took, those that failed as well, and says when it is more than the budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from reelmill.attempts import lineage
from reelmill.cost.prices import Prices, billed_tenths, divided, money_text
from reelmill.errors import BudgetExceeded


@dataclass(frozen=True)
class Run:
    """One run of ffmpeg. `work` is the rendition, track or format that it was for; `segment` is None of what is whole.

    A run for several renditions is one for each of them, with its share. Seconds are in tenths, rounded up.
    """

    work: str
    segment: int | None
    cpu_tenths: int
    wall_tenths: int
    failed: bool


class Note:
    """What one run tells a ledger of itself; without a ledger nothing."""

    def __init__(self, ledger: Ledger | None, work: str | Mapping[str, float], segment: int | None):
        self._ledger = ledger
        self.work = work
        self.segment = segment
        self.began_s = time.monotonic()
        self.took: tuple[float, float] | None = None

    def at_work(self, cpu_s: float) -> None:
        """Take the CPU seconds so far."""
        if self._ledger is not None:
            self._ledger.at_work(self, cpu_s)

    def ended(self, cpu_s: float, wall_s: float) -> None:
        """Take the CPU seconds and the seconds that it took in all."""
        self.took = cpu_s, wall_s


class Ledger:
    """The runs of one job. Safe to use from many threads. `moved_bytes` were, or will be, read from a bucket."""

    def __init__(self, prices: Prices, *, budget_nanos: int | None = None, moved_bytes: int = 0):
        self.prices = prices
        self.moved_bytes = moved_bytes
        self._budget_nanos = budget_nanos
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._at_work: dict[object, float] = {}

    def at_work(self, run: object, cpu_s: float) -> None:
        """Note how many CPU seconds a run has taken so far; they count for the budget until it is left."""
        with self._lock:
            self._at_work[run] = cpu_s

    def leave(self, run: object) -> None:
        with self._lock:
            self._at_work.pop(run, None)

    def note(
        self, work: str | Mapping[str, float], segment: int | None, cpu_s: float, wall_s: float, *, failed: bool
    ) -> None:
        """Note what a run took; with several works, each with its weight, it is divided among them without a rest."""
        self.add(_divided(work, segment, cpu_s, wall_s, failed=failed))

    def add(self, runs: Iterable[Run]) -> None:
        """Take runs that another ledger noted, that of another process."""
        with self._lock:
            self._runs += runs

    @property
    def runs(self) -> list[Run]:
        with self._lock:
            return list(self._runs)

    def unfinished(self) -> list[Run]:
        """Return what is at work here as the runs that it would be if it were killed now."""
        with self._lock:
            at_work = [(note, cpu_s) for note, cpu_s in self._at_work.items() if isinstance(note, Note)]
        now_s = time.monotonic()
        return [
            run
            for note, cpu_s in at_work
            for run in _divided(note.work, note.segment, cpu_s, now_s - note.began_s, failed=True)
        ]

    @property
    def nanos(self) -> int:
        """What was spent so far: each run is priced by itself, so that what is added up is exact."""
        return self._priced(each.cpu_tenths for each in self.runs)

    def _priced(self, tenths: Iterable[int]) -> int:
        return sum(map(self.prices.of_cpu, tenths)) + self.prices.of_moved(self.moved_bytes)

    def refuse_overspent(self) -> None:
        """Raise BudgetExceeded when more was spent than the budget of the job, with what is at work."""
        if self._budget_nanos is None:
            return
        with self._lock:  # both at one moment: what ends now must not count twice
            tenths = [each.cpu_tenths for each in self._runs] + [billed_tenths(each) for each in self._at_work.values()]
        if self._priced(tenths) > self._budget_nanos:
            raise BudgetExceeded(
                f"budget: all of {money_text(self._budget_nanos, self.prices.currency)} is spent; what is finished is "
                "kept and costs nothing again: run the same job with a budget for the rest"
            )


def _divided(
    work: str | Mapping[str, float], segment: int | None, cpu_s: float, wall_s: float, *, failed: bool
) -> list[Run]:
    weights = {work: 1.0} if isinstance(work, str) else work
    cpu, wall = (divided(billed_tenths(each), list(weights.values())) for each in (cpu_s, wall_s))
    return [Run(name, segment, cpu[n], wall[n], failed) for n, name in enumerate(weights)]


_ledgers: dict[str, Ledger] = {}


def open_ledger(attempt: str, ledger: Ledger) -> None:
    """Have `ledger` note the runs of an attempt and its parts in this process, until it is closed."""
    _ledgers[attempt] = ledger


def ledger_of(attempt: str) -> Ledger | None:
    """Return the ledger that is open in this process for an attempt, or for what it is a part of."""
    return next((_ledgers[each] for each in lineage(attempt) if each in _ledgers), None)


def refuse_overspent(attempt: str) -> None:
    """Raise BudgetExceeded when the job of an attempt has spent more than its budget."""
    if ledger := ledger_of(attempt):
        ledger.refuse_overspent()


@contextmanager
def noted(attempt: str, work: str | Mapping[str, float], segment: int | None) -> Generator[Note]:
    """Give what a run tells of itself, and put it into the ledger of the attempt; as failed when the block fails."""
    ledger, failed = ledger_of(attempt), True
    note = Note(ledger, work, segment)
    try:
        yield note
        failed = False
    finally:
        if ledger is not None:
            ledger.leave(note)
            if note.took is not None:
                ledger.note(work, segment, *note.took, failed=failed)


def close_ledger(ledger: Ledger) -> None:
    for attempt in [name for name, each in _ledgers.items() if each is ledger]:
        del _ledgers[attempt]

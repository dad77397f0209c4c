"""Counts what every ffmpeg run of a job took, those that failed as well, and says when it is more than the budget."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from reelmill.cost.prices import Prices, billed_tenths, money_text
from reelmill.errors import BudgetExceeded


@dataclass(frozen=True)
class Run:
    """One run of ffmpeg. `work` is the rendition, track or format that it was for; `segment` is None of what is whole.

    Seconds are in tenths, rounded up.
    """

    work: str
    segment: int | None
    cpu_tenths: int
    wall_tenths: int
    failed: bool


class Ledger:
    """The runs of one job. Safe to use from many threads. `moved_bytes` were, or will be, read from a bucket."""

    def __init__(self, prices: Prices, *, budget_nanos: int | None = None, moved_bytes: int = 0):
        self.prices = prices
        self.moved_bytes = moved_bytes
        self._budget_nanos = budget_nanos
        self._lock = threading.Lock()
        self._runs: list[Run] = []

    def note(self, work: str, segment: int | None, cpu_s: float, wall_s: float, *, failed: bool) -> None:
        run = Run(work, segment, billed_tenths(cpu_s), billed_tenths(wall_s), failed)
        with self._lock:
            self._runs.append(run)

    @property
    def runs(self) -> list[Run]:
        with self._lock:
            return list(self._runs)

    @property
    def nanos(self) -> int:
        """What was spent so far: each run is priced by itself, so that what is added up is exact."""
        return sum(self.prices.of_cpu(each.cpu_tenths) for each in self.runs) + self.prices.of_moved(self.moved_bytes)

    def refuse_overspent(self) -> None:
        """Raise BudgetExceeded when more was spent than the budget of the job."""
        if self._budget_nanos is not None and (spent := self.nanos) > self._budget_nanos:
            currency = self.prices.currency
            raise BudgetExceeded(
                f"budget: {money_text(spent, currency)} are spent of {money_text(self._budget_nanos, currency)}; what "
                "is finished is kept and costs nothing again: run the same job to go on with as much, or with more"
            )


_ledgers: dict[str, Ledger] = {}


def open_ledger(attempt: str, ledger: Ledger) -> None:
    """Have `ledger` note the runs of an attempt in this process, until it is closed. One may have many attempts."""
    _ledgers[attempt] = ledger


def share_ledger(attempt: str, other: str) -> None:
    """Have what runs as part of `other` noted in the ledger of `attempt`, where it has one."""
    if attempt in _ledgers:
        _ledgers[other] = _ledgers[attempt]


def refuse_overspent(attempt: str) -> None:
    """Raise BudgetExceeded when the job of an attempt has spent more than its budget."""
    if attempt in _ledgers:
        _ledgers[attempt].refuse_overspent()


def ledger_of(attempt: str) -> Ledger | None:
    return _ledgers.get(attempt)


def close_ledger(ledger: Ledger) -> None:
    for attempt in [name for name, each in _ledgers.items() if each is ledger]:
        del _ledgers[attempt]

"""Prices, and what they make of seconds and bytes. Money is counted in nanos, whole billionths of the currency."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate, pairwise
from typing import Annotated

from pydantic import Field, PlainSerializer

from reelmill.frozen import Frozen

TENTHS_PER_S = 10


def _plain(amount: Decimal) -> str:
    return f"{amount:f}"


Amount = Annotated[Decimal, PlainSerializer(_plain, return_type=str, when_used="json")]
"""Money in units of the currency. In JSON it is text, and never in powers of ten."""


class Prices(Frozen):
    """What a second and a gigabyte (10^9 bytes) cost, in units of the currency."""

    currency: str = Field(default="USD", description="Unit of all amounts")
    vcpu_s: Amount = Field(default=Decimal(0), description="Price of a second of a vCPU")
    moved_gb: Amount = Field(default=Decimal(0), description="Price of a GB read from or written to a bucket")
    stored_gb: Amount = Field(default=Decimal(0), description="Price of a GB of results, kept for a month")

    @property
    def are_set(self) -> bool:
        return any((self.vcpu_s, self.moved_gb, self.stored_gb))

    def of_cpu(self, tenths: int) -> int:
        """Return the nanos that this many tenths of a vCPU second cost."""
        return _whole(self.vcpu_s * tenths * (10**9 // TENTHS_PER_S))

    def of_moved(self, size_bytes: int) -> int:
        return _whole(self.moved_gb * size_bytes)

    def of_stored(self, size_bytes: int) -> int:
        return _whole(self.stored_gb * size_bytes)


def billed_tenths(seconds: float) -> int:
    """Return seconds in tenths, rounded up. They are taken to the microsecond, which is what rusage counts in."""
    return -(-round(seconds * 1_000_000) // (1_000_000 // TENTHS_PER_S))


def seconds_of(tenths: int) -> float:
    return tenths / TENTHS_PER_S


def amount_of(nanos: int) -> Decimal:
    """Return nanos in units of the currency, with nine places."""
    return Decimal(nanos).scaleb(-9)


def nanos_of(amount: Decimal) -> int:
    return _whole(amount.scaleb(9))


def shares(nanos: int, among: int) -> list[int]:
    """Divide an amount evenly, without losing or making any: the first shares are larger by one where it must be."""
    each, left = divmod(nanos, among)
    return [each + (n < left) for n in range(among)]


def divided(whole: int, weights: Sequence[float]) -> list[int]:
    """Divide by weights, without losing or making any; each part is off by less than one."""
    sums = list(accumulate(weights))
    reached = [round(whole * each / sums[-1]) for each in sums]
    return [after - before for before, after in pairwise([0, *reached])]


def money_text(nanos: int, currency: str) -> str:
    """Return an amount for people: to the cent from one unit on, else with three digits that say something."""
    amount = amount_of(nanos)
    places = 2 if abs(amount) >= 1 or not amount else min(9, 2 - amount.adjusted())
    return f"{amount:,.{places}f} {currency}"


def off_percent(estimated: int, actual: int) -> float | None:
    """Return by how much of the actual amount an estimate was too high, or, negative, too low; None of nothing."""
    return round(100 * (estimated - actual) / actual, 1) if actual else None


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_UP))

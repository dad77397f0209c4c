"""Names of attempts: a part of an attempt is named below it, and what holds for the attempt holds for the part."""

from __future__ import annotations

from collections.abc import Iterator

_BELOW = "/"


def part_of(attempt: str, name: str) -> str:
    """Name a part of an attempt: it is cancelled with the attempt, and shares its ledger and its board."""
    return f"{attempt}{_BELOW}{name}"


def lineage(attempt: str) -> Iterator[str]:
    """Yield the attempt, and then what it is a part of, the nearest first."""
    while attempt:
        yield attempt
        attempt = attempt.rpartition(_BELOW)[0]

"""How far an order is from the one that was wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def share_out_of_order(priorities: Sequence[int]) -> float:
    """Return the share of the pairs of different priorities whose larger one, which can wait, came first.

    `priorities` are in the order in which things were begun. 0 for the best order, 1 for its reverse.
    """
    begun = Counter[int]()
    wrong = pairs = 0
    for priority in priorities:
        wrong += sum(count for other, count in begun.items() if other > priority)
        pairs += sum(count for other, count in begun.items() if other != priority)
        begun[priority] += 1
    return wrong / pairs if pairs else 0.0

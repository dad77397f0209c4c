"""What a transfer is expected to take, and what it took: requests, and bytes read from and written to buckets."""

from __future__ import annotations

from decimal import Decimal

from reelmill.settings import settings
from reelmill.transfer.report import TransferCost

REQUESTS_PER_SMALL = 5
"""To look at both ends, ask for tags, read and write."""
REQUESTS_PER_LARGE = 8
"""To look at both ends before and at the copy after, ask for tags, begin, list, complete; its parts come on top."""
_GB = 10**9


def cost_of(requests: int, read_bytes: int, written_bytes: int) -> TransferCost:
    """Return this at the prices that are set."""
    wanted = settings()
    moved = wanted.price_moved_gb * (read_bytes + written_bytes) / _GB
    amount = moved + wanted.price_requests_1000 * requests / 1000
    return TransferCost(
        requests=requests, read_bytes=read_bytes, written_bytes=written_bytes,
        amount=amount.quantize(Decimal("1e-9")), currency=wanted.price_currency,
    )  # fmt: skip


def cost_text(cost: TransferCost) -> str:
    """Return it for people; without an amount where no prices are set."""
    text = f"{cost.requests:,} requests, {cost.read_bytes:,} bytes read from buckets, {cost.written_bytes:,} written"
    return f"{text}, {cost.amount.normalize():f} {cost.currency}" if cost.amount else text

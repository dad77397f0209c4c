"""Prints what a transfer would do, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from reelmill.transfer.plan import TransferPlan
    from reelmill.transfer.report import ObjectFailure, TransferReport

_MOST_SHOWN = 20


def plan_as_json(plan: TransferPlan) -> dict[str, Any]:
    """Return the plan as what JSON can hold."""
    return {
        "source": str(plan.source), "destination": str(plan.destination), "by_store": plan.by_store,
        "size_bytes": plan.size_bytes, "parts": plan.parts,
        "objects": [
            {
                "source": str(each.source), "destination": str(each.destination), "size_bytes": each.size_bytes,
                "parts": each.parts, "part_bytes": each.part_bytes,
            }
            for each in plan.objects
        ],
        "expected_s": plan.expected_s, "estimate": plan.estimate.model_dump(mode="json"),
        "warnings": list(plan.warnings), "failed": [each.model_dump() for each in plan.failed],
    }  # fmt: skip


def print_plan(console: Console, plan: TransferPlan) -> None:
    """Print the objects, their parts, and what it is expected to cost."""
    from reelmill.transfer.cost import cost_text

    table = Table("object", "size", "parts", "of", "to")
    for each in plan.objects[:_MOST_SHOWN]:
        part = _size(min(each.part_bytes, each.size_bytes))
        table.add_row(str(each.source), _size(each.size_bytes), f"{each.parts:,}", part, str(each.destination))
    console.print(table)
    _more(console, len(plan.objects))
    way = "the store copies the large ones by itself" if plan.by_store else "through this machine"
    console.print(f"{len(plan.objects):,} objects, {_size(plan.size_bytes)}, {way}")
    if plan.expected_s is not None and plan.size_bytes:
        console.print(f"about {plan.expected_s:,.0f} s at the rate that is known")
    console.print(f"expected: {cost_text(plan.estimate)}")
    _tell(console, plan.warnings, plan.failed)


def print_report(console: Console, report: TransferReport) -> None:
    """Print what was copied, what it was compared with, how fast, and what it cost."""
    from reelmill.transfer.cost import cost_text

    table = Table("object", "size", "parts", "kept", "compared with", "CRC-32", "outcome")
    for each in report.objects[:_MOST_SHOWN]:
        proof = f"{each.proof or ''}{', read again' if each.read_again else ''}"
        kept = f"{each.kept_parts:,}" if each.kept_parts else ""
        parts = f"{each.parts:,}" if each.outcome == "copied" else ""
        table.add_row(
            each.destination, _size(each.size_bytes), parts, kept, proof, each.crc32 or "", each.outcome
        )  # fmt: skip
    console.print(table)
    _more(console, len(report.objects))
    rate = f", {report.bytes_per_s / 1e6:,.1f} MB/s" if report.moved_bytes else ""
    console.print(
        f"{report.copied:,} of {len(report.objects) + len(report.failed):,} copied, {_size(report.moved_bytes)} moved "
        f"in {report.wall_s:.1f} s{rate}",
    )
    console.print(f"cost: {cost_text(report.cost)}")
    _tell(console, report.warnings, report.failed)


def _more(console: Console, count: int) -> None:
    if count > _MOST_SHOWN:
        console.print(f"and {count - _MOST_SHOWN:,} more; --json prints them all")


def _tell(console: Console, warnings: tuple[str, ...], failed: tuple[ObjectFailure, ...]) -> None:
    for each in warnings:
        console.print(f"warning: {each}")
    for each in failed[:_MOST_SHOWN]:
        console.print(f"failed: {each.source}: {each.code}: {each.message}")
    _more(console, len(failed))


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 1e5 else f"{size_bytes:,} B"

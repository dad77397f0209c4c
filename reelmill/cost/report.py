"""What a job did cost, beside what was expected: for its segments, its renditions, its formats and in all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from pydantic import Field

from reelmill.cost.estimate import Estimate
from reelmill.cost.ledger import Ledger, Run
from reelmill.cost.prices import (
    TENTHS_PER_S,
    Amount,
    Prices,
    amount_of,
    money_text,
    nanos_of,
    off_percent,
    seconds_of,
    shares,
)
from reelmill.cost.speeds import Sample, mux_of
from reelmill.frozen import Frozen
from reelmill.planning.plan import Plan


class WorkCost(Frozen):
    """What one rendition or track took in this run of the job, tries that failed included."""

    work: str = Field(description="Rendition or track")
    runs: int = Field(description="ffmpeg runs; none for what was kept from before")
    failed_runs: int = Field(description="Those of them that failed")
    cpu_s: float = Field(description="CPU seconds, each run rounded up to 100 ms")
    wall_s: float = Field(description="Seconds they lasted, each rounded up to 100 ms")
    amount: Amount = Field(description="Cost")


class SegmentCost(Frozen):
    """What one segment took in this run of the job, tries that failed included."""

    rendition: str = Field(description="Rendition")
    segment: int = Field(description="Number of the segment, from 0")
    cpu_s: float = Field(description="CPU seconds, each run rounded up to 100 ms")
    wall_s: float = Field(description="Seconds they lasted, each rounded up to 100 ms")
    amount: Amount = Field(description="Cost")


class FormatCost(Frozen):
    """What one format cost: its mux, its bytes, and its even share of each rendition that formats have in common."""

    format: str = Field(description="Format")
    amount: Amount = Field(description="Cost")


class JobCost(Frozen):
    """What this run of the job cost. Amounts are text, to nine places: see [cost](cost.md)."""

    prices: Prices = Field(default=Prices(), description="Prices it was counted by")
    amount: Amount = Field(default=Decimal(0), description="Cost of the job")
    estimated: Amount = Field(default=Decimal(0), description="What was expected before")
    off_percent: float | None = Field(
        default=None,
        description="By how much of the cost the estimate was too high, or, negative, too low; null of no cost",
    )
    cpu_s: float = Field(default=0.0, description="CPU seconds of all ffmpeg runs, each rounded up to 100 ms")
    estimated_cpu_s: float = Field(default=0.0, description="What was expected of them")
    off_cpu_percent: float | None = Field(default=None, description="The same as `off_percent`, of CPU seconds")
    wall_s: float = Field(default=0.0, description="Seconds of all runs, each rounded up to 100 ms; side by side")
    runs: int = Field(default=0, description="ffmpeg runs; one that made several renditions counts for each")
    failed_runs: int = Field(default=0, description="Those of them that failed; they cost as well")
    moved_bytes: int = Field(default=0, description="Read from and written to buckets")
    stored_bytes: int = Field(default=0, description="Results to be kept")
    renditions: tuple[WorkCost, ...] = Field(default=(), description="Cost by rendition")
    formats: tuple[FormatCost, ...] = Field(default=(), description="Cost by format")
    segments: tuple[SegmentCost, ...] = Field(default=(), description="Cost by segment of the video")
    samples: tuple[Sample, ...] = Field(default=(), description="Speeds that were measured")

    @property
    def text(self) -> str:
        """What it was in words."""
        return cost_text(
            self.prices.currency, nanos_of(self.amount), self.cpu_s, nanos_of(self.estimated), self.estimated_cpu_s
        )


def job_cost(
    plan: Plan, ledger: Ledger, estimate: Estimate, sizes: Mapping[str, int], *, writes_bucket: bool,
    samples: Sequence[Sample] = (),
) -> JobCost:  # fmt: skip
    """Return what the job cost. `sizes` are the bytes of the outputs by format."""
    prices, runs = ledger.prices, ledger.runs
    works = [_work_cost(prices, each, [run for run in runs if run.work == each]) for each in _works(plan)]
    formats = _by_format(plan, prices, runs, sizes, writes_bucket=writes_bucket)
    muxes = {mux_of(each.label) for each in plan.outputs}
    elsewhere = [run for run in runs if run.work not in muxes and run.work not in set(_works(plan))]
    total = sum(formats.values()) + prices.of_moved(ledger.moved_bytes) + _nanos(prices, elsewhere)
    cpu_tenths = sum(run.cpu_tenths for run in runs)
    return JobCost(
        prices=prices, amount=amount_of(total), estimated=amount_of(estimate.nanos),
        off_percent=off_percent(estimate.nanos, total), cpu_s=seconds_of(cpu_tenths),
        estimated_cpu_s=seconds_of(estimate.cpu_tenths), off_cpu_percent=off_percent(estimate.cpu_tenths, cpu_tenths),
        wall_s=seconds_of(sum(run.wall_tenths for run in runs)), runs=len(runs),
        failed_runs=sum(run.failed for run in runs),
        moved_bytes=ledger.moved_bytes + sum(sizes.values()) * writes_bucket, stored_bytes=sum(sizes.values()),
        renditions=tuple(works),
        formats=tuple(FormatCost(format=name, amount=amount_of(nanos)) for name, nanos in formats.items()),
        segments=tuple(_segments(prices, runs)), samples=tuple(samples),
    )  # fmt: skip


def cost_text(
    currency: str, amount: int, cpu_s: float, estimated: int | None = None, estimated_cpu_s: float | None = None
) -> str:
    """Return in words what a job cost, and how far its estimate, if it had one, was off. Amounts are in nanos.

    Where no price was set, it is counted in CPU seconds.
    """
    seconds = f"{cpu_s:,.1f} CPU seconds"
    spent = f"{money_text(amount, currency)} for {seconds}" if amount else seconds
    if estimated is None or estimated_cpu_s is None:
        return spent
    if amount or estimated:
        return f"{spent}; expected {money_text(estimated, currency)}{_off_text(off_percent(estimated, amount))}"
    off = off_percent(round(TENTHS_PER_S * estimated_cpu_s), round(TENTHS_PER_S * cpu_s))
    return f"{spent}; expected {estimated_cpu_s:,.1f}{_off_text(off)}"


def _off_text(percent: float | None) -> str:
    return "" if percent is None else f" ({abs(percent):.0f} % too {'little' if percent < 0 else 'much'})"


def _works(plan: Plan) -> list[str]:
    return [*(each.id for each in plan.video), *(each.id for each in plan.tracks)]


def _by_format(
    plan: Plan, prices: Prices, runs: Sequence[Run], sizes: Mapping[str, int], *, writes_bucket: bool
) -> dict[str, int]:
    nanos: dict[str, int] = {}
    users: dict[str, list[str]] = {}
    for output in plan.outputs:
        size = sizes[output.label]
        mux = _nanos(prices, (run for run in runs if run.work == mux_of(output.label)))
        nanos[output.label] = mux + prices.of_stored(size) + prices.of_moved(size) * writes_bucket
        for work in (*output.videos, *output.tracks):
            users.setdefault(work, []).append(output.label)
    for work, formats in users.items():
        spent = _nanos(prices, (run for run in runs if run.work == work))
        for format, share in zip(formats, shares(spent, len(formats)), strict=True):
            nanos[format] += share
    return nanos


def _work_cost(prices: Prices, work: str, runs: Sequence[Run]) -> WorkCost:
    return WorkCost(
        work=work, runs=len(runs), failed_runs=sum(run.failed for run in runs),
        cpu_s=seconds_of(sum(run.cpu_tenths for run in runs)),
        wall_s=seconds_of(sum(run.wall_tenths for run in runs)), amount=amount_of(_nanos(prices, runs)),
    )  # fmt: skip


def _segments(prices: Prices, runs: Iterable[Run]) -> Iterable[SegmentCost]:
    by_segment: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        if run.segment is not None:
            by_segment.setdefault((run.work, run.segment), []).append(run)
    for (rendition, number), mine in sorted(by_segment.items()):
        yield SegmentCost(
            rendition=rendition, segment=number, cpu_s=seconds_of(sum(run.cpu_tenths for run in mine)),
            wall_s=seconds_of(sum(run.wall_tenths for run in mine)), amount=amount_of(_nanos(prices, mine)),
        )  # fmt: skip


def _nanos(prices: Prices, runs: Iterable[Run]) -> int:
    return sum(prices.of_cpu(run.cpu_tenths) for run in runs)

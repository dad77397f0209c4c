"""Prices a job by this machine's settings and the speeds in the catalog, and refuses what is beyond its budget."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from platform import machine

from reelmill.catalog.reading import measured_speeds
from reelmill.cost.estimate import Estimate, Kept, estimate_cost, kinds_in
from reelmill.cost.ledger import Ledger
from reelmill.cost.prices import Prices, money_text, nanos_of
from reelmill.cost.report import JobCost, job_cost
from reelmill.cost.speeds import (
    Sample,
    Speeds,
    kind_of_measuring,
    kind_of_mux,
    kind_of_track,
    kind_of_video,
    measuring_of,
    mux_of,
    pixels_of,
)
from reelmill.encoding.pieces import piece_key
from reelmill.encoding.whole_tracks import track_key
from reelmill.errors import BudgetExceeded, CatalogFailed, InvalidParameter
from reelmill.job import TranscodeJob
from reelmill.planning.plan import Plan
from reelmill.profiles.quality import QualitySettings
from reelmill.records import PieceRecord, TrackRecord
from reelmill.settings import settings
from reelmill.storage.location import Location, S3Location
from reelmill.storage.readable import Pinned
from reelmill.workspace import earlier_work

_log = logging.getLogger(__name__)


def prices() -> Prices:
    """Return the prices that are set."""
    here = settings()
    return Prices(
        currency=here.price_currency, vcpu_s=here.price_vcpu_s, moved_gb=here.price_moved_gb,
        stored_gb=here.price_stored_gb,
    )  # fmt: skip


def estimate_job(plan: Plan, output: Location, quality: QualitySettings) -> Estimate:
    """Return what a job is expected to cost: what an earlier run of it finished costs nothing again.

    A job that was begun goes on by the plan it began with. Without a catalog that can be read, speeds are those of the
    table of defaults. Raises StoreFailed.
    """
    begun, finished = earlier_work(plan.job_key)
    plan = begun or plan
    speeds: Speeds = {}
    try:
        speeds = measured_speeds(kinds_in(plan, quality.compare_every), cpu_class())
    except CatalogFailed as error:
        _log.warning("%s; the cost is estimated by the table of default speeds", error)
    return estimate_cost(
        plan, prices(), speeds, reads_bucket=_is_bucket(plan.source.pinned.location),
        writes_bucket=_is_bucket(output), kept=_kept(plan, finished), compare_every=quality.compare_every,
    )  # fmt: skip


def refuse_over_budget(job: TranscodeJob, estimate: Estimate) -> None:
    """Raise BudgetExceeded when more than the budget is expected, InvalidParameter when there is no price."""
    if job.budget is None:
        return
    if not estimate.prices.are_set:
        raise InvalidParameter("budget: no price is set, so nothing would count; REELMILL_PRICE_VCPU_S is one")
    if estimate.nanos > nanos_of(job.budget):
        currency = estimate.prices.currency
        expected, budget = money_text(estimate.nanos, currency), money_text(nanos_of(job.budget), currency)
        raise BudgetExceeded(f"budget: {expected} are expected, and the budget is {budget}")


def ledger_for(job: TranscodeJob, sources: Iterable[Pinned]) -> Ledger:
    """Return an empty ledger that knows the budget of the job."""
    budget = None if job.budget is None else nanos_of(job.budget)
    moved = sum(each.size_bytes for each in sources if _is_bucket(each.location))
    return Ledger(prices(), budget_nanos=budget, moved_bytes=moved)


def measured_cost(
    plan: Plan, ledger: Ledger, estimate: Estimate, output: Location, sizes: Mapping[str, int],
    pieces: Mapping[str, Sequence[PieceRecord]], tracks: Mapping[str, TrackRecord], quality: QualitySettings,
) -> JobCost:  # fmt: skip
    """Return what the job cost, with the speeds that it was done at. `sizes` are the bytes of the outputs by format."""
    samples = _samples(plan, ledger, sizes, pieces, tracks, quality)
    return job_cost(plan, ledger, estimate, sizes, writes_bucket=_is_bucket(output), samples=samples)


@lru_cache(maxsize=1)
def cpu_class() -> str:
    """Return what this machine's CPU calls itself; its architecture where it has no name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    fields = (line.partition(":") for line in lines)
    names = (value.strip() for name, _, value in fields if name.strip() == "model name")
    return next(names, machine() or "unknown")[:100]


def _samples(
    plan: Plan, ledger: Ledger, sizes: Mapping[str, int], pieces: Mapping[str, Sequence[PieceRecord]],
    tracks: Mapping[str, TrackRecord], quality: QualitySettings,
) -> list[Sample]:  # fmt: skip
    samples: list[Sample] = []

    def add(**fields: object) -> None:
        sample = Sample.model_validate({"cpu_class": cpu_class(), **fields})
        if sample.work > 0:
            samples.append(sample)

    for video in plan.video:
        made = [each for each in pieces.get(video.id, ()) if not each.reused]
        if made:
            add(
                rendition=video.id, kind=kind_of_video(plan.source, video),
                work=pixels_of(video, sum(each.frames for each in made)),
                cpu_ms=_ms(sum(each.cpu_s for each in made)), size_bytes=sum(each.size_bytes for each in made),
            )  # fmt: skip
    for track in plan.tracks:
        record = tracks[track.id]
        if not record.reused:
            add(
                rendition=track.id, kind=kind_of_track(track), work=_ms(record.end_s - record.start_s),
                cpu_ms=_ms(record.cpu_s), size_bytes=record.size_bytes,
            )  # fmt: skip
    for video in plan.video:
        if quality.compare_every is not None and video.segments:
            work = measuring_of(video.id)
            runs, cpu_ms = _spent(ledger, work)
            kind = kind_of_measuring(plan.source, video, quality.compare_every)
            frames = video.frames * runs // len(video.segments)
            add(rendition=work, kind=kind, work=pixels_of(video, frames), cpu_ms=cpu_ms, size_bytes=0)
    for format, size in sizes.items():
        mux = mux_of(format)
        add(rendition=mux, kind=kind_of_mux(format), work=size, cpu_ms=_spent(ledger, mux)[1], size_bytes=size)
    return samples


def _spent(ledger: Ledger, work: str) -> tuple[int, int]:
    """Return how many runs succeeded at it, and their CPU milliseconds."""
    runs = [run for run in ledger.runs if run.work == work and not run.failed]
    return len(runs), sum(100 * run.cpu_tenths for run in runs)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _kept(plan: Plan, finished: frozenset[str]) -> Kept:
    if not finished:
        return ()
    video = {
        (each.id, segment.number)
        for each in plan.video
        for segment in each.segments
        if piece_key(*plan.encode(each.id, segment.number)) in finished
    }
    return video | {(each.id, 0) for each in plan.tracks if track_key(plan.sources, each) in finished}


def _is_bucket(place: Location) -> bool:
    return isinstance(place, S3Location)

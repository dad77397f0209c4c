"""What a catalog is filled with under test: a manifest, a plan and pieces that nobody encoded; and all of its rows."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from sqlalchemy import text

from reelmill.catalog.database import read
from reelmill.catalog.tables import Table
from reelmill.catalog.writing import Attempt
from reelmill.cost.prices import Prices
from reelmill.cost.report import FormatCost, JobCost, SegmentCost, WorkCost
from reelmill.cost.speeds import Kind, Sample
from reelmill.manifest import Manifest, OutputReport, RenditionReport, SourceReport
from reelmill.planning.plan import Plan
from reelmill.records import PieceRecord
from reelmill.storage.readable import Pinned

ATTEMPT, KEY, SOURCE = "a" * 32, "k" * 40, "s" * 40
SPEED = Kind(codec="h264", preset="medium", size="720p", source_size="1080p")
BEGAN = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def attempt(name: str = ATTEMPT, *, key: str = KEY, source: str = SOURCE, run: str | None = "run-1") -> Attempt:
    return Attempt(
        name=name, job_key=key, source=Pinned(Path("/videos/übung.mov"), 5_000_000_000, "1", source),
        output=Path("/results"), profile="default", run=run, began=BEGAN, ffmpeg_version="9.0",
    )  # fmt: skip


def manifest(name: str = ATTEMPT, *, key: str = KEY, source: str = SOURCE, **fields: Any) -> Manifest:
    output = OutputReport(
        format="mp4", file_name="übung.mp4", size_bytes=3_000_000_000, sha256="f" * 64, duration_s=20.0, frames=500,
        width=1280, height=720, streams=(), checks=(), left_out=(),
    )  # fmt: skip
    video = RenditionReport(
        id="h264-720p", kind="video", codec="h264", segments=2, frames=500, cpu_s=12.5, wall_s=7.25, reused_segments=1
    )
    sample = Sample(
        rendition="h264-720p", kind=SPEED, cpu_class="CPU", work=230_400_000, cpu_ms=12_500, size_bytes=2_000_000
    )
    cost = JobCost(
        prices=Prices(vcpu_s=Decimal("0.00001")), amount=Decimal("0.000125"), estimated=Decimal("0.0001"),
        cpu_s=12.5, estimated_cpu_s=10.0, runs=2,
        renditions=(WorkCost(
            work="h264-720p", runs=1, failed_runs=0, cpu_s=12.5, wall_s=7.3, amount=Decimal("0.000125")
        ),),
        formats=(FormatCost(format="mp4", amount=Decimal("0.000125")),),
        segments=(SegmentCost(
            rendition="h264-720p", segment=0, cpu_s=12.5, wall_s=7.3, amount=Decimal("0.000125")
        ),),
        samples=(sample,),
    )  # fmt: skip
    return Manifest(
        job_key=key, attempt=name, reelmill_version="0.1.0", ffmpeg_version="9.0", profile="default",
        created="2026-11-21T09:31:00+00:00", wall_s=60.0,
        source=SourceReport(
            file_name="übung.mov", identity=source, size_bytes=5_000_000_000, format="mov", duration_s=20.0, frames=500,
            frames_known_from="packets",
        ),
        outputs=(output,), renditions=(video,), cost=cost, reasons=(), warnings=(),
    ).model_copy(update=fields)  # fmt: skip


def plan() -> Plan:
    """Of a plan only what says where its segments begin."""

    class Range:
        def __init__(self, number: int):
            self.number, self.start = number, number * 250

    class Video:
        id, time_base, segments = "h264-720p", Fraction(1, 25), (Range(0), Range(1))

    class Bare:
        video = (Video(),)

    return cast("Plan", Bare())


def pieces() -> dict[str, list[PieceRecord]]:
    return {
        "h264-720p": [
            PieceRecord(
                key="p", file_name="p.mp4", size_bytes=1_000_000, sha256="e" * 64, cpu_s=6.25, wall_s=3.5,
                reused=number == 1, rendition="h264-720p", segment=number, frames=250, last_pts=249, payload="x",
                parameter_sets="y",
            )
            for number in (1, 0)
        ]
    }  # fmt: skip


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table of the catalog."""
    names = sorted(Table.metadata.tables)
    return read(
        lambda session: {
            name: sorted(map(tuple, session.execute(text(f"SELECT * FROM {name}"))), key=str) for name in names
        }
    )

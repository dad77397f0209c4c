"""Answers what the catalog is asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session, selectinload

from reelmill.catalog.database import is_begun, read
from reelmill.catalog.tables import Job, SpeedSample
from reelmill.cost.speeds import Kind, KnownFrom, Speed, Speeds

_SAMPLES = 20
"""Jobs that a speed is the average of, for each kind asked for: how fast things are changes."""


def latest_jobs(states: Sequence[str], limit: int) -> list[Job]:
    """Return the latest attempts in these states, or in any, the newest first, each with its source and its error.

    Raises CatalogFailed.
    """
    wanted = select(Job).order_by(Job.began.desc(), Job.attempt).limit(limit)
    if states:
        wanted = wanted.where(Job.state.in_(states))
    return read(lambda session: list(session.scalars(wanted)))


def attempts_named(name: str) -> list[Job]:
    """Return the attempts whose own name, or whose run's id in Prefect, begins so, with all they made.

    The newest is the first. Raises CatalogFailed.
    """

    def question(session: Session) -> list[Job]:
        begins = or_(Job.attempt.startswith(name, autoescape=True), Job.run.startswith(name, autoescape=True))
        everything = (selectinload(Job.outputs), selectinload(Job.renditions), selectinload(Job.segments))
        return list(session.scalars(select(Job).where(begins).order_by(Job.began.desc()).options(*everything)))

    return read(question)


def measured_speeds(kinds: Collection[Kind], cpu_class: str) -> Speeds:
    """Return the speeds of these kinds of work as far as any were measured: by the latest jobs on such a CPU.

    Where there are none on such a CPU, by the latest on another. Makes no catalog where there is none. Raises
    CatalogFailed.
    """
    if not kinds or not is_begun():
        return {}
    sample = SpeedSample
    names = [(each.codec, each.preset, each.size, each.source_size) for each in kinds]
    wanted = select(sample).where(tuple_(sample.codec, sample.preset, sample.size, sample.source_size).in_(names))
    latest = wanted.order_by(sample.at.desc(), sample.attempt).limit(_SAMPLES * len(kinds))
    here = read(lambda session: list(session.scalars(latest.where(sample.cpu_class == cpu_class))))
    elsewhere = read(lambda session: list(session.scalars(latest.where(sample.cpu_class != cpu_class))))
    return _added_up(elsewhere, "elsewhere") | _added_up(here, "measured")


def _added_up(samples: Sequence[SpeedSample], known_from: KnownFrom) -> dict[Kind, Speed]:
    by_kind: dict[Kind, list[SpeedSample]] = {}
    for each in samples:
        kind = Kind(codec=each.codec, preset=each.preset, size=each.size, source_size=each.source_size)
        by_kind.setdefault(kind, []).append(each)
    return {
        kind: Speed(
            sum(each.work for each in mine), sum(each.cpu_ms for each in mine),
            sum(each.size_bytes for each in mine), known_from,
        )
        for kind, mine in by_kind.items()
    }  # fmt: skip

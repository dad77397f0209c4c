"""Answers what the catalog is asked."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, selectinload

from reelmill.catalog.database import read
from reelmill.catalog.tables import Job


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

"""The tables. A run of a job is known by its attempt; all that it made hangs from there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, cast

from sqlalchemy import BigInteger, DateTime, Dialect, Double, ForeignKey, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

State = Literal["running", "completed", "failed", "cancelled", "crashed"]
"""In Prefect's words. `crashed`: its process ended without a word, as the next run of the job found out."""


class UtcTime(TypeDecorator[datetime]):
    """A moment, in UTC. SQLite keeps no time zone, so it is put back when a row is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of all tables. Text has no limit but in keys; counts of bytes need more than 32 bits."""

    type_annotation_map: ClassVar[dict[type, Any]] = {datetime: UtcTime(), float: Double()}


_ATTEMPT = String(64)


class Source(Table):
    """A content that jobs were run on. What only a probe knows is null until one was made."""

    __tablename__ = "sources"

    identity: Mapped[str] = mapped_column(String(64), primary_key=True)
    file_name: Mapped[str]
    location: Mapped[str | None]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str | None]
    duration_s: Mapped[float | None]
    frames: Mapped[int | None] = mapped_column(BigInteger)


class Job(Table):
    """One attempt at a job. Equal jobs have one `job_key`; `run` is the id of the flow run in Prefect."""

    __tablename__ = "jobs"

    attempt: Mapped[str] = mapped_column(_ATTEMPT, primary_key=True)
    job_key: Mapped[str] = mapped_column(String(64), index=True)
    source_identity: Mapped[str] = mapped_column(ForeignKey("sources.identity"), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    run: Mapped[str | None] = mapped_column(String(64), index=True)
    profile: Mapped[str]
    output: Mapped[str]
    began: Mapped[datetime] = mapped_column(index=True)
    ended: Mapped[datetime | None]
    wall_s: Mapped[float | None]
    reelmill_version: Mapped[str]
    ffmpeg_version: Mapped[str]
    currency: Mapped[str | None]
    cost_nanos: Mapped[int | None] = mapped_column(BigInteger)
    estimated_nanos: Mapped[int | None] = mapped_column(BigInteger)
    billed_cpu_s: Mapped[float | None]
    estimated_cpu_s: Mapped[float | None]

    source: Mapped[Source] = relationship(lazy="joined")
    outputs: Mapped[list[Output]] = relationship(cascade="all, delete-orphan", order_by="Output.format")
    renditions: Mapped[list[Rendition]] = relationship(cascade="all, delete-orphan", order_by="Rendition.id")
    segments: Mapped[list[Segment]] = relationship(
        cascade="all, delete-orphan", order_by="Segment.rendition, Segment.number"
    )
    speeds: Mapped[list[SpeedSample]] = relationship(cascade="all, delete-orphan", order_by="SpeedSample.rendition")
    error: Mapped[Error | None] = relationship(cascade="all, delete-orphan", lazy="joined")


def _of_job() -> Mapped[str]:
    return cast(
        "Mapped[str]", mapped_column(_ATTEMPT, ForeignKey("jobs.attempt", ondelete="CASCADE"), primary_key=True)
    )


class Output(Table):
    """One published result."""

    __tablename__ = "outputs"

    attempt: Mapped[str] = _of_job()
    format: Mapped[str] = mapped_column(String(16), primary_key=True)
    file_name: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    duration_s: Mapped[float]
    frames: Mapped[int | None] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    cost_nanos: Mapped[int | None] = mapped_column(BigInteger)


class Rendition(Table):
    """One encode or copy of the video, of a sound track or of subtitles, and what its ffmpeg runs took together."""

    __tablename__ = "renditions"

    attempt: Mapped[str] = _of_job()
    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    codec: Mapped[str]
    segments: Mapped[int]
    reused_segments: Mapped[int]
    frames: Mapped[int | None] = mapped_column(BigInteger)
    cpu_s: Mapped[float]
    wall_s: Mapped[float]
    cost_nanos: Mapped[int | None] = mapped_column(BigInteger)


class Segment(Table):
    """One encoded segment of the video. `start_s` counts from the start of the source's own clock."""

    __tablename__ = "segments"

    attempt: Mapped[str] = _of_job()
    rendition: Mapped[str] = mapped_column(String(100), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    start_s: Mapped[float]
    frames: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    cpu_s: Mapped[float]
    wall_s: Mapped[float]
    reused: Mapped[bool]
    cost_nanos: Mapped[int | None] = mapped_column(BigInteger)


class SpeedSample(Table):
    """How long work of one kind took in one job: what estimates go by. See `Sample`."""

    __tablename__ = "speeds"
    __table_args__ = (Index("ix_speeds_kind", "codec", "preset", "size", "source_size"),)

    attempt: Mapped[str] = _of_job()
    rendition: Mapped[str] = mapped_column(String(100), primary_key=True)
    codec: Mapped[str] = mapped_column(String(32))
    preset: Mapped[str] = mapped_column(String(32))
    size: Mapped[str] = mapped_column(String(16))
    source_size: Mapped[str] = mapped_column(String(16))
    cpu_class: Mapped[str]
    work: Mapped[int] = mapped_column(BigInteger)
    cpu_ms: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]


class Error(Table):
    """Why an attempt has no result. `code` is one of docs/errors.md, or the name of an exception nobody expected."""

    __tablename__ = "errors"

    attempt: Mapped[str] = _of_job()
    code: Mapped[str] = mapped_column(String(64), index=True)
    message: Mapped[str]
    at: Mapped[datetime]

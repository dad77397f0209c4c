"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(), nullable=True),
        sa.Column("duration_s", sa.Double[float](), nullable=True),
        sa.Column("frames", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.create_table(
        "jobs",
        sa.Column("attempt", sa.String(length=64), nullable=False),
        sa.Column("job_key", sa.String(length=64), nullable=False),
        sa.Column("source_identity", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=True),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("output", sa.String(), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wall_s", sa.Double[float](), nullable=True),
        sa.Column("reelmill_version", sa.String(), nullable=False),
        sa.Column("ffmpeg_version", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_identity"],
            ["sources.identity"],
        ),
        sa.PrimaryKeyConstraint("attempt"),
    )
    op.create_index("ix_jobs_began", "jobs", ["began"])
    op.create_index("ix_jobs_job_key", "jobs", ["job_key"])
    op.create_index("ix_jobs_run", "jobs", ["run"])
    op.create_index("ix_jobs_source_identity", "jobs", ["source_identity"])
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_table(
        "errors",
        sa.Column("attempt", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["attempt"], ["jobs.attempt"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt"),
    )
    op.create_index("ix_errors_code", "errors", ["code"])
    op.create_table(
        "outputs",
        sa.Column("attempt", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("duration_s", sa.Double[float](), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["attempt"], ["jobs.attempt"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt", "format"),
    )
    op.create_table(
        "renditions",
        sa.Column("attempt", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("codec", sa.String(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("reused_segments", sa.Integer(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=True),
        sa.Column("cpu_s", sa.Double[float](), nullable=False),
        sa.Column("wall_s", sa.Double[float](), nullable=False),
        sa.ForeignKeyConstraint(["attempt"], ["jobs.attempt"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt", "id"),
    )
    op.create_table(
        "segments",
        sa.Column("attempt", sa.String(length=64), nullable=False),
        sa.Column("rendition", sa.String(length=100), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start_s", sa.Double[float](), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("cpu_s", sa.Double[float](), nullable=False),
        sa.Column("wall_s", sa.Double[float](), nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["attempt"], ["jobs.attempt"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt", "rendition", "number"),
    )

"""What jobs cost, and how fast encoders were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, name, kind in (
        ("jobs", "currency", sa.String()),
        ("jobs", "cost_nanos", sa.BigInteger()),
        ("jobs", "estimated_nanos", sa.BigInteger()),
        ("jobs", "billed_cpu_s", sa.Double[float]()),
        ("jobs", "estimated_cpu_s", sa.Double[float]()),
        ("outputs", "cost_nanos", sa.BigInteger()),
        ("renditions", "cost_nanos", sa.BigInteger()),
        ("segments", "cost_nanos", sa.BigInteger()),
    ):
        op.add_column(table, sa.Column(name, kind, nullable=True))
    op.create_table(
        "speeds",
        sa.Column("attempt", sa.String(length=64), nullable=False),
        sa.Column("rendition", sa.String(length=100), nullable=False),
        sa.Column("codec", sa.String(length=32), nullable=False),
        sa.Column("preset", sa.String(length=32), nullable=False),
        sa.Column("size", sa.String(length=16), nullable=False),
        sa.Column("source_size", sa.String(length=16), nullable=False),
        sa.Column("cpu_class", sa.String(), nullable=False),
        sa.Column("work", sa.BigInteger(), nullable=False),
        sa.Column("cpu_ms", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["attempt"], ["jobs.attempt"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt", "rendition"),
    )
    op.create_index("ix_speeds_kind", "speeds", ["codec", "preset", "size", "source_size"])

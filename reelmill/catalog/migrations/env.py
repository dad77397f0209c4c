"""What alembic runs: the migrations, on the connection and in the transaction of whoever wants them."""

from __future__ import annotations

from alembic import context

from reelmill.catalog.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()

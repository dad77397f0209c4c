"""Prefect's server on SQLite, with transactions that wait for one another.

SQLite refuses at once what a transaction wants to write when it has read before, and another connection has written
since then or is about to: "database is locked". Prefect answers 503 to that, and drops an event that met it five times,
with what an automation would have made of it: a run that was killed is then not taken up again. Here each transaction
has SQLite's lock for writing from its beginning on, and waits for it.

What else is done while one is open begins by itself. In Prefect 3.8.8 it begins as the transaction around it did, and
may wait for that very one, which waits for it in turn, until SQLite gives up after a minute.

Source: https://www.sqlite.org/lang_transaction.html, sections 2.1 and 2.2; https://www.sqlite.org/isolation.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from prefect.server.database.dependencies import MODELS_DEPENDENCIES
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL


class _Waiting(AioSqliteConfiguration):
    @asynccontextmanager
    async def begin_transaction(self, session: Any, with_for_update: bool = False) -> AsyncGenerator[Any]:
        async with AsyncExitStack() as stack:
            mode = SQLITE_BEGIN_MODE.set("IMMEDIATE")
            try:
                transaction = await stack.enter_async_context(session.begin())
                await session.connection()  # begins it
            finally:
                SQLITE_BEGIN_MODE.reset(mode)
            yield transaction


def wait_for_writers() -> None:
    """Have the server of this process do so, if it is one on SQLite."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if url.startswith("sqlite"):
        MODELS_DEPENDENCIES["database_config"] = _Waiting(connection_url=url)


def create_app() -> Any:
    """Return the server for uvicorn."""
    from prefect.server.api.server import create_app as create

    wait_for_writers()
    return create()


def main() -> None:
    """Do what `prefect` does."""
    from prefect.cli import app

    wait_for_writers()
    app()


if __name__ == "__main__":
    main()

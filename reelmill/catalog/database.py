"""The catalog's database: SQLite in a file, or PostgreSQL by URL. Its tables are made and migrated at first use."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from reelmill.errors import CatalogFailed, one_line
from reelmill.settings import settings

_WAITS_S = 30
"""For other writers of an SQLite file. A PostgreSQL that does not answer is given up after a tenth of it."""
_TRIES = 3
"""Two jobs may be the first to write one row, and then one of them finds it there."""
_MIGRATING = 0x7265656C6D696C6C
"""PostgreSQL's name of the lock under which the tables are migrated: `reelmill` in ASCII."""
_WRITES = "reelmill_writes"

Result = TypeVar("Result")


def write(change: Callable[[Session], Result]) -> Result:
    """Make a change in one transaction, and return what it returns. It may be called again, on rows as they are then.

    Raises CatalogFailed.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            return _in_transaction(change, writes=True)
        except IntegrityError as error:
            if not tries_left:
                raise CatalogFailed(f"the catalog refuses a row: {one_line(str(error.orig))}") from error
    raise AssertionError("there is at least one try")


def read(question: Callable[[Session], Result]) -> Result:
    """Return what a question finds, all as it was at one moment. Raises CatalogFailed."""
    return _in_transaction(question, writes=False)


def is_begun() -> bool:
    """Whether there may be something to read: False where it would be a file, and nobody wrote it yet."""
    url = catalog_url()
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).is_file()


def _in_transaction(act: Callable[[Session], Result], *, writes: bool) -> Result:
    url = catalog_url()
    with _explained(url):
        engine = _ready_engine(url, os.getpid()).execution_options(**{_WRITES: writes})
        with Session(engine, expire_on_commit=False) as session, session.begin():
            return act(session)


def catalog_url() -> URL:
    """Return where the catalog is: the setting's, else a file in the folder of `reelmill up`. Raises CatalogFailed."""
    wanted = settings().catalog_url
    if wanted is None:
        return URL.create("sqlite", database=str(settings().home_dir.absolute() / "catalog.db"))
    try:
        url = make_url(wanted.get_secret_value())
    except ArgumentError as error:
        raise CatalogFailed("catalog_url: is not a URL such as postgresql+psycopg://user:password@host/name") from error
    in_a_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    if not in_a_file and url.drivername != "postgresql+psycopg":
        raise CatalogFailed(
            f"catalog_url: {url.drivername}:// is not known; allowed: sqlite:///path/of/file, postgresql+psycopg://..."
        )
    return url


@contextmanager
def _explained(url: URL) -> Generator[None]:
    """Turn what may go wrong with a database into CatalogFailed. A row that is there already is for `write` to see."""
    where = url.render_as_string(hide_password=True)
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise CatalogFailed(f"the catalog at {where}: {one_line(str(error.orig))}") from error
    except (SQLAlchemyError, CommandError, OSError, UnicodeError, sqlite3.Error) as error:
        raise CatalogFailed(f"the catalog at {where}: {one_line(str(error))}") from error


@lru_cache(maxsize=8)
def _ready_engine(url: URL, pid: int) -> Engine:
    """Return an engine for tables that are as this version needs them. `pid`: what was forked makes its own."""
    engine = _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgres_engine(url)
    with engine.execution_options(**{_WRITES: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _MIGRATING})
        migrate(connection)
    return engine


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a revision, in the transaction that is open. Raises alembic's CommandError."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _postgres_engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": _WAITS_S // 10})


def _sqlite_engine(url: URL) -> Engine:
    """Return an engine whose transactions are SQLite's own: one that writes takes its turn before it reads anything.

    sqlite3 would begin one at the first change only, and two that had read before could then not both go on.
    """
    file = Path(str(url.database))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _WAITS_S})

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: object) -> None:
        cast("sqlite3.Connection", connection).isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    # Readers and a writer at once. The file remembers it, and nobody else may have it open while it is set.
    with file.with_name(f"{file.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        plain = sqlite3.connect(file, timeout=_WAITS_S)
        try:
            plain.execute("PRAGMA journal_mode = WAL")
        finally:
            plain.close()
    del on_connect, on_begin  # the engine has them
    return engine

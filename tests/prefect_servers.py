"""Prefect servers on SQLite for tests. Their tables are made once: that takes longer than the rest of a start."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cli.prefect_server import TEMPORARY_SERVER, temporary_server_argv
from cli.service_home import is_healthy
from tests.server_processes import free_port, run_tool, server_process

FILE_NAME = "prefect.db"
"""What Prefect calls its database in its home."""

_TABLES_WITHIN_S = 200


def made_tables(folder: Path) -> Path:
    """Return a database with all tables of Prefect. What processes have the same `folder` share it; copy it."""
    path = folder / FILE_NAME
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with TemporaryDirectory(dir=folder) as home:
                argv = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
                run_tool(argv, env=os.environ | {"PREFECT_HOME": home}, within_s=_TABLES_WITHIN_S)
                Path(home, FILE_NAME).replace(path)
    return path


@contextmanager
def server_for_this_process(folder: Path, tables: Path) -> Iterator[str]:
    """Run a server without pages on a copy of `tables`, have this process use it, and give the URL of its API."""
    # Not at the top: Prefect reads its settings when it is imported, and pytest's configuration comes before.
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    shutil.copyfile(tables, folder / FILE_NAME)
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    env = os.environ | TEMPORARY_SERVER | {"PREFECT_HOME": str(folder)}
    with server_process(temporary_server_argv(port), log=folder / "server.log", env=env) as server:
        server.wait_until(lambda: is_healthy(api))
        # The other context is for threads that were given none. Prefect's own harness for tests does the same.
        with temporary_settings({PREFECT_API_URL: api}), _temporary_global_settings_context(get_settings_context()):
            yield api
            for sender in (APILogWorker, EventsWorker):
                sender.drain_all()  # what it has still to send can be sent only now

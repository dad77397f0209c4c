"""`reelmill worker`: runs the jobs of the work pool on this machine, until it is told to end."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Annotated

from cyclopts import Parameter

from cli.prefect_server import refuse_without_server
from cli.service_home import POOL
from reelmill.errors import InvalidParameter


def worker(
    *, jobs: int = 1, name: str | None = None, healthcheck: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """Run the jobs that wait in the work pool, the queue `high` first, until ^C.

    Parameters
    ----------
    jobs
        Jobs at once.
    name
        Name of the worker; made up when not given.
    healthcheck
        Say by HTTP, at /health on port 8080, whether it still asks for jobs.
    """
    if jobs < 1:
        raise InvalidParameter(f"--jobs: {jobs} is not allowed; allowed: 1 or more")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    refuse_without_server()
    # Prefect reads its settings when it is imported.
    import anyio
    from prefect.utilities.processutils import setup_signal_handlers_worker

    from cli.warm_worker import WarmWorker

    async def work() -> None:
        setup_signal_handlers_worker(os.getpid(), "the worker", print)
        at_work = WarmWorker(work_pool_name=POOL, name=name, limit=jobs)
        await at_work.start(with_healthcheck=healthcheck)

    with suppress(KeyboardInterrupt):
        anyio.run(work)
    return 0

"""Runs the tasks of a flow on a Dask cluster, so that the flow can cancel, follow and pay for them as for its own."""

from __future__ import annotations

import copy
import logging
import time
import uuid
from collections.abc import Iterable
from typing import Any

from distributed import CancelledError, Client, Future, KilledWorker
from distributed.client import ClosedClientError
from prefect import Task
from prefect.client.schemas.objects import RunInput
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from reelmill.errors import ClusterFailed, InvalidParameter
from reelmill.media.tool_jobs import cancellation, enter_job, leave_job
from tasks.dask_reports import Reports
from tasks.errand import Errand

_LEAVES_WITHIN_S = 20.0
logging.getLogger("distributed").setLevel(logging.WARNING)  # what matters of it is in the run's log


class DaskRunner(DaskTaskRunner):
    """A task's parameter `attempt` says which job it is for: `cancel_job` ends it wherever it runs."""

    def __init__(self, **how: Any):
        super().__init__(**how)
        self._log: Any = None
        self._reports: Reports | None = None
        self._lost = False

    @property
    def client(self) -> PrefectDaskClient:
        """Connect, and make the cluster first where it is the run's own. Raises ClusterFailed, InvalidParameter."""
        if self._client is None:
            self._log = get_run_logger()
            self._reports = Reports(self._log)
            try:
                self._reports.follow(super().client)
            except OSError as error:
                raise ClusterFailed(f"{self.address or self.cluster_class}: {error}") from error
            except TypeError as error:
                raise InvalidParameter(
                    f"REELMILL_DASK_CLUSTER_KWARGS or REELMILL_DASK_ADAPT_KWARGS: {error}"
                ) from error
        return super().client

    def submit(
        self,
        task: Task[Any, Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> RemoteFuture:
        attempt = parameters.get("attempt")
        if attempt is None:
            raise TypeError(f"task {task.name} has no parameter `attempt`, by which what it runs is cancelled")
        client = self.client
        assert self._reports is not None
        if self._lost:
            self._reports.follow(client)
            self._lost = False
        key = f"{task.name}-{uuid.uuid4().hex}"
        errand = copy.copy(task)
        errand.fn = Errand(task.fn, key)
        order = _Order(client, attempt, key)
        enter_job(order)
        self._reports.expect(key, attempt)
        try:
            future: Any = client.submit(
                errand, key=key, parameters={**parameters, "attempt": key}, wait_for=wait_for,
                dependencies=dependencies, return_type="state",
            )  # fmt: skip
        except BaseException as error:
            leave_job(order)
            if isinstance(error, ClosedClientError):
                raise ClusterFailed(f"the Dask scheduler is gone: {error}") from error
            raise
        order.sent(future)
        remote = RemoteFuture(future.task_run_id, future, order, self._reports)
        future.add_done_callback(lambda _: self._note_end(remote))
        return remote

    def _note_end(self, remote: RemoteFuture) -> None:
        leave_job(remote.order)
        if remote.was_lost:
            self._lost = True
            remote.forget()

    def __exit__(self, *args: Any) -> None:
        began_s = time.monotonic()
        if self._reports is not None and self._client is not None:
            self._reports.close(self._client)
        super().__exit__(*args)
        if self._cluster is not None:
            self._log.info("The Dask cluster was closed in %.1f s", time.monotonic() - began_s)


class _Order:
    """A task on Dask among the tools of its job."""

    def __init__(self, client: Client, attempt: str, key: str):
        self.job_key = attempt
        self.key = key
        self.cancelled = False
        self.killed_s: float | None = None
        self._client = client
        self._future: Future | None = None

    def sent(self, future: Future) -> None:
        self._future = future
        if self.cancelled:
            self.kill()

    def kill(self) -> None:
        """Have the scheduler drop it; a worker that has begun it sees that, and kills what runs for it."""
        self.killed_s = self.killed_s or time.monotonic()
        if self._future is not None and (loop := self._client.loop) is not None:
            loop.add_callback(self._client.cancel, [self._future], asynchronous=True)


class RemoteFuture(PrefectDaskFuture[Any]):
    """The future of a task on Dask. Its errors are ours."""

    def __init__(self, task_run_id: uuid.UUID, wrapped_future: Future, order: _Order, reports: Reports):
        super().__init__(task_run_id, wrapped_future)
        self.order = order
        self._reports = reports

    @property
    def was_lost(self) -> bool:
        """Whether nobody knows of the task any more, say because the scheduler was started again."""
        return self.wrapped_future.cancelled() and not self.order.cancelled

    @property
    def began_s(self) -> float | None:
        """When a worker began it, on the monotonic clock; None while it waits for one."""
        return self._reports.began_s(self.order.key)

    def forget(self) -> None:
        """Hear of it no more; what was at work of it has failed."""
        self._reports.settle(self.order.key, 0)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is done, and when it was cancelled, until the worker has left it, or should have by now."""
        super().wait(timeout)
        now_s = time.monotonic()
        self._reports.settle(self.order.key, _LEAVES_WITHIN_S - (now_s - (self.order.killed_s or now_s)))

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Return what the task returned. Raises what it raised, JobCancelled, ClusterFailed."""
        try:
            return super().result(timeout, raise_on_failure)
        except KilledWorker as error:
            raise ClusterFailed(f"the workers died of this task again and again: {error}") from error
        except CancelledError as error:
            if self.order.cancelled:
                raise cancellation(self.order.job_key) from error
            raise ClusterFailed(f"the Dask scheduler lost this task: {error}") from error
        finally:
            self.forget()

"""Where the tasks of a flow run: in threads of its process or on Dask, as the settings say. The flow is the same."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from prefect import Task
from prefect.client.schemas.objects import RunInput
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from reelmill.errors import InvalidParameter
from reelmill.fan_out_settings import LOCAL_CLUSTER
from reelmill.settings import settings


class FanOut(TaskRunner[PrefectFuture[Any]]):
    """Stands for the runner of the settings, which is made when the first task is submitted."""

    def __init__(self) -> None:
        super().__init__()
        self._runner: TaskRunner[Any] | None = None
        self._opened = ExitStack()

    def duplicate(self) -> FanOut:
        return FanOut()

    def submit(
        self,
        task: Task[Any, Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> PrefectFuture[Any]:
        if self._runner is None:
            self._runner = self._opened.enter_context(_runner())
        return self._runner.submit(task, parameters, wait_for, dependencies)

    def __exit__(self, *args: Any) -> None:
        try:
            self._opened.__exit__(*args)
        finally:
            super().__exit__(*args)


def check_fan_out() -> None:
    """Raise InvalidParameter when tasks can't run where the settings want it."""
    wanted = settings()
    if wanted.fan_out == "dask":
        if find_spec("prefect_dask") is None:
            raise InvalidParameter("REELMILL_FAN_OUT: dask needs the package prefect-dask, which is not installed here")
        if wanted.dask_scheduler is None:
            _cluster_class(wanted.dask_cluster)


def _runner() -> TaskRunner[Any]:
    wanted = settings()
    if wanted.fan_out == "threads":
        return ThreadPoolTaskRunner()
    from tasks.dask_runner import DaskRunner

    if wanted.dask_scheduler is not None:
        return DaskRunner(address=wanted.dask_scheduler)
    how = wanted.dask_cluster_kwargs
    if wanted.dask_cluster == LOCAL_CLUSTER:
        mine = {"n_workers": wanted.dask_minimum, "threads_per_worker": 1, "dashboard_address": ":0"}
        how = mine | {"preload": ["tasks.errand"]} | how
    return DaskRunner(
        cluster_class=_cluster_class(wanted.dask_cluster),
        cluster_kwargs=how,
        adapt_kwargs={"minimum": wanted.dask_minimum, "maximum": wanted.dask_maximum, **wanted.dask_adapt_kwargs},
    )


def _cluster_class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidParameter(f"REELMILL_DASK_CLUSTER: {path} can't be loaded: {error}") from error

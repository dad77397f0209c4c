"""Where tasks run is decided by settings, and what can't be is refused by name before anything starts."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import ValidationError

from reelmill.errors import InvalidParameter
from reelmill.settings import Settings, settings
from tasks import fan_out
from tasks.dask_runner import DaskRunner
from tasks.fan_out import check_fan_out
from tests.conftest import Set


def test_tasks_run_in_threads_unless_settings_say_otherwise():
    assert isinstance(fan_out._runner(), ThreadPoolTaskRunner)
    assert settings().tasks_at_once == settings().workers


def test_local_cluster_grows_from_the_minimum_to_the_maximum(set_to: Set):
    set_to(fan_out="dask", dask_minimum=1, dask_maximum=7, dask_adapt_kwargs='{"interval": "2s"}')
    check_fan_out()
    runner = fan_out._runner()
    assert isinstance(runner, DaskRunner)
    assert runner.cluster_kwargs == {
        "n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0", "preload": ["tasks.errand"],
    }  # fmt: skip
    assert runner.adapt_kwargs == {"minimum": 1, "maximum": 7, "interval": "2s"}
    assert settings().tasks_at_once == 7


def test_class_of_a_cluster_gets_what_the_settings_say_and_nothing_else(set_to: Set):
    set_to(fan_out="dask", dask_cluster="distributed.SpecCluster", dask_cluster_kwargs='{"name": "encoders"}')
    runner = fan_out._runner()
    assert isinstance(runner, DaskRunner)
    assert runner.cluster_kwargs == {"name": "encoders"}


def test_cluster_that_is_up_is_only_connected_to(set_to: Set):
    set_to(fan_out="dask", dask_scheduler="tcp://10.0.0.5:8786")
    runner = fan_out._runner()
    assert isinstance(runner, DaskRunner)
    assert (runner.address, runner.cluster_kwargs, runner.adapt_kwargs) == ("tcp://10.0.0.5:8786", {}, {})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"fan_out": "ray"}, "fan_out"),
        ({"dask_minimum": 5, "dask_maximum": 4}, "dask_maximum"),
        ({"dask_minimum": -1}, "dask_minimum"),
        ({"dask_adapt_kwargs": "wait_count=3"}, "dask_adapt_kwargs"),
        ({"dask_cluster_kwargs": "[1]"}, "dask_cluster_kwargs"),
        ({"dask_cluster": "LocalCluster"}, "dask_cluster"),
        ({"dask_scheduler": "tcp://10.0.0.5"}, "dask_scheduler"),
        ({"dask_scheduler": "tcp://10.0.0.5:8786", "dask_cluster_kwargs": '{"n_workers": 3}'}, "dask_scheduler"),
    ],
)
def test_wrong_setting_is_refused_by_name(wrong: dict[str, Any], named: str, set_to: Set):
    set_to(**wrong)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert [each["loc"] for each in refused.value.errors()] == [(named,)]


@pytest.mark.parametrize("path", ["nowhere.Cluster", "distributed.NoSuchCluster"])
def test_class_that_is_not_there_is_refused(path: str, set_to: Set):
    set_to(fan_out="dask", dask_cluster=path)
    with pytest.raises(InvalidParameter, match=f"REELMILL_DASK_CLUSTER: {path} can't be loaded"):
        check_fan_out()


def test_dask_that_is_not_installed_is_refused(set_to: Set, monkeypatch: pytest.MonkeyPatch):
    set_to(fan_out="dask")
    monkeypatch.setattr(
        fan_out, "find_spec", lambda name: None if name == "prefect_dask" else importlib.util.find_spec(name)
    )
    with pytest.raises(InvalidParameter, match="prefect-dask, which is not installed"):
        check_fan_out()

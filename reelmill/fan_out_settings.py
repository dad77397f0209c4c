"""The settings that say where the tasks of a job run: in threads of its own process, or on Dask."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

LOCAL_CLUSTER = "distributed.LocalCluster"


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


Keywords = Annotated[dict[str, Any], NoDecode, BeforeValidator(_from_json)]


class FanOutSettings(BaseSettings):
    """Where tasks run; a job gives the same result under any of it."""

    fan_out: Literal["threads", "dask"] = Field(
        default="threads", description="Where the tasks of a job run: `threads` of its own process, or `dask`"
    )
    straggler_factor: float | None = Field(
        default=None,
        gt=1,
        description="A segment, or a portion of other divided work, that takes this many times as long as its siblings "
        "is begun a second time where a worker is free, and the first result counts; never when unset",
    )
    dask_cluster: str = Field(
        default=LOCAL_CLUSTER,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="Class of the Dask cluster that each run makes for itself, such as "
        "`dask_kubernetes.operator.KubeCluster` or `dask_cloudprovider.aws.FargateCluster`",
    )
    dask_cluster_kwargs: Keywords = Field(default={}, description="What that class is called with, as JSON")
    dask_minimum: NonNegativeInt = Field(default=0, description="Workers that such a cluster keeps when idle")
    dask_maximum: PositiveInt = Field(
        default=4, description="Most workers of such a cluster, and most tasks of a job on Dask at once"
    )
    dask_adapt_kwargs: Keywords = Field(
        default={"interval": "500ms", "target_duration": "100ms", "wait_count": 10},
        description="What its method `adapt` is called with besides `minimum` and `maximum`, as JSON. By default there "
        "is a worker for each task that waits, and one that was idle for 5 s goes",
    )
    dask_scheduler: str | None = Field(
        default=None,
        pattern=r"^([a-z]+://)?[^/\s:]+:\d+$",
        description="Address of the scheduler of a Dask cluster that is up, such as `tcp://10.0.0.5:8786`, instead of "
        "one for each run",
    )

    @field_validator("dask_maximum")
    @classmethod
    def _reaches_minimum(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("dask_minimum", 0):
            raise ValueError("is less than REELMILL_DASK_MINIMUM")
        return value

    @field_validator("dask_scheduler")
    @classmethod
    def _has_no_cluster(cls, value: str | None, info: ValidationInfo) -> str | None:
        own = info.data.get("dask_cluster") != LOCAL_CLUSTER or info.data.get("dask_cluster_kwargs")
        if value is not None and own:
            raise ValueError("is a cluster that is up, and REELMILL_DASK_CLUSTER or its KWARGS say how to make one")
        return value

"""Run by the Python of the image for ECS workers: prints what its worker would ask of ECS, as JSON.

Reads a base job template and the job variables of some deployments from standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Flow, FlowRun
from prefect_aws.workers.ecs_worker import (  # pyright: ignore[reportMissingImports]
    ECSJobConfiguration,
    ECSWorker,
)

_ARN = "arn:aws:ecs:eu-central-1:123456789012:task-definition/reelmill:1"


async def main() -> None:
    given = json.load(sys.stdin)
    worker, asked = ECSWorker("reelmill"), {}
    for name, variables in given["variables"].items():
        job = await ECSJobConfiguration.from_template_and_values(
            base_job_template=given["template"], values=variables, client=PrefectClient("http://127.0.0.1:9/api")
        )
        flow = Flow(name="transcode-video", labels={})
        run = FlowRun(id=uuid4(), name="transcode clip.mp4", flow_id=flow.id)
        job.prepare_for_flow_run(run, flow=flow)
        definition = worker._prepare_task_definition(job, region="eu-central-1", flow_run=run)
        worker._load_network_configuration = lambda *_: {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
        request = worker._prepare_task_run_request(job, definition, _ARN, new_task_definition_registered=True)
        asked[name] = {"register_task_definition": definition, "run_task": request}
    json.dump(asked, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())

"""Run by the Python of an image: prints the manifests that its worker would give to Kubernetes, as JSON.

Reads a base job template and the job variables of some deployments from standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Flow, FlowRun
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration  # pyright: ignore[reportMissingImports]


async def main() -> None:
    given = json.load(sys.stdin)
    manifests = {}
    for name, variables in given["variables"].items():
        job = await KubernetesWorkerJobConfiguration.from_template_and_values(
            base_job_template=given["template"], values=variables, client=PrefectClient("http://127.0.0.1:9/api")
        )
        flow = Flow(name="transcode-video", labels={})
        job.prepare_for_flow_run(FlowRun(id=uuid4(), name="transcode clip.mp4", flow_id=flow.id), flow=flow)
        manifests[name] = job.job_manifest
    json.dump(manifests, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())

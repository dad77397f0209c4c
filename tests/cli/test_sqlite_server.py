"""The server of one machine takes what many ask for at once, and lets none of it fail for the others' sake."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest

CLIENTS = 8
RUNS = 40


def post(url: str, body: dict[str, object]) -> tuple[int, Any]:
    """Return the status of the answer, and what it says."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


@pytest.mark.timeout(200)
def test_none_of_many_writers_is_refused(prefect_server: str):
    _, flow = post(f"{prefect_server}/flows/", {"name": f"many-writers-{uuid4()}"})

    def run(_: int) -> list[int]:
        made, run = post(f"{prefect_server}/flow_runs/", {"flow_id": flow["id"], "state": {"type": "PENDING"}})
        if run is None:
            return [made]
        url = f"{prefect_server}/flow_runs/{run['id']}/set_state"
        return [made, *(post(url, {"state": {"type": state}})[0] for state in ("RUNNING", "COMPLETED"))]

    with ThreadPoolExecutor(CLIENTS) as pool:
        codes = [code for each in pool.map(run, range(RUNS)) for code in each]
    assert codes == 3 * RUNS * [HTTPStatus.CREATED]

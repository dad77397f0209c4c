"""A fleet as compose.yaml describes it, without containers: its settings on a real PostgreSQL and a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from tests.database_servers import RedisServer, missing_database_programs
from tests.fleet import AUTH, Fleet, started_fleet
from tests.live_jobs import make_clip, wait_until


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A server with its databases, what it deploys, and a worker."""
    if missing := missing_database_programs():
        pytest.skip(f"no {', '.join(missing)}: .ci/system-packages installs PostgreSQL and Redis")
    with started_fleet(tmp_path / "fleet") as it:
        it.start("worker").wait_until(lambda: it.is_healthy("worker"))
        yield it


@pytest.mark.end_to_end
def test_a_job_completes_on_the_settings_of_the_compose_file(fleet: Fleet, tmp_path: Path):
    clip = make_clip(tmp_path / "clip.mp4", seconds=4)
    with SyncPrefectClient(fleet.api, auth_string=AUTH) as client:
        deployment = client.read_deployment_by_name("transcode-video/transcode")
        job = {"source": str(clip), "formats": ["mp4"], "output": "made"}
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"job": job})

        def state() -> str:
            found = client.read_flow_run(run.id).state
            return found.type.value if found else "unknown"

        wait_until(lambda: state() in ("COMPLETED", "FAILED", "CRASHED"), within_s=90, what="the end of the run")
        assert state() == "COMPLETED", fleet.logs()
    made = fleet.folder / "results" / "made"
    assert sorted(path.name for path in made.iterdir()) == ["clip.mp4", "manifest.json"]
    count = f"SELECT count(*) FROM task_run WHERE flow_run_id = '{run.id}' AND state_type = 'COMPLETED'"
    wait_until(lambda: int(fleet.postgres.query(count, "prefect")[0]) >= 4, within_s=30, what="its task runs")
    _assert_redis_is_used(fleet.redis)
    assert "Connection refused" not in (fleet.folder / "server.log").read_text(), fleet.logs()
    with SyncPrefectClient(fleet.api) as stranger, pytest.raises(PrefectHTTPStatusError, match="401 Unauthorized"):
        stranger.read_work_pool("reelmill")


def _assert_redis_is_used(redis: RedisServer) -> None:
    """The messages, what orders them, and the server's own tasks are there, so that a second server would see them."""
    assert redis.command("type", "events") == ["stream"]
    assert redis.command("--scan", "--pattern", "triggers:seen:*") != []
    assert "prefect-server:workers" in redis.command("-n", "1", "--scan", "--pattern", "prefect-server:*")

"""One run for one request, on a real server: twenty at once, after a failure, after the result is gone."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from deployments.apply import WORK_POOL, apply_work_pool
from flows.sweep_inbox import sweep_inbox
from flows.transcode_video import transcode_video
from flows.transfer_object import transfer_object
from reelmill.errors import InvalidParameter, NotDeployed, ServerUnreachable, SourceNotFound
from reelmill.intake.receiving import handler
from reelmill.job import TranscodeJob
from reelmill.preparing import accept_job
from reelmill.settings import settings
from reelmill.transfer.job import TransferJob
from tasks import starting
from tasks.starting import start_job, start_transfer, start_upload
from tests.live_jobs import make_clip
from tests.server_processes import free_port


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2, size="64x64")


@pytest.fixture(scope="module")
def deployed(prefect_server: str) -> Iterator[None]:
    """The deployments that jobs are started by, without a worker: what is started stays scheduled.

    They go in the end: other tests deploy some of these names from a file, which doesn't take back what this one set.
    """
    wanted = ((transcode_video, "transcode"), (transcode_video, "on-upload"), (transfer_object, "transfer"))
    with get_client(sync_client=True) as client:
        apply_work_pool(client, yaml.safe_load(WORK_POOL.read_text()), None)
        made = [
            RunnerDeployment.from_flow(flow, name=name, work_pool_name="reelmill", work_queue_name="normal").apply()
            for flow, name in wanted
        ]
        yield
        for each in made:
            assert isinstance(each, UUID)
            client.delete_deployment(each)


@pytest.fixture
def client(deployed: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def job(clip: Path, tmp_path: Path) -> TranscodeJob:
    return TranscodeJob(source=str(clip), formats=("mp4",), output=str(tmp_path / "out"))


@pytest.fixture
def inbox(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inbox with an upload."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    shutil.copy2(clip, folder / "übung 1%.mp4")
    monkeypatch.setenv("REELMILL_INTAKE_INBOX", str(folder))
    monkeypatch.setenv("REELMILL_OUTPUT_ROOT", str(tmp_path / "out"))
    monkeypatch.setenv("REELMILL_INTAKE_SETTLE_S", "0")
    settings.cache_clear()
    return folder


def run_of(job: TranscodeJob) -> UUID:
    started = start_job(job)
    assert started.run is not None
    return started.run.id


def runs_of(client: SyncPrefectClient, job: TranscodeJob) -> list[UUID]:
    key = accept_job(job).submission_key
    wanted = FlowRunFilterIdempotencyKey(any_=[key, *(f"{key}/{n}" for n in range(2, 10))])
    return [run.id for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=wanted))]


@pytest.mark.slow
def test_twenty_requests_at_once_in_any_order_while_sweeps_run_make_one_run(
    client: SyncPrefectClient, inbox: Path, tmp_path: Path
):
    [upload] = inbox.iterdir()
    message = f'{{"job": {{"source": "{upload}", "replace": true}}}}'.encode()
    handle = handler(start_upload)
    requests: list[Callable[[], object]] = [*[lambda: handle(message)] * 20, *[lambda: sweep_inbox()] * 3]
    random.shuffle(requests)
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(each) for each in requests]:
            done.result()
    job = TranscodeJob(source=str(upload))
    [run] = runs_of(client, job)
    found = client.read_flow_run(run)
    assert found.parameters["job"]["source"] == str(upload)
    assert found.parameters["job"]["output"] == str(tmp_path / "out" / str(upload).lstrip("/")) + ".reelmill"
    assert sweep_inbox() == {"started": 0, "known": 1, "refused": 0}


@pytest.mark.slow
def test_a_sweep_starts_what_no_notification_told_of_and_says_what_it_could_not(
    client: SyncPrefectClient, inbox: Path, clip: Path
):
    shutil.copy2(clip, inbox / "second.mp4")
    (inbox / "notes.txt").write_text("no video")
    assert sweep_inbox(str(inbox)) == {"started": 2, "known": 0, "refused": 0}
    [run] = runs_of(client, TranscodeJob(source=str(inbox / "second.mp4")))
    found = client.read_flow_run(run)
    assert found.name == "transcode second.mp4"
    assert found.work_queue_name == "bulk"
    with pytest.raises(InvalidParameter, match="is none of"):
        sweep_inbox(str(inbox.parent))
    tables = client.read_artifacts(artifact_filter=ArtifactFilter())
    assert any(str(inbox / "second.mp4") in str(each.data) for each in tables)


@pytest.mark.slow
@pytest.mark.parametrize("ended", [Failed, Crashed, Cancelled])
def test_what_ended_badly_is_started_again_only_when_that_is_wanted(
    client: SyncPrefectClient, job: TranscodeJob, ended: type
):
    first = run_of(job)
    assert run_of(job) == first
    client.set_flow_run_state(first, Running(), force=True)
    assert not start_job(job, again=True).is_new  # it is at work
    client.set_flow_run_state(first, ended(), force=True)
    assert run_of(job) == first
    second = start_job(job, again=True)
    assert second.is_new
    assert second.run is not None
    assert second.run.id != first
    assert run_of(job) == second.run.id
    assert sorted(runs_of(client, job)) == sorted([first, second.run.id])


@pytest.mark.slow
def test_a_request_may_fail_as_often_as_it_likes(
    client: SyncPrefectClient, job: TranscodeJob, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(starting, "_KEYS_AT_ONCE", 2)
    found = set[UUID]()
    for _ in range(5):
        started = start_job(job, again=True)
        assert started.is_new
        assert started.run is not None
        client.set_flow_run_state(started.run.id, Failed(), force=True)
        assert start_job(job).run == client.read_flow_run(started.run.id)
        found.add(started.run.id)
    assert len(found) == 5


@pytest.mark.slow
def test_a_job_that_is_done_has_no_run_until_its_result_is_gone(client: SyncPrefectClient, job: TranscodeJob):
    first = run_of(job)
    transcode_video(job)
    client.set_flow_run_state(first, Completed(), force=True)
    done = start_job(job)
    assert done.run is None
    assert done.manifest is not None
    shutil.rmtree(str(job.output))
    assert start_job(job).is_new
    assert len(runs_of(client, job)) == 2


@pytest.mark.slow
def test_another_place_or_another_content_is_another_request(
    client: SyncPrefectClient, job: TranscodeJob, clip: Path, tmp_path: Path
):
    first = run_of(job)
    assert run_of(job.model_copy(update={"output": str(tmp_path / "elsewhere")})) != first
    mine = tmp_path / "mine.mp4"
    shutil.copy2(clip, mine)
    before = run_of(TranscodeJob(source=str(mine)))
    mine.write_bytes(mine.read_bytes() + b"\0" * 8)
    assert run_of(TranscodeJob(source=str(mine))) != before


def test_what_is_wrong_with_a_job_is_said_before_anything_is_started(tmp_path: Path):
    with pytest.raises(SourceNotFound):
        start_job(TranscodeJob(source=str(tmp_path / "none.mp4")))


@pytest.mark.slow
def test_a_server_without_the_deployment_is_told_from_one_that_does_not_answer(
    client: SyncPrefectClient, job: TranscodeJob
):
    with pytest.raises(NotDeployed, match=r"transcode-video/none"):
        start_job(job, deployment="none")  # pyright: ignore[reportArgumentType]
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
        pytest.raises(ServerUnreachable, match="does not answer"),
    ):
        start_job(job)
    with pytest.raises(ObjectNotFound):
        client.read_deployment_by_name("transcode-video/none")


@pytest.mark.slow
def test_a_long_job_goes_to_bulk_when_no_queue_is_named(
    client: SyncPrefectClient, job: TranscodeJob, set_to: Callable[..., None]
):
    def queue_of(name: str, **asked_for: Any) -> str | None:
        run = start_job(job.model_copy(update={"output": f"{job.output}-{name}"}), **asked_for).run
        assert run is not None
        return run.work_queue_name

    assert queue_of("short") == "normal"
    set_to(bulk_from_gb=Path(job.source).stat().st_size / 1e9)
    assert queue_of("long") == "bulk"
    assert queue_of("awaited", queue="high") == "high"


@pytest.mark.slow
def test_bulk_leaves_room_to_other_queues(client: SyncPrefectClient, deployed: None, set_to: Callable[..., None]):
    pool = yaml.safe_load(WORK_POOL.read_text()) | {"name": "limited"}
    set_to(pool_jobs=3, bulk_jobs=1)
    apply_work_pool(client, pool, None)
    sweep = RunnerDeployment.from_flow(sweep_inbox, name="limited", work_pool_name="limited").apply()
    assert isinstance(sweep, UUID)
    for queue in ("bulk", "bulk", "normal"):
        client.create_flow_run_from_deployment(sweep, work_queue_name=queue)
    waiting = client.get_scheduled_flow_runs_for_work_pool("limited", scheduled_before=datetime.now(UTC))
    assert [each.flow_run.work_queue_name for each in waiting] == ["normal", "bulk"]
    set_to(pool_jobs=4)
    apply_work_pool(client, pool, None)
    assert client.read_work_pool("limited").concurrency_limit == 4


@pytest.mark.slow
def test_messages_that_ask_for_one_transfer_start_one_run(client: SyncPrefectClient, tmp_path: Path):
    job = TransferJob(source=str(tmp_path / "master.mov"), destination="s3://videos/", keep_partial=True)
    message = json.dumps({"transfer": job.model_dump()}).encode()
    started: list[tuple[UUID, bool]] = []

    def start(job: TransferJob) -> None:
        run, is_new = start_transfer(job, queue="bulk")
        started.append((run.id, is_new))

    handle = handler(start_upload, start)
    for _ in range(3):
        handle(message)
    assert [is_new for _, is_new in started] == [True, False, False]
    run = client.read_flow_run(started[0][0])
    assert {each for each, _ in started} == {run.id}
    assert (run.name, run.work_queue_name) == ("transfer master.mov", "bulk")
    assert run.parameters["job"] == job.model_dump(exclude_defaults=True) | {"destination": "s3://videos/master.mov"}
    client.set_flow_run_state(run.id, Completed(), force=True)
    handle(message)
    assert started[-1][1], "one that is over is done again: what is there already is not copied"

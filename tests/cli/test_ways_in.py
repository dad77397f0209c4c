"""Every way in which a job comes to a server, with a real store and a real queue; and what is told of trouble."""

from __future__ import annotations

import json
import random
import shutil
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.service_home import ask
from reelmill.manifest import FILE_NAME
from tests.live_jobs import LoggedTool, alive_with, make_clip
from tests.s3_servers import S3Server
from tests.server_processes import free_port
from tests.service import UpService, up_service, wait_for
from tests.stores import keys_in, new_bucket, notify

TOKEN = "a-secret-of-some-length"
GONE_WITHIN_S = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2, size="64x64")


@contextmanager
def alarm_receiver() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Take alarms as somebody's webhook would; gives its address, and what came."""
    came: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/?token=canary", came
        server.shutdown()


def push(port: int, event: object) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/", json.dumps(event).encode(), {"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=180) as answer:
        return answer.status


def event_of(bucket: str, key: str) -> dict[str, Any]:
    record = {"eventSource": "ceph:s3", "eventName": "ObjectCreated:Put",
              "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}  # fmt: skip
    return {"Records": [record]}


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
def test_every_way_in_makes_one_job_and_trouble_is_told(
    tmp_path: Path, clip: Path, ministack: S3Server, prefect_tables: Path
):
    bucket, port = new_bucket(ministack), free_port()
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with closing(ministack.client(service="sqs")) as client:
        sqs: Any = client
        url = sqs.create_queue(QueueName=bucket.bucket)["QueueUrl"]
    notify(ministack, url, bucket, prefix="in/told/")
    with alarm_receiver() as (webhook, alarms), up_service(
        tmp_path / "service",
        prefect_tables,
        **ministack.env(),
        REELMILL_INTAKE_INBOX=f"{inbox},{bucket / 'in'}",
        REELMILL_OUTPUT_ROOT=str(bucket / "out"),
        REELMILL_INTAKE_FORMATS="mp4",
        REELMILL_INTAKE_SETTLE_S="0",
        REELMILL_INTAKE_QUEUE_URL=url,
        REELMILL_INTAKE_TOKEN=TOKEN,
        REELMILL_INTAKE_SWEEP_CRON="* * * * *",
        REELMILL_INTAKE_PORT=str(port),
        REELMILL_INTAKE_DEAD_LETTERS=str(tmp_path / "dead"),
        REELMILL_ALARM_WEBHOOK=webhook,
    ) as service, closing(ministack.client()) as s3:  # fmt: skip

        def put(key: str) -> str:
            s3.upload_file(str(clip), bucket.bucket, key)
            return f"s3://{bucket.bucket}/{key}"

        # A folder, a bucket that tells a queue, one that tells by HTTP, a message, and what only a sweep finds.
        shutil.copy2(clip, inbox / "dropped here.mp4")
        told = put("in/told/übung+1.mp4")
        pushed = put("in/pushed.mp4")
        asked = put("elsewhere/asked.mp4")
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"job": {"source": asked, "formats": ["mp4"]}}))
        forgotten = put("in/forgotten.mp4")
        events = [event_of(bucket.bucket, "in/pushed.mp4") for _ in range(20)]
        sweep = ask(service.api, "/deployments/name/sweep-inbox/scheduled")
        assert sweep["schedules"][0]["active"] is True
        for n, each in enumerate(random.sample(events, len(events))):
            assert push(port, each) == 204
            if n == 10:
                ask(service.api, f"/deployments/{sweep['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})

        said = service.command("submit", str(clip), "-f", "mkv", "--wait")
        assert "submitted, run " in said
        assert "clip.mkv" in said
        assert "finished already" in service.command("submit", str(clip), "-f", "mkv")

        sources = [str(inbox / "dropped here.mp4"), told, pushed, asked, forgotten]
        wait_for(lambda: all(service.run_of(each) for each in sources), within_s=120)
        runs = {each: service.run_of(each) or "" for each in sources}
        wait_for(lambda: all(service.state(run) == "COMPLETED" for run in runs.values()), within_s=360)
        published = [key for key in keys_in(ministack, bucket / "out") if key.endswith(f"/{FILE_NAME}")]
        assert len(published) == len(sources) + 1

        def swept_by_schedule() -> bool:
            wanted = {"deployments": {"id": {"any_": [sweep["id"]]}}}
            runs = ask(service.api, "/flow_runs/filter", wanted) or []
            return any(each["auto_scheduled"] and each["state_type"] == "COMPLETED" for each in runs)

        wait_for(swept_by_schedule, within_s=240)

        # What is no use to anybody is put aside once, and somebody is told; so of a job that fails.
        assert push(port, {"hello": "world"}) == 202
        assert push(port, {"hello": "world"}) == 202
        assert len(list((tmp_path / "dead").iterdir())) == 1
        bad = tmp_path / "bad.mp4"
        bad.write_text("no video at all")
        said = service.command("submit", str(bad), "--wait", exit_code=2)
        assert "error: MediaUnreadable: " in said
        failed = json.loads(service.command("jobs", "list", "--state", "failed", "--json"))
        assert [each["error"]["code"] for each in failed] == ["MediaUnreadable"]
        assert "bad.mp4" in service.command("jobs", "show", failed[0]["run"][:8])
        bad.write_bytes(clip.read_bytes())
        retried = failed[0]["run"]
        assert service.command("jobs", "retry", retried) == f"{retried}: was failed, and is tried again\n"
        wait_for(lambda: service.state(retried) == "COMPLETED", within_s=120)
        subjects = {"Reelmill: a message is a dead letter", "Reelmill: transcode bad.mp4 failed"}
        wait_for(lambda: subjects <= {each["subject"] for each in alarms}, within_s=60)
        assert any("EventRejected: " in each["body"] for each in alarms)
        assert any("MediaUnreadable: " in each["body"] for each in alarms)
        assert service.status()["dead_letters"] == 1
        events_of_uploads = ask(
            service.api, "/events/filter", {"filter": {"event": {"name": ["reelmill.object.created"]}}}
        )
        assert {each["payload"]["source"] for each in events_of_uploads["events"]} == set(sources)
        assert "canary" not in service.logs()
        assert service.command("down") == "down\n"
        assert service.is_gone()


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
def test_a_cancelled_job_leaves_no_ffmpeg_and_a_killed_one_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_tables: Path
):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:secret")
    clip = make_clip(tmp_path / "long.mp4", seconds=40, size="640x360")
    tool = LoggedTool(tmp_path / "tool")
    job = ("submit", str(clip), "-f", "mp4", "--segment-seconds", "5", "--workers", "1", "-o", str(tmp_path / "out"))
    settings = {"REELMILL_FFMPEG": str(tool.path), "REELMILL_WORK_DIR": str(tmp_path)}
    settings["PREFECT_SERVER_API_AUTH_STRING"] = "me:secret"
    with up_service(tmp_path / "service", prefect_tables, **settings) as service:
        with monkeypatch.context() as stranger:
            stranger.delitem(service.environment, "PREFECT_SERVER_API_AUTH_STRING")
            assert "wants another PREFECT_API_AUTH_STRING" in service.command("jobs", "list", exit_code=3)
        with tool.holding():
            service.command(*job)
            run = service.run_of(clip) or ""
            wait_for(tool.encodes, within_s=120)
            assert service.command("jobs", "cancel", run[:8]) == f"{run}: cancelled\n"
            wait_for(lambda: not alive_with(tmp_path), within_s=10)
        tool.forget()
        assert "submitted, run " in service.command(*job)
        wait_for(lambda: len(tool.encodes()) > 3, within_s=120)  # the fourth of eight is at work
        kill_worker(service)
        [again] = [each["run"] for each in json.loads(service.command("jobs", "list", "--json")) if each["run"] != run]
        wait_for(lambda: service.state(again) == "COMPLETED", within_s=240)
        assert len(tool.encodes()) == 8 + 1  # one was in flight
        assert service.command("jobs", "retry", again[:8], exit_code=1) == f"{again}: is completed\n"
        at_the_end_its_runs_end(service, tool, clip, signal.SIGINT)


def at_the_end_its_runs_end(service: UpService, tool: LoggedTool, clip: Path, ended_by: signal.Signals) -> None:
    """End `up` in the midst of a job: no process of it is left, ffmpeg neither. SIGTERM is what `down` sends."""
    tool.forget()
    with tool.holding():
        service.submit(source=str(clip), formats=["flv"], name="ended")
        wait_for(tool.encodes, within_s=120)
        code = service.end_by(ended_by, within_s=GONE_WITHIN_S)
    assert code == (-signal.SIGKILL if ended_by == signal.SIGKILL else 0)


def kill_worker(service: UpService) -> None:
    """Kill the worker as a power cut would, and wait until nothing of its run is left."""
    [worker] = [each for each in service.processes() if each.cmdline()[2:4] == ["cli.main", "worker"]]
    left = worker.children(recursive=True)
    assert left
    worker.kill()
    wait_for(lambda: not any(each.is_running() for each in left), within_s=10)

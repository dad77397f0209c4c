"""The whole job from bucket to bucket: the same result as from a folder, and nothing left, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelmill.errors import SourceChanged, ToolFailed
from reelmill.job import TranscodeJob
from reelmill.settings import settings
from tests.bucket_jobs import SECONDS, Buckets, run
from tests.ffmpeg_tool import run_ffmpeg
from tests.live_jobs import FRAME_RATE, LoggedTool, make_clip, use_tool, wait_until
from tests.s3_servers import S3Server
from tests.stores import keys_in, new_bucket, put, using

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SECONDS).read_bytes()


@pytest.fixture
def buckets(ministack: S3Server, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    source = put(ministack, new_bucket(ministack) / "lectures" / "clip.mp4", clip)
    made = Buckets(ministack, source, new_bucket(ministack) / "work", new_bucket(ministack) / "out")
    with using(ministack, monkeypatch, REELMILL_WORK_DIR=str(made.work)):
        yield made


def test_result_is_that_of_a_job_between_folders(buckets: Buckets, clip: bytes, prefect_server: str, tmp_path: Path):
    local = tmp_path / "clip.mp4"
    local.write_bytes(clip)
    in_folders = run(TranscodeJob(source=str(local), formats=("mp4", "mkv"), segment_s=1, output=str(tmp_path / "out")))
    run(buckets.job())
    manifest = buckets.published()
    assert manifest is not None
    mp4, mkv = manifest.outputs
    assert mp4.sha256 == in_folders.outputs[0].sha256
    assert mkv.frames == in_folders.outputs[1].frames  # Matroska writes a random id into every file
    assert keys_in(buckets.server, buckets.output).keys() == {"out/clip.mp4", "out/clip.mkv", "out/manifest.json"}
    buckets.assert_nothing_is_left()


def test_pictures_are_published_with_the_outputs(
    buckets: Buckets, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    """Stills go through the bucket of unfinished work, hooks are owed there, and nothing of either is left."""
    monkeypatch.setenv("REELMILL_POST_PROCESS", "builtins:print")
    settings.cache_clear()
    run(buckets.job(formats=("mp4",), pictures=True))
    manifest = buckets.published()
    assert manifest is not None
    assert [each.kind for each in manifest.pictures] == ["poster", "thumbnails", "sprites", "preview"]
    there = keys_in(buckets.server, buckets.output).keys()
    assert there == {"out/manifest.json", *(f"out/{each.file_name}" for each in manifest.stored)}
    buckets.assert_nothing_is_left()


def test_package_is_published_whole_as_what_players_ask_for(buckets: Buckets, prefect_server: str):
    run(buckets.job(formats=("hls", "dash")))
    manifest = buckets.published()
    assert manifest is not None
    [package] = manifest.outputs
    there = keys_in(buckets.server, buckets.output).keys()
    assert there == {"out/manifest.json", *(f"out/{each.file_name}" for each in package.stored)}
    assert {kind_of(buckets, each) for each in ("master.m3u8", "manifest.mpd")} == {
        "application/vnd.apple.mpegurl", "application/dash+xml",
    }  # fmt: skip
    assert run(buckets.job(formats=("hls", "dash"))) == manifest
    buckets.assert_nothing_is_left()


def kind_of(buckets: Buckets, name: str) -> str:
    where = buckets.output / "clip.stream" / name
    return buckets.server.client().head_object(Bucket=where.bucket, Key=where.key)["ContentType"]


def test_finished_job_is_not_done_again(
    buckets: Buckets, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = run(buckets.job())
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    assert run(buckets.job()) == first
    assert tool.encodes() == []


def test_failed_job_leaves_nothing(
    buckets: Buckets, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    monkeypatch.setenv("REELMILL_RETRIES", "0")
    settings.cache_clear()
    tool.kill_once("-ss 3.000000")
    with pytest.raises(ToolFailed):
        run(buckets.job())
    assert keys_in(buckets.server, buckets.output) == {}
    buckets.assert_nothing_is_left()


def test_failed_job_is_resumed_where_its_pieces_are_kept(
    buckets: Buckets, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    monkeypatch.setenv("REELMILL_RETRIES", "0")
    monkeypatch.setenv("REELMILL_KEEP_UNFINISHED", "true")
    settings.cache_clear()
    tool.kill_once("-ss 3.000000")
    with pytest.raises(ToolFailed):
        run(buckets.job(workers=1))
    kept = sum(key.endswith(".mp4") for key in keys_in(buckets.server, buckets.work))
    assert kept
    tool.forget()
    manifest = run(buckets.job(workers=1))
    assert sum(each.reused_segments for each in manifest.renditions) == kept
    assert len(tool.encodes()) + len(tool.tracks()) == SECONDS + 1 - kept
    buckets.assert_nothing_is_left()


def test_source_overwritten_in_mid_job_is_said_so_and_nothing_is_published(
    buckets: Buckets, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The source is larger than what is kept of it, or the job would not even notice."""
    monkeypatch.setenv("REELMILL_SOURCE_CACHE_MIB", "1")
    monkeypatch.setenv("REELMILL_S3_STREAMS", "1")
    noisy = tmp_path / "noisy.mp4"
    run_ffmpeg(
        "-f", "lavfi", "-t", str(SECONDS), "-i", f"testsrc2=size=640x360:rate={FRAME_RATE},noise=alls=100:allf=t",
        "-c:v", "libx264", "-preset", "ultrafast", "-crf", "1", "-g", "25", f"file:{noisy}",
    )  # fmt: skip
    put(buckets.server, buckets.source, noisy.read_bytes())
    assert noisy.stat().st_size > 20 << 20
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    with tool.holding() as go:
        overwriting = threading.Timer(3.0, lambda: (put(buckets.server, buckets.source, b"other"), go()))
        overwriting.start()
        with pytest.raises(SourceChanged):
            run(buckets.job())
        overwriting.join()
    assert keys_in(buckets.server, buckets.output) == {}
    buckets.assert_nothing_is_left()


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_cancelled_job_leaves_nothing(buckets: Buckets, prefect_server: str, tmp_path: Path, way: signal.Signals):
    run_until_encoding(buckets, prefect_server, tmp_path, way)
    assert keys_in(buckets.server, buckets.output) == {}
    buckets.assert_nothing_is_left()


def test_killed_job_is_taken_up_at_once_and_leaves_nothing(buckets: Buckets, prefect_server: str, tmp_path: Path):
    run_until_encoding(buckets, prefect_server, tmp_path, signal.SIGKILL)
    assert keys_in(buckets.server, buckets.output) == {}
    assert any("/pieces/" in key for key in keys_in(buckets.server, buckets.work))
    manifest = run(buckets.job(**_MANY_PIECES))
    assert sum(each.reused_segments for each in manifest.renditions) > 0
    assert buckets.published() == manifest
    buckets.assert_nothing_is_left()


_MANY_PIECES = {"segment_s": 0.3}
"""So that a run is not over before it is ended, however busy the machine is."""


def run_until_encoding(buckets: Buckets, api: str, tmp_path: Path, way: signal.Signals) -> None:
    """Start the job in a process of its own, and end it in this way once a piece of it is kept."""
    job = buckets.job(**_MANY_PIECES).model_copy(update={"workers": 1}).model_dump_json()
    code = f"""
from flows.transcode_video import transcode_video
from reelmill.job import TranscodeJob
transcode_video(TranscodeJob.model_validate_json({job!r}))
"""
    tool = LoggedTool(tmp_path / "slow")
    tool.wait_before(1.0)  # or all may be over before it is seen that a piece is kept
    env = os.environ | {
        "PREFECT_API_URL": api, "REELMILL_SCRATCH_DIR": str(settings().scratch_dir), "REELMILL_FFMPEG": str(tool.path),
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=log, stderr=log, process_group=0)
        try:
            wait_until(lambda: any("/records/" in key for key in keys_in(buckets.server, buckets.work)), 60, "a piece")
            os.kill(child.pid, way)
            child.wait(60)
        finally:
            child.kill()
            child.wait()

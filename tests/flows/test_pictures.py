"""Pictures as part of the whole job: tasks of their own, tried again alone, published with the rest or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reelmill.errors import ToolKilled
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest, read_manifest
from reelmill.settings import settings
from reelmill.storage.opening import open_store
from tests.live_jobs import LoggedTool, files_below, make_clip, use_tool

pytestmark = pytest.mark.end_to_end

PROFILE = """\
version: 1
name: with-pictures
video: {preset: ultrafast}
pictures:
  poster: {at: 50%}
  thumbnails: {count: 3}
  sprites: {every_s: 1}
  preview: {format: gif}
"""
FILES = [
    "clip.mp4", "clip.poster.jpg", "clip.preview.gif", "clip.sprites/00001.jpg", "clip.sprites/sprites.vtt",
    "clip.thumbnails/00001.jpg", "clip.thumbnails/00002.jpg", "clip.thumbnails/00003.jpg", "manifest.json",
]  # fmt: skip


def run_job(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    return transcode_video(job)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoggedTool:
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    return tool


@pytest.fixture
def job(tmp_path: Path) -> TranscodeJob:
    (tmp_path / "p.yaml").write_text(PROFILE)
    clip = make_clip(tmp_path / "clip.mp4", seconds=6)
    return TranscodeJob(source=str(clip), profile=str(tmp_path / "p.yaml"), output=str(tmp_path / "out"))


def stills_runs(tool: LoggedTool) -> int:
    return sum("/poster-%05d.png" in call for call in tool.calls())


def made_runs(tool: LoggedTool, name: str) -> int:
    return sum(name in call.split()[-1] for call in tool.calls())


def test_a_killed_task_alone_is_tried_again(prefect_server: str, job: TranscodeJob, tool: LoggedTool):
    tool.kill_once("tile=6x1")
    manifest = run_job(job)

    assert files_below(Path(str(job.output))) == FILES
    assert made_runs(tool, "clip.sprites") == 2
    assert [made_runs(tool, name) for name in ("clip.poster", "clip.preview", "clip.thumbnails")] == [1, 1, 1]
    assert stills_runs(tool) == 1
    assert [each.kind for each in manifest.pictures] == ["poster", "thumbnails", "sprites", "preview"]
    for file in manifest.stored:
        content = (Path(str(job.output)) / file.file_name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size_bytes, file.sha256)
    assert manifest.pictures[0].times_s == (3.0,)
    assert manifest.pictures[1].times_s == (1.0, 3.0, 5.0)
    assert run_job(job) == manifest, "a second run finds it finished"
    assert stills_runs(tool) == 1
    (Path(str(job.output)) / "clip.thumbnails" / "00002.jpg").unlink()
    assert run_job(job).attempt != manifest.attempt
    assert files_below(Path(str(job.output))) == FILES


def test_a_failed_picture_publishes_nothing_and_the_next_run_goes_on(
    prefect_server: str, job: TranscodeJob, tool: LoggedTool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REELMILL_RETRIES", "0")
    settings.cache_clear()
    tool.kill_once("palettegen")
    with pytest.raises(ToolKilled):
        run_job(job)
    output = Path(str(job.output))
    assert files_below(output) == []
    assert read_manifest(open_store(output)) is None

    encodes = len(tool.encodes())
    run_job(job)
    assert files_below(output) == FILES
    assert len(tool.encodes()) - encodes <= 1  # that which was in flight beside it
    assert stills_runs(tool) == 1


def test_pictures_of_a_damaged_video_are_of_the_frames_there_are(prefect_server: str, media_dir: Path, tmp_path: Path):
    job = TranscodeJob(source=str(media_dir / "corrupted.mp4"), output=str(tmp_path / "out"), pictures=True)
    manifest = run_job(job)
    assert [each.kind for each in manifest.pictures] == ["poster", "thumbnails", "sprites", "preview"]
    assert manifest.outputs[0].frames == 49

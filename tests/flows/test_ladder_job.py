"""Renditions that share a decode, through Prefect: one task for all of a segment, tried again for what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reelmill.job import TranscodeJob
from reelmill.settings import settings
from tests.flows.test_transcode_video import run_job, task_runs
from tests.live_jobs import FRAME_RATE, LoggedTool, make_clip, use_tool

pytestmark = pytest.mark.end_to_end

SECONDS, SEGMENT_S = 8, 2
FRAMES, SEGMENTS = SECONDS * FRAME_RATE, SECONDS // SEGMENT_S
RUNGS = ["h264-180p", "h264-120p", "h264-90p"]
PROFILE = """
version: 1
name: small-ladder
formats: [hls]
video: {codec: h264, preset: ultrafast, pixel_format: yuv420p}
ladder:
  - {height: 180, crf: 30}
  - {height: 120, crf: 30}
  - {height: 90, crf: 30}
streaming: {segment_s: 2}
"""


@pytest.fixture
def job(tmp_path: Path, prefect_server: str) -> TranscodeJob:
    profile = tmp_path / "ladder.yaml"
    profile.write_text(PROFILE)
    clip = make_clip(tmp_path / "clip.mp4", seconds=SECONDS)
    return TranscodeJob(
        source=str(clip), profile=str(profile), output=str(tmp_path / "out"), segment_s=SEGMENT_S, workers=2
    )


def names() -> set[str]:
    return {f"encode-{'+'.join(RUNGS)}-{number:05d}" for number in range(SEGMENTS)}


def test_a_segment_of_a_ladder_is_one_task_that_is_tried_again_by_itself(
    job: TranscodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    tool.kill_once("start_pts=25600[")
    manifest, flow_run_id = run_job(job)
    video = [each for each in manifest.renditions if each.kind == "video"]
    assert [(each.id, each.segments, each.frames) for each in video] == [(each, SEGMENTS, FRAMES) for each in RUNGS]
    assert len(tool.encodes()) == SEGMENTS + 1
    assert {call.count(" -c:v lib") for call in tool.encodes()} == {len(RUNGS)}
    runs = {name: each.run_count for name, each in task_runs(flow_run_id, names()).items() if name in names()}
    assert sorted(runs.values()) == [1] * (SEGMENTS - 1) + [2]
    assert sorted((each.rendition, each.segment) for each in manifest.cost.segments) == sorted(
        (name, number) for name in RUNGS for number in range(SEGMENTS)
    )
    assert manifest.cost.failed_runs == len(RUNGS)


def test_a_piece_that_is_gone_is_made_again_alone(job: TranscodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    with monkeypatch.context() as broken:
        broken.setattr("tasks.transcoding.make_package", _fails)
        with pytest.raises(ZeroDivisionError):
            run_job(job)
    tool.forget()
    records = [json.loads(path.read_bytes()) for path in Path(settings().work_dir).glob("jobs/*/records/*.json")]
    gone = next(each for each in records if each.get("rendition") == RUNGS[1] and each["segment"] == 2)
    for path in Path(settings().work_dir).glob(f"jobs/*/records/{gone['key']}.json"):
        path.unlink()
    manifest, _ = run_job(job)
    assert [call.count(" -c:v lib") for call in tool.encodes()] == [1]
    reused = {each.id: each.reused_segments for each in manifest.renditions if each.kind == "video"}
    assert reused == {RUNGS[0]: SEGMENTS, RUNGS[1]: SEGMENTS - 1, RUNGS[2]: SEGMENTS}


def _fails(*_: object, **__: object) -> None:
    raise ZeroDivisionError

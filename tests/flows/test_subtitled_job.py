"""Jobs that burn subtitles in, through Prefect: of a file, and of a track of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelmill.errors import InvalidWatermark, ToolKilled
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from tests.conftest import Set
from tests.hard_media import HardMedia
from tests.live_jobs import LoggedTool, use_tool
from tests.pipeline import decoded_frames
from tests.pixels import pixels
from tests.subtitle_files import moving_ass

pytestmark = pytest.mark.end_to_end


def run(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    state: Any = transcode_video(job, return_state=True)
    return state.result()


def job_for(source: Path, folder: Path, subtitles: str | None, segment_s: float = 1) -> TranscodeJob:
    profile = folder / "lossless.yaml"
    profile.write_text("version: 1\nname: lossless\nvideo: {codec: h264, preset: ultrafast, crf: 0}\n")
    return TranscodeJob(
        source=str(source), profile=str(profile), output=str(folder / f"out-{segment_s}"), segment_s=segment_s,
        formats=("mkv",), workers=2, burn_subtitles=subtitles,
    )  # fmt: skip


def made_of(job: TranscodeJob) -> Path:
    return Path(job.output or "") / f"{Path(job.source).stem}.mkv"


def test_a_file_is_in_every_segment_as_in_one(hard_media: HardMedia, tmp_path: Path, prefect_server: str):
    source, lines = hard_media("cfr_h264"), str(moving_ass(tmp_path))
    cut, whole = (job_for(source, tmp_path, lines, each) for each in (1, 1000))
    manifests = [run(each) for each in (cut, whole)]
    assert [each.renditions[0].segments > 1 for each in manifests] == [True, False]
    assert {each.renditions[0].burned_subtitles for each in manifests} == {"lines.ass"}
    assert "burned into the picture: lines.ass, lines: 6" in manifests[0].reasons
    assert decoded_frames(made_of(cut), tmp_path) == decoded_frames(made_of(whole), tmp_path)


def test_a_track_of_the_source_is_burned_in_and_kept(hard_media: HardMedia, tmp_path: Path, prefect_server: str):
    plain, burned = hard_media("many_tracks"), tmp_path / "many_tracks.mkv"
    burned.symlink_to(plain)
    job = job_for(burned, tmp_path, "eng", 3)
    manifest = run(job)
    assert manifest.renditions[0].burned_subtitles == "subtitles 4 (eng)"
    assert [each.language for each in manifest.outputs[0].streams if each.kind == "subtitle"] == ["eng", "fra"]
    differs = (pixels(plain).astype(int) - pixels(made_of(job))).any(axis=(1, 2, 3))
    assert np.flatnonzero(differs).tolist() == [*range(25, 63), *range(100, 125)]


def test_a_track_that_is_not_there_fails_the_job_before_anything_is_encoded(
    hard_media: HardMedia, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    job = job_for(hard_media("many_tracks"), tmp_path, "deu")
    with pytest.raises(InvalidWatermark, match="has no subtitles 'deu'"):
        run(job)
    assert not Path(job.output or "").exists()
    assert [call for call in tool.calls() if "-version" not in call] == []


def test_a_job_that_was_stopped_goes_on_with_its_subtitles(
    hard_media: HardMedia, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch, set_to: Set
):
    """The first run fails at its last segment; the second has no other to encode."""
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    job = job_for(hard_media("cfr_h264"), tmp_path, str(moving_ass(tmp_path)), 2)
    tool.kill_once("]trim=start_pts=")
    set_to(retries=0)
    with pytest.raises(ToolKilled):
        run(job)
    rendition = run(job).renditions[0]
    assert rendition.reused_segments == rendition.segments - 1 > 1

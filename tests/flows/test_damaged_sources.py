"""The whole job on sources that are not what they seem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import MediaDamaged
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.settings import settings
from tests.bad_media import BAD_MEDIA
from tests.ffmpeg_tool import frame_times
from tests.live_jobs import alive_with, files_below

pytestmark = pytest.mark.end_to_end


def run_job(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    state: Any = transcode_video(job, return_state=True)
    return state.result()


def media_named(name: str, tmp_path: Path) -> Path:
    media = next(each for each in BAD_MEDIA if each.name == name)
    source = tmp_path / media.filename
    media.build(source)
    return source


def test_damaged_source_is_encoded_whole_and_the_manifest_says_why(tmp_path: Path, prefect_server: str):
    source = media_named("corrupt", tmp_path)
    manifest = run_job(TranscodeJob(source=str(source), output=str(tmp_path / "out"), segment_s=5, workers=2))
    assert [each for each in manifest.reasons if each.startswith("not cut: damaged: ")]
    assert [each for each in manifest.warnings if each.startswith("MediaDamaged: ")]
    assert manifest.renditions[0].segments == 1
    assert manifest.outputs[0].frames == len(frame_times(source))
    assert files_below(Path(settings().work_dir)) == []


def test_source_whose_packets_lie_about_its_frames_is_decoded_to_learn_the_truth(tmp_path: Path, prefect_server: str):
    """The last packet of half an FLV holds no frame."""
    source = media_named("half_flv", tmp_path)
    job = TranscodeJob(source=str(source), output=str(tmp_path / "out"), segment_s=2, workers=2, damage="salvage")
    manifest = run_job(job)
    assert "the times of the frames were learned by decoding the source once" in manifest.reasons
    assert manifest.source.frames_known_from == "decode"
    assert manifest.source.frames == manifest.outputs[0].frames == len(frame_times(source))


def test_strict_job_refuses_damage_and_leaves_nothing(tmp_path: Path, prefect_server: str):
    source = media_named("corrupt", tmp_path)
    with pytest.raises(MediaDamaged, match=r"corrupt\.mp4"):
        run_job(
            TranscodeJob(
                source=str(source), output=str(tmp_path / "out"), segment_s=1, workers=2, damage="strict",
                formats=("mp4", "webm"),
            )
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
    assert alive_with(tmp_path) == []
    assert [each for each in files_below(Path(settings().work_dir)) if each.endswith(".part")] == []

"""Clips of several sources, through the whole flow."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flows.transcode_video import transcode_video
from reelmill.job import Clip, Following, TranscodeJob
from reelmill.manifest import Manifest

pytestmark = pytest.mark.end_to_end


def run(job: TranscodeJob) -> Manifest:
    state: Any = transcode_video(job, return_state=True)
    return state.result()


def test_clips_of_found_sources_become_one_video_in_every_format(media_dir: Path, tmp_path: Path, prefect_server: str):
    part = Clip(start=Decimal("0.5"), end=Decimal("2.5"))
    profile = tmp_path / "small.yaml"
    profile.write_text("version: 1\nname: small\nvideo: {height: 120}\n")
    job = TranscodeJob(
        source=str(media_dir / "bunny_51.mp4"), formats=("mp4", "webm", "hls"), profile=str(profile), segment_s=3,
        append=(
            Following(source=str(media_dir / "phone_rot90_aac.mp4"), clip=part),
            Following(source=str(media_dir / "bipbop_start20s.ts")),
        ),
        output=str(tmp_path / "out"), name="joined",
    )  # fmt: skip
    manifest = run(job)
    assert [each.file_name for each in (manifest.source, *manifest.joined)] == [
        "bunny_51.mp4", "phone_rot90_aac.mp4", "bipbop_start20s.ts",
    ]  # fmt: skip
    frames = [each.frames or 0 for each in (manifest.source, *manifest.joined)]
    assert frames == [132, 60, 150]
    assert [each.frames for each in manifest.outputs] == [sum(frames)] * 3
    clip = manifest.joined[0].clip
    assert clip is not None
    assert (clip.start_s, clip.end_s) == (pytest.approx(0.5, abs=0.04), pytest.approx(2.5, abs=0.04))
    assert run(job).attempt == manifest.attempt  # finished already

"""Filters that look at several frames must not see the cuts: pieces equal the same encode made in one piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelmill.encoding.pieces import encode_segment
from reelmill.job import TranscodeJob
from reelmill.planning.planner import make_plan
from reelmill.preparing import accept_job, probe_job
from reelmill.profiles.profile import Profile
from tests.ffmpeg_tool import frame_times
from tests.hard_media import HARD_CASES

_CASES = {case.name: case for case in HARD_CASES}
_LOSSLESS = {"codec": "h264", "crf": 0.0, "preset": "ultrafast"}


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("vfr_mkv", {"frame_rate": "30"}),
        ("vfr_mp4", {"frame_rate": "24000/1001"}),
        ("gap", {"frame_rate": "25"}),
        ("interlaced_mbaff", {"deinterlace": "always"}),
        ("interlaced_mpeg2", {"deinterlace": "auto", "frame_rate": "50"}),
    ],
)
def test_pieces_of_a_resampled_video_equal_one_run(name: str, video: dict[str, object], tmp_path: Path):
    source = tmp_path / _CASES[name].filename
    _CASES[name].build(source)
    cut, in_pieces = _encoded(source, video, 1.3, tmp_path / "cut")
    whole, in_one = _encoded(source, video, 1e6, tmp_path / "whole")
    assert (cut > 4, whole) == (True, 1)
    assert in_pieces == in_one


def _encoded(path: Path, video: dict[str, object], segment_s: float, folder: Path) -> tuple[int, list[str]]:
    """Return the number of pieces, and the digest of every frame in them."""
    folder.mkdir()
    profile = Profile.model_validate({"version": 1, "name": "lossless", "video": {**_LOSSLESS, **video}})
    source, index = probe_job(accept_job(TranscodeJob(source=str(path))), "test")
    plan = make_plan(
        job_key="test", base_name="out", source=source, index=index, profile=profile, formats=("mkv",), workers=2,
        segment_s=segment_s, default_segment_s=30, most_encode_tasks=1000,
    )  # fmt: skip
    digests: list[str] = []
    for segment in plan.video[0].segments:
        record = encode_segment(source, plan.video[0], segment, folder=folder, threads=1, strict=False, attempt="test")
        digests += [digest for _, digest in frame_times(folder / record.file_name)]
    return len(plan.video[0].segments), digests

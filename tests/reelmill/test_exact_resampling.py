"""Filters that look at several frames must not see the cuts: pieces equal the same encode made in one piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ffmpeg_tool import frame_times
from tests.hard_media import HardMedia
from tests.pipeline import encode_video, fast_profile, prepare


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
def test_pieces_of_a_resampled_video_equal_one_run(
    name: str, video: dict[str, object], hard_media: HardMedia, tmp_path: Path
):
    cut, in_pieces = _encoded(hard_media(name), video, 1.3, tmp_path / "cut")
    whole, in_one = _encoded(hard_media(name), video, 1e6, tmp_path / "whole")
    assert (cut > 4, whole) == (True, 1)
    assert in_pieces == in_one


def _encoded(path: Path, video: dict[str, object], segment_s: float, folder: Path) -> tuple[int, list[str]]:
    """Return the number of pieces, and the digest of every frame in them."""
    profile = fast_profile(codec="h264", crf=0.0, **video)
    encoded = encode_video(prepare(path, folder, ("mkv",), segment_s, profile), folder)
    assert encoded.tries == 1, "by the first plan, the one that is tried here"
    pieces = encoded.pieces[encoded.plan.video[0].id]
    return len(pieces), [digest for piece in pieces for _, digest in frame_times(encoded.path(piece))]

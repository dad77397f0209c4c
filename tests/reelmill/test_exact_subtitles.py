"""Subtitles are drawn into segments as one run over the whole video would have drawn them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reelmill.job import Clip
from tests.exact_frames import frames_of_pieces, without_loss
from tests.hard_media import HardMedia
from tests.pipeline import Encoded, encode_video, fast_profile, prepare
from tests.subtitle_files import moving_ass

pytestmark = pytest.mark.slow


def encode(source: Path, folder: Path, segment_s: float, subtitles: Path, **video: Any) -> Encoded:
    profile = fast_profile(burn_subtitles={"file": str(subtitles)}, **video)
    prepared = prepare(source, folder, segment_s=segment_s, profile=profile)
    return encode_video(prepared, folder / f"pieces-{segment_s}", without_loss)


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("cfr_h264", {"overlays": [{"clock": True}, {"text": "below", "start_s": 1.1, "end_s": 4.2}]}),
        ("vfr_mp4", {}), ("vfr_mkv", {"frame_rate": "24"}), ("negative_start_mp4", {}), ("video_late_mkv", {}),
        ("video_late_mkv", {"frame_rate": "30000/1001"}), ("rotation", {"height": 120}),
        ("sar", {"width": 320, "height": 320, "scale_mode": "pad"}), ("ten_bit_hevc", {}),
        ("interlaced_mbaff", {"deinterlace": "auto"}), ("vp9_altref", {"denoise": "light", "frame_rate": "30"}),
    ],
)  # fmt: skip
def test_pieces_are_what_one_run_draws(name: str, video: dict[str, Any], hard_media: HardMedia, tmp_path: Path):
    subtitles = moving_ass(tmp_path)
    cut, whole = (encode(hard_media(name), tmp_path, each, subtitles, **video) for each in (0.7, 1000))
    assert len(cut.plan.video[0].segments) > 3
    assert len(whole.plan.video[0].segments) == 1
    assert frames_of_pieces(cut, tmp_path) == frames_of_pieces(whole, tmp_path)


@pytest.mark.parametrize("video", [{}, {"frame_rate": "25"}])
def test_a_clip_shows_the_lines_that_the_whole_source_shows_there(
    video: dict[str, Any], hard_media: HardMedia, tmp_path: Path
):
    profile = fast_profile(burn_subtitles={"file": str(moving_ass(tmp_path))}, **video)
    source = hard_media("cfr_h264")
    whole, part = (
        encode_video(prepare(source, tmp_path, segment_s=1, profile=profile, clip=each), tmp_path / name, without_loss)
        for name, each in (("whole", None), ("part", Clip(start=Decimal("1.6"), end=Decimal("4.8"))))
    )
    shown = [md5 for time_s, md5 in frames_of_pieces(whole, tmp_path) if Fraction("1.6") <= time_s < Fraction("4.8")]
    assert len(shown) == 80
    assert [md5 for _, md5 in frames_of_pieces(part, tmp_path)] == shown

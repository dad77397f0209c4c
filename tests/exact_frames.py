"""What pieces that were encoded without loss hold, frame for frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from reelmill.planning.plan import VideoRendition
from tests.pipeline import Encoded, decoded_frames


def without_loss(rendition: VideoRendition) -> VideoRendition:
    pixel_format = rendition.pixel_format.removesuffix("10le")
    return rendition.model_copy(update={"crf": 0.0, "preset": "ultrafast", "pixel_format": pixel_format})


def frames_of_pieces(encoded: Encoded, folder: Path) -> list[tuple[Fraction, str]]:
    """The frames of all pieces in the plan's order, at their times in the source."""
    rendition = encoded.plan.video[0]
    origin_s = 0 if rendition.frame_rate is None else rendition.first_pts * source_base(encoded)
    return [
        (time_s + segment.start * rendition.time_base + origin_s, md5)
        for segment, piece in zip(rendition.segments, encoded.pieces[rendition.id], strict=True)
        for time_s, md5 in decoded_frames(encoded.path(piece), folder, "-enc_time_base", "demux")
    ]


def source_base(encoded: Encoded) -> Fraction:
    assert encoded.index is not None
    return encoded.index.time_base

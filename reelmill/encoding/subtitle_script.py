"""Writes the ASS script that libass draws: the lines, below their own styles or below ours. Pure."""

from __future__ import annotations

from reelmill.media.subtitles import EVENT_FORMAT, Subtitles
from reelmill.planning.plan import PlannedSubtitles

_STYLE_FORMAT = (
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    "MarginV, Encoding"
)


def script_text(subtitles: Subtitles, planned: PlannedSubtitles, height: int, family: str) -> str:
    """Return the script for a picture of this height, in pixels. `family` is the font's name.

    Without styles of their own the lines are white with a black edge, below in the middle.
    """
    header = subtitles.header or _our_header(planned, height, family)
    return "\n".join((header, "", "[Events]", EVENT_FORMAT, *subtitles.lines, ""))


def _our_header(planned: PlannedSubtitles, height: int, family: str) -> str:
    edge, shadow = planned.line_height / 20, planned.line_height / 40
    side, below = planned.margins
    red, green, blue = planned.colour[:2], planned.colour[2:4], planned.colour[4:]
    style = (
        f"Style: Default,{family},{planned.line_height},&H00{blue}{green}{red},&H00{blue}{green}{red},&H00000000,"
        f"&H80000000,0,0,0,0,100,100,0,0,1,{edge:.2f},{shadow:.2f},2,{side},{side},{below},-1"
    )
    return "\n".join((
        "[Script Info]", "ScriptType: v4.00+", f"PlayResX: {planned.shown_width}", f"PlayResY: {height}",
        "WrapStyle: 0", "ScaledBorderAndShadow: yes", "", "[V4+ Styles]", _STYLE_FORMAT, style,
    ))  # fmt: skip

"""Files of subtitles: three kinds are opened, each by a forced demuxer, and nothing that is no text."""

from __future__ import annotations

import re
from typing import Literal

from reelmill.errors import FormatNotAllowed, InvalidWatermark

MOST_BYTES = 8 << 20
SubtitleDemuxer = Literal["srt", "webvtt", "ass"]
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_HOURS = r"-?\d{1,4}:[0-5]\d:[0-5]\d[,.:]\d{1,3}"
_MINUTES = r"(?:\d{2,4}:)?[0-5]\d:[0-5]\d\.\d{3}"
_TIMES: dict[SubtitleDemuxer, re.Pattern[str]] = {
    "srt": re.compile(rf"{_HOURS} *--> *{_HOURS}(?: |$)"),
    "webvtt": re.compile(rf"{_MINUTES}[ \t]+-->[ \t]+{_MINUTES}(?:[ \t]|$)"),
}
_TIME_LIKE = re.compile(r"-?\d\S*:\S*\s*-->")


def text_of(content: bytes, name: str) -> str:
    """Return what is written in a file. Raises InvalidWatermark for what is no text in UTF-8, or UTF-16 with a mark."""
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidWatermark(f"{name} is not in UTF-8, at byte {error.start:,}; save it as UTF-8") from error
    if "\0" in text:
        raise InvalidWatermark(f"{name} is no text: it has a character of value 0 in it")
    return text


def subtitle_demuxer_of(text: str, name: str) -> SubtitleDemuxer:
    """Name the demuxer to force on the text of a file. Raises FormatNotAllowed, InvalidWatermark for a bad time."""
    lines = [line.strip() for line in text.splitlines()]
    beginning = [line for line in lines if line and not line.startswith(";")][:2]
    if not beginning:
        raise InvalidWatermark(f"{name} is empty")
    if re.match(r"WEBVTT(?:\s|$)", beginning[0]):
        demuxer: SubtitleDemuxer = "webvtt"
    elif beginning[0].lower() == "[script info]":
        demuxer = "ass"
    elif any(_TIME_LIKE.match(line) for line in beginning):
        demuxer = "srt"
    else:
        raise FormatNotAllowed(f"{name} is no file of subtitles; allowed: SRT, WebVTT, ASS")
    if demuxer != "ass":
        _refuse_bad_times(lines, _TIMES[demuxer], name)
    return demuxer


def _refuse_bad_times(lines: list[str], times: re.Pattern[str], name: str) -> None:
    for number, line in enumerate(lines, start=1):
        if _TIME_LIKE.match(line) and not times.match(line):
            raise InvalidWatermark(f"{name}, line {number:,}: {line[:60]!r} are no times")

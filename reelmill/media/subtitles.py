"""Subtitles as they are drawn into a picture: lines of ASS that name no font, file or program but ours.

Whatever they came as, ffmpeg made ASS of it (http://www.tcax.org/docs/ass-specs.htm); of that only what draws text is
kept. Times are in hundredths of a second from the start of the source, the finest that ASS has.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator

from reelmill.errors import InvalidWatermark
from reelmill.frozen import Frozen
from reelmill.media.fonts import font_family, is_in_font, refuse_unknown_characters

MOST_LINES = 50_000
LONGEST_LINE = 20_000
"""Characters, drawings among them. One of this length makes encoding some ten times slower."""
EVENT_FORMAT = "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
_NEVER = "9:59:59.99"
"""What ffmpeg writes for an end that is not known, or before the start."""
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)\.(\d\d)")
_OVERRIDES = re.compile(r"\{([^}]*)\}")
_PLAIN_TAG = re.compile(r"\\(?:[bius][01]?|1?c(?:&H[0-9A-Fa-f]{1,8}&)?|an[1-9])(?![0-9A-Za-z(])")
_FONT_TAG = re.compile(r"\\\s*fn[^\\}]*")
_PLACED = re.compile(r"\\(?:pos|move)\(\s*-?[0-9.]+\s*,")
_SPACES = re.compile(r"\\[Nnh]")
_INFO = re.compile(
    r"(ScriptType|PlayRes[XY]|LayoutRes[XY]|WrapStyle|ScaledBorderAndShadow|Kerning)\s*:\s*([A-Za-z0-9.+ ]{1,16})$"
)
_STYLE_SECTION = re.compile(r"\[V4\+? Styles\]$", re.IGNORECASE)
_STAND_INS = {"\u2669": "#", "\u266a": "#", "\u266b": "#", "\u266c": "#"}
"""What is shown where the font has no notes: the sign that teletext marks singing with."""
_EMOJI_STYLES = ("\ufe0e", "\ufe0f")


class Subtitles(Frozen):
    """Lines to be drawn. `header` has their own sizes and styles, and is empty where ours are to be used.

    `lines` are Dialogue lines of ASS, in the order of the source. `tangles` are the spans, in hundredths of a second,
    in which several lines are shown that make room for one another: what is where depends on what came before.
    """

    name: str
    header: str
    lines: tuple[str, ...]
    tangles: tuple[tuple[int, int], ...]

    @property
    def digest(self) -> str:
        """Name what is drawn by its content."""
        return hashlib.sha256("\n".join((self.header, *self.lines)).encode()).hexdigest()[:32]


def subtitles_of_script(script: str, name: str, *, styled: bool) -> Subtitles:
    """Return what of an ASS script is drawn. Styles, sizes and movements are kept where `styled` only.

    Raises InvalidWatermark where nothing is left, where there is too much, and for characters the font does not have.
    """
    info, styles, events = _sections(script)
    header, known = _header(info, styles) if styled else ("", set[str]())
    found = [each for each in (_Line.read(event) for event in events) if each is not None]
    if not found:
        raise InvalidWatermark(f"{name} has no line of text to show")
    if len(found) > MOST_LINES:
        raise InvalidWatermark(f"{name}: {len(found):,} lines are more than {MOST_LINES:,}")
    longest = max(len(each.text) for each in found)
    if longest > LONGEST_LINE:
        raise InvalidWatermark(f"{name}: {longest:,} characters in one line are more than {LONGEST_LINE:,}")
    drawn = [each.cleaned(known if header else None) for each in found]
    visible = "".join(sorted({char for each in drawn for char in each.visible}))
    refuse_unknown_characters(visible, what=name)
    return Subtitles(name=name, header=header, lines=tuple(str(each) for each in drawn), tangles=tuple(_tangles(drawn)))


class _Line:
    """One Dialogue line: the fields before its text, its times, and the text."""

    def __init__(self, fields: list[str], start: int, end: int, text: str):
        self.fields, self.start, self.end, self.text = fields, start, end, text

    @classmethod
    def read(cls, event: str) -> _Line | None:
        """Return the line; None for one that is never shown."""
        fields = event.split(",", 9)
        if len(fields) < 10:
            return None
        start, end = _hundredths(fields[1]), _hundredths(fields[2])
        if (
            fields[2].strip() == _NEVER
            or start is None
            or end is None
            or end <= start
            or not _OVERRIDES.sub("", fields[9]).strip()
        ):
            return None
        return cls(fields[:9], start, end, fields[9])

    def cleaned(self, styles: set[str] | None) -> _Line:
        """Return the line without what it may not say; of its look nothing is kept where there are no `styles`."""
        text = "".join(_shown_characters(self.text))
        if styles is None:
            text = _OVERRIDES.sub(lambda block: _block(_PLAIN_TAG.findall(block[1])), text)
            return _Line(["0", *self.fields[1:3], "Default", "", "0", "0", "0", ""], self.start, self.end, text)
        text = _OVERRIDES.sub(lambda block: "{" + _FONT_TAG.sub("", block[1]) + "}", text)
        style = self.fields[3].lstrip("*")
        style = style if style in styles else "Default" if "Default" in styles else min(styles)
        fields = [*self.fields[:3], style, "", *self.fields[5:9]]
        return _Line(fields, self.start, self.end, text)

    @property
    def visible(self) -> str:
        return _SPACES.sub(" ", _OVERRIDES.sub("", self.text))

    @property
    def makes_room(self) -> bool:
        """Whether it is moved so that it does not hide another."""
        return not any(_PLACED.search(block) for block in _OVERRIDES.findall(self.text))

    def __str__(self) -> str:
        return f"Dialogue: {','.join(self.fields)},{self.text}"


def _block(tags: Iterable[str]) -> str:
    joined = "".join(tags)
    return "{" + joined + "}" if joined else ""


def _hundredths(text: str) -> int | None:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, whole, rest = map(int, found.groups())
    return ((hours * 60 + minutes) * 60 + whole) * 100 + rest


def _shown_characters(text: str) -> Iterator[str]:
    """Yield the text without control characters, and with stand-ins for some that the font does not have."""
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        if kind == "Cc":
            yield " " if char == "\t" else ""
        elif is_in_font(char):
            yield char
        elif kind == "Zs":
            yield " "
        elif kind != "Cf" and char not in _EMOJI_STYLES:
            yield _STAND_INS.get(char, char)


def _sections(script: str) -> tuple[list[str], list[str], list[str]]:
    """Return the lines of the script's information and of its styles, and what follows each `Dialogue:`."""
    info, styles, events = list[str](), list[str](), list[str]()
    section = ""
    for line in script.splitlines():
        if line.startswith("["):
            section = "styles" if _STYLE_SECTION.match(line.strip()) else line.strip().lower()
            styles += [line.strip()] if section == "styles" and not styles else []
        elif section == "styles":
            styles.append(line)
        elif section == "[script info]":
            info.append(line)
        elif section == "[events]" and line.startswith("Dialogue:"):
            events.append(line.removeprefix("Dialogue:").strip())
    return info, styles, events


def _header(info: Iterable[str], styles: list[str]) -> tuple[str, set[str]]:
    """Return the script's own information and styles, in our font, and the names of the styles; none without any."""
    kept = ["[Script Info]", *(f"{each[1]}: {each[2].strip()}" for each in map(_INFO.match, info) if each)]
    names, order, made = set[str](), list[str](), list[str]()
    for line in styles[1:]:
        kind, _, rest = line.partition(":")
        values = [each.strip() for each in rest.split(",")]
        if kind == "Format":
            order = [each.lower() for each in values]
            made.append(f"Format: {', '.join(values)}")
        elif kind == "Style" and len(values) == len(order) and {"name", "fontname"} <= set(order):
            values[order.index("fontname")] = font_family()
            values[order.index("name")] = values[order.index("name")].lstrip("*")
            names.add(values[order.index("name")])
            made.append(f"Style: {','.join(values)}")
    if not names:
        return "", names
    return "\n".join((*kept, "", styles[0], *made)), names


def _tangles(lines: Iterable[_Line]) -> Iterator[tuple[int, int]]:
    """Yield the spans in which lines of one layer that make room are shown with others, each as long as it goes on."""
    by_layer = dict[str, list[_Line]]()
    for line in lines:
        if line.makes_room:
            by_layer.setdefault(line.fields[0], []).append(line)
    for layer in by_layer.values():
        start = end = count = 0
        for line in sorted(layer, key=lambda each: each.start):
            if count and line.start < end:
                end, count = max(end, line.end), count + 1
                continue
            if count > 1:
                yield start, end
            start, end, count = line.start, line.end, 1
        if count > 1:
            yield start, end

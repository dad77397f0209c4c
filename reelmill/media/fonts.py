"""The font that texts are drawn in."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError  # pyright: ignore[reportMissingTypeStubs]

from reelmill.errors import InvalidWatermark
from reelmill.settings import settings


def font_file() -> Path:
    """Return the font of the setting `font_file`, else Open Sans, which comes with its package."""
    return settings().font_file or Path(str(files("ttf_opensans"))) / "ttf" / "OpenSans-Regular.ttf"


def font_digest() -> str:
    """Name the font by its content: a text is the same picture wherever it is drawn. Raises InvalidWatermark."""
    path = font_file()
    _characters(path)
    return _digest(path)


def refuse_other_font(digest: str) -> None:
    """Raise InvalidWatermark where this machine's font is not the one that a plan was made with."""
    if font_digest() != digest:
        raise InvalidWatermark(f"the font {font_file()} is not the one of the plan: give every machine the same")


def refuse_unknown_characters(text: str, *, what: str) -> None:
    """Raise InvalidWatermark where the font has no picture of a character: an empty box would be shown."""
    path = font_file()
    known = _characters(path)
    missing = "".join(dict.fromkeys(each for each in text if not each.isspace() and ord(each) not in known))
    if missing:
        raise InvalidWatermark(
            f"{what}: the font {path.name} has no {', '.join(missing[:10])}; the setting font_file names another"
        )


def is_in_font(character: str) -> bool:
    """Whether the font has a picture of the character. Raises InvalidWatermark."""
    return ord(character) in _characters(font_file())


def font_family() -> str:
    """Return the name by which subtitles ask for the font. Raises InvalidWatermark where it has none."""
    path = font_file()
    family = _family(path)
    if not family or "," in family:
        raise InvalidWatermark(f"the font {path} has no name that subtitles can ask for it by")
    return family


@lru_cache(maxsize=8)
def _family(path: Path) -> str | None:
    try:
        with path.open("rb") as file, TTFont(file, lazy=True, fontNumber=0) as font:
            return font["name"].getDebugName(1)
    except (OSError, KeyError, TTLibError) as error:
        raise InvalidWatermark(f"the font {path} can't be read: {error}") from error


@lru_cache(maxsize=8)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=8)
def _characters(path: Path) -> frozenset[int]:
    try:
        with path.open("rb") as file, TTFont(file, lazy=True, fontNumber=0) as font:
            return frozenset(font.getBestCmap() or ())
    except (OSError, TTLibError) as error:
        raise InvalidWatermark(f"the font {path} can't be read: {error}") from error

"""Tells of one job in lines of a name and a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_NARROWEST = 10


def job_lines(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield where a job stands, and then what it was asked; nothing of what was not asked for or is not known."""
    for name, value in told.items():
        if name == "error" and value:
            yield name, f"{value['code']}: {value['message']}"
        elif name == "took_s" and value is not None:
            yield "took", f"{value} s"
        elif name != "parameters" and _is_set(value):
            yield name, _text(value)
    for name, value in told.get("parameters", {}).get("job", {}).items():
        if name not in told and _is_set(value):
            yield name, _text(value)


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print names and values, all values from one column on."""
    lines = list(lines)
    width = max([_NARROWEST, *(len(name) + 2 for name, _ in lines)])
    for name, value in lines:
        print(f"{name:<{width}}{value}")


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ("", [], {})


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_text(each)}" for name, each in value.items() if _is_set(each))
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "yes" if value is True else str(value)

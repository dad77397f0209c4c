"""The terminal as the command writes to it."""

from __future__ import annotations

from rich.console import Console


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it stands: brackets and colons in a file's name are no markup of ours."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)

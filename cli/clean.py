"""`reelmill clean`: lists what killed runs left, and removes it when told to."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from cli.console import plain_console
from cli.places import result_places
from reelmill.cleaning import Leftover, find_leftovers, sweep


def clean(
    *outputs: str,
    older_than_hours: float = 24.0,
    delete: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """List what killed runs left: working folders, hidden drafts, open uploads. Nothing is removed without --delete.

    Jobs that are being worked on are left alone.

    Parameters
    ----------
    outputs
        Folders or s3://bucket/prefix addresses of results to look below; REELMILL_OUTPUT_ROOT when not given.
    older_than_hours
        Only what nobody has touched for so long.
    delete
        Remove what is listed.
    json_output
        Print the list as JSON on standard output.
    """
    found = list(find_leftovers(older_than_hours * 3600, result_places(outputs)))
    swept = [sweep(each) for each in found] if delete else [False for _ in found]
    if json_output:
        listed = [
            {**{key: value for key, value in asdict(each).items() if key != "unpublished"}, "removed": removed}
            for each, removed in zip(found, swept, strict=True)
        ]
        print(json.dumps(listed, indent=2))
        return 0
    _show(plain_console(), found, swept)
    if found and not delete:
        plain_console().print("nothing was removed; `--delete` removes it")
    return 0


def _show(console: Console, found: list[Leftover], swept: list[bool]) -> None:
    if not found:
        console.print("nothing was left behind")
        return
    table = Table("what", "where", "untouched for", "size", "")
    for each, removed in zip(found, swept, strict=True):
        size = "" if each.size_bytes is None else f"{each.size_bytes / 1e6:,.1f} MB"
        table.add_row(each.kind, each.where, f"{each.age_s / 3600:,.1f} h", size, "removed" if removed else "")
    console.print(table)

"""Draws how far a job is: a bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from reelmill.progress import Snapshot

_LINE_EVERY_S = 5.0
Show = Callable[[Snapshot], None]


@contextmanager
def progress_bar(console: Console) -> Generator[Show]:
    """Give what is to be told where the job stands, for as long as the block runs."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[done]}"),
        TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[eta]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=False) as progress:
        bar = progress.add_task("starting", total=None, done="", speed="", eta="")

        def show(snapshot: Snapshot) -> None:
            progress.update(
                bar, description=snapshot.step, total=snapshot.total, completed=snapshot.done, done=_done(snapshot),
                speed=_speed(snapshot), eta=_eta(snapshot),
            )  # fmt: skip

        yield show


def _lines(console: Console) -> Show:
    told = 0.0

    def show(snapshot: Snapshot) -> None:
        nonlocal told
        if time.monotonic() - told > _LINE_EVERY_S:
            told = time.monotonic()
            console.print(
                f"{snapshot.step}: {_done(snapshot)} ({snapshot.share:.0%}), "
                f"{snapshot.tasks_done} of {snapshot.tasks_total} tasks, {_speed(snapshot)}, {_eta(snapshot)}",
                highlight=False,
                soft_wrap=True,
            )

    return show


def _done(snapshot: Snapshot) -> str:
    if snapshot.unit == "bytes":
        return f"{snapshot.done / 1e6:,.1f} of {snapshot.total / 1e6:,.1f} MB"
    return f"{snapshot.done:,} of {snapshot.total:,} frames"


def _speed(snapshot: Snapshot) -> str:
    return f"{snapshot.per_s / 1e6:,.1f} MB/s" if snapshot.unit == "bytes" else f"{snapshot.per_s:.0f} frames/s"


def _eta(snapshot: Snapshot) -> str:
    if snapshot.eta_s is None:
        return "time left unknown"
    minutes, seconds = divmod(round(snapshot.eta_s), 60)
    return f"{minutes}:{seconds:02d} left"

"""Shows a running job: a bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from reelmill.progress import Snapshot
from tasks.reporting import unwatch, watch

_LINE_EVERY_S = 5.0


@contextmanager
def shown_progress(console: Console) -> Generator[None]:
    """Show where the job in this process stands for as long as the block runs."""
    if console.is_terminal:
        with _bar(console):
            yield
    else:
        with _lines(console):
            yield


@contextmanager
def lasting_interrupt() -> Generator[None]:
    """Have ^C end the job also when the code that it hits swallows it: it is raised again while the job reports."""
    interrupted = threading.Event()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def raise_again(snapshot: Snapshot) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    watch(raise_again)
    try:
        yield
    finally:
        unwatch(raise_again)
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(console: Console) -> Generator[None]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TextColumn("frames"),
        TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[eta]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=False) as progress:
        bar = progress.add_task("starting", total=None, speed="", eta="")

        def show(snapshot: Snapshot) -> None:
            progress.update(
                bar, description=snapshot.step, total=snapshot.frames_total, completed=snapshot.frames_done,
                speed=f"{snapshot.frames_per_s:.0f} frames/s", eta=_eta(snapshot),
            )  # fmt: skip

        watch(show)
        try:
            yield
        finally:
            unwatch(show)


@contextmanager
def _lines(console: Console) -> Generator[None]:
    told = 0.0

    def show(snapshot: Snapshot) -> None:
        nonlocal told
        if time.monotonic() - told > _LINE_EVERY_S:
            told = time.monotonic()
            console.print(
                f"{snapshot.step}: {snapshot.frames_done:,} of {snapshot.frames_total:,} frames "
                f"({snapshot.share:.0%}), {snapshot.tasks_done} of {snapshot.tasks_total} tasks, "
                f"{snapshot.frames_per_s:.0f} frames/s, {_eta(snapshot)}",
                highlight=False,
                soft_wrap=True,
            )

    watch(show)
    try:
        yield
    finally:
        unwatch(show)


def _eta(snapshot: Snapshot) -> str:
    if snapshot.eta_s is None:
        return "time left unknown"
    minutes, seconds = divmod(round(snapshot.eta_s), 60)
    return f"{minutes}:{seconds:02d} left"

"""Shows the progress of a flow that runs in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from cli.progress_bar import progress_bar
from reelmill.progress import Snapshot
from tasks.reporting import unwatch, watch


@contextmanager
def shown_progress(console: Console) -> Generator[None]:
    """Show where the job in this process stands for as long as the block runs."""
    with progress_bar(console) as show:
        watch(show)
        try:
            yield
        finally:
            unwatch(show)


@contextmanager
def lasting_interrupt() -> Generator[None]:
    """Have ^C end the job also when the code that it hits swallows it, or makes another error of it, as pydantic does.

    What was swallowed is raised again while the job reports.
    """
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
    except Exception as error:
        if interrupted.is_set():
            raise KeyboardInterrupt from error
        raise
    finally:
        unwatch(raise_again)
        signal.signal(signal.SIGINT, before)

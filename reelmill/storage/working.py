"""Where unfinished work is kept, each job's in a store of its own below one place, and held by one run at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from reelmill.errors import JobRunning
from reelmill.settings import settings
from reelmill.storage.location import Location, parse_location
from reelmill.storage.store import Holds, Store, leaves_to_sweep

_LOOKS_EVERY_S = 1.0


def work_location() -> Location:
    """Return where unfinished work is kept."""
    return parse_location(settings().work_dir, "REELMILL_WORK_DIR")


@contextmanager
def hold_lock(store: Store, on_lost: Callable[[], None], wait_s: float) -> Generator[Holds]:
    """Hold the lock of a job's store while the block runs. JobRunning when another run has it for `wait_s` yet."""
    give_up = time.monotonic() + wait_s
    with ExitStack() as held:
        while True:
            try:
                holds = held.enter_context(store.lock("lock", on_lost=on_lost))
                break
            except JobRunning:
                if time.monotonic() > give_up:
                    raise
                time.sleep(_LOOKS_EVERY_S)
        yield holds


def remove_work(store: Store) -> None:
    """Remove what a job keeps; what can't be removed now is left to `reelmill clean`."""
    with leaves_to_sweep(f"unfinished work in {store.location}"):
        store.delete("plan.json", "frames.index", "subtitles.json")
        for part in ("records/", "pieces/", "uploads/"):
            store.remove_all(part)

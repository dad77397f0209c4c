"""The operator's own steps after a job. Which ones is said by a setting of the machine, never by a job or a profile."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import Field

from reelmill.errors import HookFailed, InvalidParameter, one_line
from reelmill.frozen import Frozen
from reelmill.manifest import Manifest
from reelmill.settings import settings
from reelmill.storage.location import Location
from reelmill.storage.opening import open_store
from reelmill.storage.working import work_location

GROUP = "reelmill.post_process"
_FILE_NAME = "hooks.json"
Hook = Callable[[Manifest, str], Any]


class Pending(Frozen):
    """Which hooks are still to be run for the result of an attempt."""

    attempt: str
    hooks: tuple[str, ...] = Field(min_length=1)


def load_hook(name: str) -> Hook:
    """Return the function of a hook: `package.module:function`, or the name of an entry point in GROUP.

    Raises InvalidParameter when there is none.
    """
    try:
        found = EntryPoint(name, name, GROUP) if ":" in name else entry_points(group=GROUP)[name]
        hook = found.load()
    except Exception as error:  # importing runs the operator's code, which may raise anything
        why = one_line(f"{type(error).__name__}: {error}")
        raise InvalidParameter(f"REELMILL_POST_PROCESS: {name} can't be loaded: {why}") from error
    if not callable(hook):
        raise InvalidParameter(f"REELMILL_POST_PROCESS: {name} is not a function")
    return hook


def run_hook(name: str, manifest: Manifest, output: Location) -> None:
    """Run one hook with the manifest and the address of the folder. HookFailed for whatever it raises."""
    hook = load_hook(name)
    try:
        hook(manifest, str(output))
    except Exception as error:
        raise HookFailed(f"{name}: {type(error).__name__}: {one_line(str(error))}") from error


def promise_hooks(job_key: str, attempt: str) -> None:
    """Note that the hooks are to be run for what is about to be published, also when this process dies then."""
    if settings().post_process:
        pending = Pending(attempt=attempt, hooks=settings().post_process)
        open_store(_place(job_key)).write(_FILE_NAME, pending.model_dump_json().encode())


def pending_hooks(job_key: str, attempt: str) -> tuple[str, ...]:
    """Return the hooks that are still to be run for the published result of an attempt."""
    content = open_store(_place(job_key)).read(_FILE_NAME)
    pending = Pending.model_validate_json(content) if content else None
    return pending.hooks if pending is not None and pending.attempt == attempt else ()


def note_done(job_key: str, attempt: str, left: tuple[str, ...]) -> None:
    """Note which hooks are left to be run; with none of them nothing is kept."""
    store = open_store(_place(job_key))
    if left:
        store.write(_FILE_NAME, Pending(attempt=attempt, hooks=left).model_dump_json().encode())
    else:
        store.delete(_FILE_NAME)
        open_store(work_location() / "hooks").remove_empty(f"{job_key}/")


def _place(job_key: str) -> Location:
    return work_location() / "hooks" / job_key

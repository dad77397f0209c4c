"""Makes the finished outputs visible, all at once: files first, the manifest last."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from pydantic import ValidationError

from reelmill.errors import OutputCollision, StoreConflict
from reelmill.manifest import FILE_NAME, Manifest, read_manifest
from reelmill.records import Result
from reelmill.storage.at_once import at_once
from reelmill.storage.location import Location
from reelmill.storage.opening import open_store
from reelmill.storage.store import Draft, Staged, Store, leaves_to_sweep
from reelmill.workspace import Workspace, keeps_unfinished, scratch_folder

RESULT_FILE = "result.json"
_WAYS_ON = (
    "; the pieces are kept, and the same job goes on from them with another --output, or with --replace where another "
    "job made it"
)
Whole = TypeVar("Whole", bound=Result)


def finished_manifest(output: Location, job_key: str) -> Manifest | None:
    """Return the manifest of this very job when all its files are in `output`, unchanged; None otherwise."""
    store = open_store(output)
    manifest = read_manifest(store)
    if manifest is None or manifest.job_key != job_key:
        return None
    intact = at_once(lambda each: store.holds(each.file_name, each.size_bytes, each.sha256), manifest.stored)
    return manifest if all(intact) else None


def refuse_taken(output: Location, job_key: str, names: Sequence[str], *, replace: bool = False) -> None:
    """Raise OutputCollision when the folder holds another job's result, or somebody's file under an output's name.

    `names` are those of the outputs; one that ends in a slash is that of a folder.
    With `replace` another job's result is not refused: `publish` replaces it. What an earlier, killed attempt of the
    same job left is not somebody's: `draft_for` takes it back.
    """
    store = open_store(output)
    manifest = read_manifest(store)
    if manifest is not None and manifest.job_key == job_key:
        return
    if manifest is not None and not replace:
        raise OutputCollision(f"{output} already holds the result of another job; choose another output folder")
    if manifest is None and store.stat(FILE_NAME) is not None:
        raise OutputCollision(f"{output / FILE_NAME} is there already and is not ours")
    replaced = set(_files_of(manifest)) if manifest is not None else set[str]()
    for name in _present(store, names):
        if name not in replaced and not store.left_behind(name, job_key):
            raise OutputCollision(f"{output / name} is there already; choose another output folder or name")


def _files_of(manifest: Manifest) -> list[str]:
    return [file.file_name for file in manifest.stored]


def _present(store: Store, names: Sequence[str]) -> Iterator[str]:
    """Yield the objects that are there under a name, or below it where it is that of a folder."""
    for name in names:
        if name.endswith("/"):
            yield from (each.key for each in store.list(name))
        elif store.stat(name) is not None:
            yield name


@contextmanager
def draft_for(
    output: Location, names: Sequence[str], workspace: Workspace, job_key: str, attempt: str
) -> Generator[Draft]:
    """Give a place for the attempt's outputs that nobody sees, and clear it in the end.

    What an earlier attempt at the same job left, because its machine died, is removed: also the files that it had
    published already when it could not vouch for them yet.
    """
    store = open_store(output)

    def take_back() -> None:
        if read_manifest(store) is None:
            store.delete(*(each for each in _present(store, names) if store.left_behind(each, job_key)))
            store.remove_empty(*(each for each in names if each.endswith("/")))

    take_back()
    with store.draft(job_key, attempt, workspace.store, workspace.cache) as draft:
        try:
            yield draft
        finally:
            with leaves_to_sweep(f"outputs without a manifest in {output}"):
                take_back()


@contextmanager
def draft_at_hand(draft: Draft) -> Generator[Draft]:
    """Give the draft with a folder of this machine: its own, or one for now when another machine runs the flow."""
    if draft.folder.is_dir():
        yield draft
        return
    with scratch_folder() as folder:
        yield draft.elsewhere(folder)


def publish(
    manifest: Manifest, staged: Sequence[Staged], draft: Draft, output: Location, *, replace: bool = False
) -> None:
    """Give the staged outputs their names and write the manifest, which makes them count.

    Nobody's file is overwritten: OutputCollision when a name was taken meanwhile by other content. An older manifest of
    the same job, or with `replace` of another one, is taken away first, together with its files, for it would vouch
    for what is being replaced. May be tried again after a StoreFailed; what was given a name without a manifest is
    taken back by `draft_for`.
    """
    store = open_store(output)
    earlier = read_manifest(store)
    if earlier is not None and earlier.attempt == manifest.attempt:
        return  # this was tried before, and only the answer was lost
    if earlier is not None and (replace or earlier.job_key == manifest.job_key):
        store.delete(*_files_of(earlier))
        store.remove_empty(*earlier.folders)
        store.delete(FILE_NAME)
    try:
        at_once(draft.publish, staged)
        draft.seal(FILE_NAME, (manifest.model_dump_json(indent=2) + "\n").encode())
    except StoreConflict as error:
        raise OutputCollision(f"{error}{_WAYS_ON if keeps_unfinished() else ''}") from error


def finished_result(kind: type[Whole], output: Location, job_key: str) -> Whole | None:
    """Return this very job's result, where it is one file, when it is in `output`; None when nothing is.

    OutputCollision when there is something else by that name.
    """
    content = open_store(output).read(RESULT_FILE)
    if content is None:
        return None
    with suppress(ValidationError):
        result = kind.model_validate_json(content)
        if result.job_key == job_key:
            return result
    raise OutputCollision(f"{output / RESULT_FILE} is there already, and is not this job's; choose another folder")


def publish_result(result: Result, output: Location, workspace: Workspace, attempt: str) -> None:
    """Put a job's only file into its output, at once. OutputCollision when somebody else did meanwhile."""
    with open_store(output).draft(result.job_key, attempt, workspace.store, workspace.cache) as draft:
        try:
            draft.seal(RESULT_FILE, (result.model_dump_json() + "\n").encode())
        except StoreConflict as error:
            raise OutputCollision(str(error)) from error

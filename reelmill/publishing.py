"""Makes the finished outputs visible, all at once: files first, the manifest last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reelmill.errors import JobRejected, OutputCollision
from reelmill.manifest import FILE_NAME, Manifest, missing_outputs, read_manifest

_ATTEMPT_PREFIX = ".reelmill-"


@contextmanager
def attempt_folder(output: Path, job_key: str, attempt: str) -> Generator[Path]:
    """Give a folder inside the output folder for files that nobody is to see yet, and remove it in the end.

    What an earlier attempt at the same job left there, because its machine died, is removed too. An output folder that
    was made for this attempt, and stayed empty, goes again.
    """
    made = [each for each in (output, *output.parents) if not each.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobRejected(f"output: the folder {output} can't be made: {error.strerror}") from error
    for stale in output.glob(f"{_ATTEMPT_PREFIX}{job_key[:16]}-*"):
        _take_back(stale, output)
    folder = output / f"{_ATTEMPT_PREFIX}{job_key[:16]}-{attempt[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for each in made:
            if each.is_dir() and not any(each.iterdir()):
                each.rmdir()


def _take_back(stale: Path, output: Path) -> None:
    """Remove what a killed attempt left: its folder, and the links that it had made before it could vouch for them."""
    if read_manifest(output) is None:
        for file in stale.iterdir():
            published = output / file.name
            if published.exists() and published.samefile(file):
                published.unlink()
    shutil.rmtree(stale, ignore_errors=True)


def finished_manifest(output: Path, job_key: str) -> Manifest | None:
    """Return the manifest of this very job when all its files are in `output`, byte for byte; None otherwise."""
    manifest = read_manifest(output)
    if manifest is None or manifest.job_key != job_key or missing_outputs(manifest, output):
        return None
    return manifest


def refuse_taken(output: Path, job_key: str, file_names: Sequence[str]) -> None:
    """Raise OutputCollision when the folder holds another job's result, or somebody's file under an output's name.

    What an earlier, killed attempt of the same job left is not somebody's: `attempt_folder` takes it back.
    """
    manifest = read_manifest(output)
    if manifest is not None and manifest.job_key != job_key:
        raise OutputCollision(f"{output} already holds the result of another job; choose another output folder")
    if manifest is None and (output / FILE_NAME).exists():
        raise OutputCollision(f"{output / FILE_NAME} is there already and is not ours")
    if manifest is None and not _was_interrupted(output, job_key):
        taken = next((name for name in file_names if (output / name).exists()), None)
        if taken is not None:
            raise OutputCollision(f"{output / taken} is there already; choose another output folder or name")


def _was_interrupted(output: Path, job_key: str) -> bool:
    return any(output.glob(f"{_ATTEMPT_PREFIX}{job_key[:16]}-*"))


def publish(manifest: Manifest, attempt: Path, output: Path) -> None:
    """Move the outputs from the attempt's folder to `output` and write the manifest, which makes them count.

    Nobody's file is overwritten: OutputCollision when a name was taken meanwhile by other content. An older manifest of
    the same job is taken away first, for it would vouch for files that are being replaced.
    """
    earlier = read_manifest(output)
    if earlier is not None and earlier.job_key == manifest.job_key:
        (output / FILE_NAME).unlink()
        for each in earlier.outputs:
            (output / each.file_name).unlink(missing_ok=True)
    placed: list[Path] = []
    try:
        for each in manifest.outputs:
            target = output / each.file_name
            _sync(attempt / each.file_name)
            _place(attempt / each.file_name, target)
            placed.append(target)
        draft = attempt / FILE_NAME
        draft.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _sync(draft)
        _place(draft, output / FILE_NAME)
    except BaseException:
        for target in placed:
            target.unlink(missing_ok=True)
        raise
    _sync(output)


def _place(file: Path, target: Path) -> None:
    """Give the file its public name, unless somebody has it: OutputCollision then."""
    try:
        os.link(file, target)
    except FileExistsError as error:
        raise OutputCollision(f"{target} was made by somebody else meanwhile") from error
    except OSError:  # a file system without links
        if target.exists():
            raise OutputCollision(f"{target} was made by somebody else meanwhile") from None
        file.rename(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

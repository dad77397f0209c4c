"""A folder of files is published as one output: all of its files or none, and nobody else's is touched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from reelmill.errors import OutputCollision, StoreFailed
from reelmill.manifest import FILE_NAME, Manifest, OutputFile
from reelmill.publishing import finished_manifest, publish, refuse_taken
from reelmill.storage.local import LocalDraft
from tests.live_jobs import files_below
from tests.publishing_attempts import ATTEMPT, KEY, MADE, OTHER_KEY, draft_in, manifest_of, run_attempt, stage

PACKAGE = {"talk.stream/rung/init.mp4": b"init", "talk.stream/rung/1.m4s": b"one", "talk.stream/master.m3u8": b"list"}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


def package_manifest(attempt: str = ATTEMPT, key: str = KEY) -> Manifest:
    """What names the files of PACKAGE as those of one output."""
    whole = manifest_of({"talk.stream": b""}, key, attempt)
    files = tuple(
        OutputFile(
            file_name=name.partition("/")[2], size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
        for name, content in PACKAGE.items()
    )  # fmt: skip
    return whole.model_copy(update={"outputs": (whole.outputs[0].model_copy(update={"files": files}),)})


def run_package(output: Path, *, attempt: str = ATTEMPT, key: str = KEY, replace: bool = False) -> Manifest:
    manifest = package_manifest(attempt, key)
    refuse_taken(output, key, ["talk.stream/"], replace=replace)
    with draft_in(output, key, attempt, {"talk.stream/": b""}) as draft:
        publish(manifest, stage(draft, PACKAGE), draft, output, replace=replace)
    return manifest


def test_folder_of_files_is_an_output_too(output: Path):
    manifest = run_package(output)
    assert files_below(output) == sorted([*PACKAGE, FILE_NAME])
    assert finished_manifest(output, KEY) == manifest


def test_folder_that_lost_a_file_or_a_byte_is_not_finished(output: Path):
    run_package(output)
    (output / "talk.stream/rung/1.m4s").write_bytes(b"One")
    assert finished_manifest(output, KEY) is None
    (output / "talk.stream/rung/1.m4s").unlink()
    assert finished_manifest(output, KEY) is None


def test_folder_that_somebody_has_files_in_is_refused(output: Path):
    (output / "talk.stream").mkdir(parents=True)
    (output / "talk.stream" / "notes.txt").write_text("mine")
    with pytest.raises(OutputCollision, match=r"talk.stream/notes.txt is there already"):
        run_package(output)
    assert files_below(output) == ["talk.stream/notes.txt"]


def test_file_under_the_name_of_a_folder_is_refused_and_kept(output: Path):
    output.mkdir(parents=True)
    (output / "talk.stream").write_text("mine")
    with pytest.raises(OutputCollision, match=r"talk.stream"):
        run_package(output)
    assert files_below(output) == ["talk.stream"]


def test_nothing_is_left_of_a_folder_that_could_not_be_published(output: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise StoreFailed("no")

    monkeypatch.setattr(LocalDraft, "seal", fail)
    with pytest.raises(StoreFailed):
        run_package(output)
    assert not output.exists()


def test_folder_gives_way_to_another_jobs_with_all_its_files(output: Path):
    run_package(output)
    run_attempt(output, key=OTHER_KEY, attempt="2" * 32, replace=True)
    assert files_below(output) == sorted([*MADE, FILE_NAME])
    assert not (output / "talk.stream").exists()


@pytest.mark.parametrize("name", ["../up.mp4", "/root.mp4", "a/../../b", ".hidden/a", "a//b", "a/."])
def test_manifest_names_no_file_outside_its_folder(name: str):
    with pytest.raises(ValidationError):
        OutputFile(file_name=name, size_bytes=1, sha256="")

"""`reelmill clean` finds what killed runs left, removes it when told to, and leaves what is being worked on alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.clean import clean
from reelmill.errors import SourceNotFound
from reelmill.settings import settings
from reelmill.storage.location import Location, S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.working import work_location
from reelmill.workspace import open_workspace
from tests.conftest import Set
from tests.stores import new_bucket, using

JOB, LIVE_JOB = "a" * 40, "b" * 40
OLD_S = 48 * 3600.0
KILLED: list[Any] = []
"""Runs that were never told to clear up."""


@pytest.fixture(params=["folder", "bucket"])
def output(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    if request.param == "folder":
        folder = tmp_path / "results"
        folder.mkdir()
        yield folder
        bury_the_killed()
        return
    server = request.getfixturevalue("ministack")
    work = new_bucket(server)
    with using(server, monkeypatch, REELMILL_WORK_DIR=f"{work}work"):
        yield new_bucket(server) / "results"
        bury_the_killed()


def leave_behind(output: Location, key: str = JOB) -> None:
    """Do as a run does that is killed in the middle of publishing."""
    store = open_store(work_location() / "jobs" / key)
    store.write("records/1.json", b"{}")
    killed = open_store(output / "clip").draft(key, "1" * 32, store, settings().scratch_dir / f"job-{key}")
    KILLED.append(killed)
    draft = killed.__enter__()
    for name in ("clip.mp4", "clip.flv"):
        (draft.folder / name).write_bytes(b"x")
    draft.publish(draft.stage("clip.mp4", "0" * 64))
    draft.stage("clip.flv", "0" * 64)


def bury_the_killed() -> None:
    while KILLED:
        KILLED.pop().__exit__(None, None, None)


def listed(capsys: pytest.CaptureFixture[str], *outputs: str, **options: Any) -> list[dict[str, Any]]:
    clean(*outputs, json_output=True, **options)
    return json.loads(capsys.readouterr().out)


def make_older(folder: Path) -> None:
    """Have everything in a folder be untouched for two days."""
    then = time.time() - OLD_S
    for each in (*folder.rglob("*"), folder):
        os.utime(each, (then, then))


def test_nothing_is_found_where_nothing_was_left(output: Location, capsys: pytest.CaptureFixture[str]):
    assert listed(capsys, str(output)) == []


def test_folder_that_is_not_there_is_refused_unless_it_is_the_common_root(tmp_path: Path, set_to: Set):
    with pytest.raises(SourceNotFound, match=f"there is no folder {tmp_path}/mistyped"):
        clean(f"{tmp_path}/mistyped")
    set_to(output_root=tmp_path / "not yet")
    assert clean() == 0


def test_what_is_young_is_left_alone(output: Location, capsys: pytest.CaptureFixture[str]):
    leave_behind(output)
    assert listed(capsys, str(output)) == []


def test_everything_is_listed_and_nothing_removed_by_default(output: Location, capsys: pytest.CaptureFixture[str]):
    leave_behind(output)
    first = listed(capsys, str(output), older_than_hours=-1)
    kinds = {each["kind"] for each in first}
    assert {"work", "upload" if isinstance(output, S3Location) else "draft"} <= kinds
    assert not any(each["removed"] for each in first)
    assert {each["where"] for each in listed(capsys, str(output), older_than_hours=-1)} == {
        each["where"] for each in first
    }


def test_all_of_it_is_removed_when_told_to(output: Location, capsys: pytest.CaptureFixture[str]):
    leave_behind(output)
    removed = listed(capsys, str(output), older_than_hours=-1, delete=True)
    assert removed
    assert all(each["removed"] for each in removed)
    assert listed(capsys, str(output), older_than_hours=-1) == []
    assert list(open_store(work_location()).list()) == []
    assert list(open_store(output).unpublished()) == []
    if isinstance(output, S3Location):
        assert list(open_store(output).list()) == [], "an output without a manifest is still there"


def test_job_that_is_being_worked_on_is_left_alone(output: Location, capsys: pytest.CaptureFixture[str]):
    with open_workspace(LIVE_JOB) as workspace:
        with open_store(output / "clip").draft(LIVE_JOB, "1" * 32, workspace.store, workspace.cache) as draft:
            (draft.folder / "clip.mp4").write_bytes(b"x")
            draft.stage("clip.mp4", "0" * 64)
            assert listed(capsys, str(output), older_than_hours=-1, delete=True) == []
        workspace.remove()


@pytest.mark.parametrize("output", ["folder"], indirect=True)  # nobody can make an object older
def test_age_is_that_of_the_youngest_file(output: Location, capsys: pytest.CaptureFixture[str]):
    leave_behind(output)
    make_older(Path(settings().work_dir))
    (found,) = [each for each in listed(capsys) if each["kind"] == "work"]
    assert found["age_s"] == pytest.approx(OLD_S, abs=600)
    open_store(work_location() / "jobs" / JOB).write("records/2.json", b"{}")
    assert [each for each in listed(capsys) if each["kind"] == "work"] == []


def test_dry_run_says_how_to_remove(output: Location, capsys: pytest.CaptureFixture[str]):
    leave_behind(output)
    clean(older_than_hours=-1)
    assert "--delete" in capsys.readouterr().out

"""All or nothing: outputs count once the manifest is there, and nobody else's file is ever touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from reelmill.errors import JobRejected, OutputCollision, StoreFailed
from reelmill.manifest import FILE_NAME, read_manifest
from reelmill.publishing import draft_at_hand, finished_manifest, publish
from reelmill.storage.location import S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.s3 import S3Draft
from tests.conftest import Set
from tests.live_jobs import files_below
from tests.publishing_attempts import (
    KEY,
    MADE,
    OTHER_KEY,
    draft_in,
    manifest_of,
    run_attempt,
    stage,
    write,
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


def test_outputs_and_manifest_are_all_there_is_in_the_end(output: Path):
    manifest = run_attempt(output)
    assert {each: (output / each).read_bytes() for each in MADE} == MADE
    assert set(files_below(output)) == {*MADE, FILE_NAME}
    assert read_manifest(open_store(output)) == manifest == finished_manifest(output, KEY)
    assert {each.stat().st_nlink for each in output.iterdir()} == {1}


def test_outputs_may_be_called_what_a_file_may_be_called(output: Path):
    files = {"it's 100 % Köln [1]; $(x).mp4": b"an mp4"}
    assert run_attempt(output, files) == finished_manifest(output, KEY)
    assert set(files_below(output)) == {*files, FILE_NAME}


def test_draft_in_a_folder_that_this_machine_has_not_is_refused(output: Path, tmp_path: Path):
    """As on a worker that shares no disk with the machine that runs the flow."""
    with draft_in(output) as draft:
        with draft_at_hand(draft) as mine:
            assert mine is draft
        draft.folder.rename(tmp_path / "on another machine")
        with pytest.raises(StoreFailed, match="results need a bucket"), draft_at_hand(draft):
            pass


def test_draft_in_a_bucket_has_a_folder_of_this_machine_for_now(tmp_path: Path):
    draft = S3Draft(S3Location("results", "out"), tmp_path / "on another machine", KEY, open_store(tmp_path))
    with draft_at_hand(draft) as mine:
        folder = mine.folder
        assert folder.is_dir()
    assert not folder.exists()
    assert not draft.folder.exists()


def test_who_may_read_the_outputs_may_read_the_manifest(output: Path):
    run_attempt(output)
    assert {each.name: oct(each.stat().st_mode) for each in output.iterdir()} == dict.fromkeys(
        [*MADE, FILE_NAME], oct((output / "clip.mp4").stat().st_mode)
    )


def test_manifest_appears_when_every_output_is_complete(output: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[list[str]] = []
    link = os.link

    def look_and_link(source: Path, target: Path) -> None:
        if Path(target).name == FILE_NAME:
            seen.append([name for name in MADE if (output / name).read_bytes() == MADE[name]])
            assert not (output / FILE_NAME).exists()
        link(source, target)

    monkeypatch.setattr(os, "link", look_and_link)
    run_attempt(output)
    assert seen == [list(MADE)]


def test_outputs_are_on_the_disk_before_the_manifest_is(output: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    run_attempt(output)
    names = {each.stat().st_ino: each.name for each in (output, *output.iterdir())}
    in_order = [name for name, _ in groupby(names[each] for each in synced)]
    assert in_order == [*MADE, output.name, FILE_NAME, output.name], "the folder, too, has the names of the outputs"


def test_nothing_is_visible_while_an_attempt_is_at_work(output: Path):
    with draft_in(output) as draft:
        stage(draft, MADE)
        assert [each.name for each in output.iterdir() if not each.name.startswith(".")] == []
        assert finished_manifest(output, KEY) is None


def test_result_that_lost_a_byte_is_not_finished(output: Path):
    run_attempt(output)
    (output / "clip.flv").write_bytes(b"an flV")
    assert finished_manifest(output, KEY) is None
    (output / "clip.flv").unlink()
    assert finished_manifest(output, KEY) is None


def test_damaged_result_is_made_again_in_its_place(output: Path):
    run_attempt(output)
    (output / "clip.flv").write_bytes(b"cut off")
    run_attempt(output, attempt="2" * 32)
    assert (output / "clip.flv").read_bytes() == MADE["clip.flv"]
    assert finished_manifest(output, KEY) is not None


# Somebody else's files


def test_output_name_that_is_taken_is_refused_before_any_work(output: Path):
    output.mkdir(parents=True)
    write(output, {"clip.flv": b"holiday"})
    with pytest.raises(OutputCollision, match=r"clip\.flv"):
        run_attempt(output)
    assert files_below(output) == ["clip.flv"]
    assert (output / "clip.flv").read_bytes() == b"holiday"


def test_other_files_in_the_output_folder_stay_as_they_are(output: Path):
    output.mkdir(parents=True)
    write(output, {"notes.txt": b"mine", ".hidden": b"mine"})
    run_attempt(output)
    assert ((output / "notes.txt").read_bytes(), (output / ".hidden").read_bytes()) == (b"mine", b"mine")


def test_result_of_another_job_is_not_replaced(output: Path):
    run_attempt(output, key=OTHER_KEY)
    before = {each: (output / each).read_bytes() for each in files_below(output)}
    with pytest.raises(OutputCollision, match="another job"):
        run_attempt(output, {"clip.webm": b"new"})
    assert {each: (output / each).read_bytes() for each in files_below(output)} == before


def test_result_of_another_job_gives_way_where_that_is_wanted_with_all_its_files(output: Path):
    run_attempt(output, key=OTHER_KEY)
    write(output, {"notes.txt": b"mine"})
    manifest = run_attempt(output, {"clip.mp4": b"new", "clip.webm": b"new"}, attempt="second", replace=True)
    assert files_below(output) == ["clip.mp4", "clip.webm", FILE_NAME, "notes.txt"]
    assert (output / "clip.mp4").read_bytes() == b"new"
    assert finished_manifest(output, KEY) == manifest


def test_replacing_a_result_spares_what_is_not_part_of_it(output: Path):
    run_attempt(output, {"clip.mp4": b"old"}, key=OTHER_KEY)
    write(output, {"clip.webm": b"holiday"})
    with pytest.raises(OutputCollision, match=r"clip\.webm"):
        run_attempt(output, {"clip.mp4": b"new", "clip.webm": b"new"}, replace=True)
    assert finished_manifest(output, OTHER_KEY) is not None
    assert (output / "clip.webm").read_bytes() == b"holiday"


def test_manifest_of_somebody_else_is_not_replaced(output: Path):
    output.mkdir(parents=True)
    write(output, {FILE_NAME: b'{"name": "a web app"}'})
    with pytest.raises(OutputCollision, match="not ours"):
        run_attempt(output)
    assert (output / FILE_NAME).read_bytes() == b'{"name": "a web app"}'


@pytest.fixture
def appears_meanwhile(output: Path) -> Callable[[str], None]:
    """Run an attempt during which somebody puts a file under this name into the output folder."""

    def attempt(name: str) -> None:
        with draft_in(output) as draft:
            staged = stage(draft, MADE)
            write(output, {name: b"holiday"})
            publish(manifest_of(MADE), staged, draft, output)

    return attempt


@pytest.mark.parametrize("name", MADE)
def test_file_that_appears_meanwhile_is_not_overwritten(
    name: str, output: Path, appears_meanwhile: Callable[[str], None]
):
    with pytest.raises(OutputCollision, match="somebody else"):
        appears_meanwhile(name)
    assert (output / name).read_bytes() == b"holiday"
    assert not (output / FILE_NAME).exists()


@pytest.mark.parametrize("kept", [True, False])
def test_who_finds_the_output_taken_is_told_how_to_go_on_from_what_is_kept(
    kept: bool, appears_meanwhile: Callable[[str], None], set_to: Set
):
    set_to(keep_unfinished=kept)
    with pytest.raises(OutputCollision) as refused:
        appears_meanwhile("clip.mp4")
    assert ("another --output, or with --replace" in str(refused.value)) is kept


def test_collision_at_the_last_output_leaves_none_of_the_others(output: Path, appears_meanwhile: Callable[[str], None]):
    with pytest.raises(OutputCollision):
        appears_meanwhile("clip.flv")
    assert files_below(output) == ["clip.flv"]


def test_manifest_of_somebody_else_that_appears_meanwhile_is_not_overwritten(
    output: Path, appears_meanwhile: Callable[[str], None]
):
    with pytest.raises(OutputCollision):
        appears_meanwhile(FILE_NAME)
    assert (output / FILE_NAME).read_bytes() == b"holiday"


def test_file_under_an_output_name_is_kept_also_where_an_attempt_was_killed(output: Path):
    (output / f".reelmill-{KEY[:16]}-00000000").mkdir(parents=True)
    write(output, {"clip.mp4": b"holiday"})
    with pytest.raises(OutputCollision):
        run_attempt(output)
    assert (output / "clip.mp4").read_bytes() == b"holiday"
    assert not (output / "clip.flv").exists()


@pytest.mark.parametrize("name", ["clip.mp4", FILE_NAME])
def test_folder_under_an_output_name_is_refused(name: str, output: Path):
    (output / name).mkdir(parents=True)
    with pytest.raises(OutputCollision):
        run_attempt(output)


def test_dangling_link_under_an_output_name_is_not_followed(output: Path, tmp_path: Path):
    output.mkdir(parents=True)
    (output / "clip.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(OutputCollision):
        run_attempt(output)
    assert not (tmp_path / "elsewhere.mp4").exists()


# What failed and killed attempts leave


def publish_by_fits_and_starts(output: Path) -> None:
    """Fail behind the first output, try again, and try again when all was done and only the answer was lost."""
    with draft_in(output) as draft:
        staged = stage(draft, MADE)
        draft.publish(staged[0])
        for _ in range(2):
            publish(manifest_of(MADE), staged, draft, output)


def test_publishing_that_failed_halfway_can_be_tried_again(output: Path):
    publish_by_fits_and_starts(output)
    assert finished_manifest(output, KEY) == manifest_of(MADE)
    assert set(files_below(output)) == {*MADE, FILE_NAME}


@pytest.mark.usefixtures("no_links")
def test_publishing_that_failed_halfway_can_be_tried_again_where_there_are_no_links(output: Path):
    publish_by_fits_and_starts(output)
    assert finished_manifest(output, KEY) == manifest_of(MADE)
    assert set(files_below(output)) == {*MADE, FILE_NAME}


def fail_in_an_attempt(
    output: Path, error: type[BaseException] = RuntimeError, meanwhile: dict[str, bytes] | None = None
) -> None:
    with draft_in(output) as draft:
        stage(draft, MADE)
        write(output, meanwhile or {})
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_output_folder_made_for_an_attempt_goes_when_it_fails(error: type[BaseException], output: Path, tmp_path: Path):
    with pytest.raises(error):
        fail_in_an_attempt(output, error)
    assert list(tmp_path.iterdir()) == []


def test_output_folder_that_was_there_stays_when_an_attempt_fails(output: Path):
    output.mkdir(parents=True)
    with pytest.raises(RuntimeError):
        fail_in_an_attempt(output)
    assert list(output.iterdir()) == []


def test_output_folder_in_which_somebody_put_a_file_stays(output: Path):
    with pytest.raises(RuntimeError):
        fail_in_an_attempt(output, meanwhile={"notes.txt": b"mine"})
    assert files_below(output) == ["notes.txt"]


def test_output_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(JobRejected, match="output"), draft_in(tmp_path / "file" / "out"):
        pass


def killed_attempt(output: Path, after: str) -> None:
    """Have a process publish MADE and kill -9 itself after this step."""
    code = f"""
import os, signal
from pathlib import Path
from tests import publishing_attempts as t
from reelmill.storage import local

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

link = os.link
if {after!r} == "work":
    t.publish = die
elif {after!r} == "first link":
    os.link = lambda *given: (link(*given), die())
elif {after!r} == "links":
    os.link = lambda file, target: (link(file, target), die() if target.name == list(t.MADE)[-1] else None)
elif {after!r} == "draft of the manifest":
    os.link = lambda file, target: die() if target.name == {FILE_NAME!r} else link(file, target)
elif {after!r} == "removal of the old manifest":
    delete = local.LocalStore.delete
    local.LocalStore.delete = lambda self, *keys: (delete(self, *keys), die() if {FILE_NAME!r} in keys else None)
elif {after!r} == "manifest":
    local.shutil.rmtree = die
t.run_attempt(Path({str(output)!r}), attempt="3" * 32)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], timeout=60)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("after", ["work", "first link", "links", "draft of the manifest"])
def test_next_attempt_takes_back_what_a_killed_one_left(after: str, output: Path):
    killed_attempt(output, after)
    assert [each for each in output.iterdir() if each.is_dir()]
    assert finished_manifest(output, KEY) is None
    again = {name: content + b", better" for name, content in MADE.items()}
    run_attempt(output, again, attempt="2" * 32)
    assert set(files_below(output)) == {*MADE, FILE_NAME}
    assert {each: (output / each).read_bytes() for each in MADE} == again
    assert [each for each in output.iterdir() if each.is_dir()] == []


def test_job_whose_old_result_was_being_replaced_by_a_killed_attempt_can_be_done_again(output: Path):
    run_attempt(output)
    (output / "clip.flv").write_bytes(b"cut off")
    killed_attempt(output, "removal of the old manifest")
    run_attempt(output, attempt="2" * 32)
    assert finished_manifest(output, KEY) is not None
    assert set(files_below(output)) == {*MADE, FILE_NAME}


def test_attempt_killed_after_its_manifest_has_published(output: Path):
    killed_attempt(output, "manifest")
    assert finished_manifest(output, KEY) is not None


def test_what_another_job_left_is_not_taken_back(output: Path):
    left = output / f".reelmill-{OTHER_KEY[:16]}-00000000"
    left.mkdir(parents=True)
    write(left, {"other.mp4": b"of another job"})
    os.link(left / "other.mp4", output / "other.mp4")
    run_attempt(output)
    assert (output / "other.mp4").exists()
    assert left.is_dir()


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links. Linux looks first whether the name is taken."""

    def link(_: Path, target: Path) -> None:
        raise FileExistsError if os.path.lexists(target) else PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("no_links")
def test_file_system_without_links_gets_the_outputs_too(output: Path):
    run_attempt(output)
    assert finished_manifest(output, KEY) is not None


@pytest.mark.usefixtures("no_links")
def test_file_is_not_overwritten_where_there_are_no_links(output: Path, appears_meanwhile: Callable[[str], None]):
    with pytest.raises(OutputCollision):
        appears_meanwhile("clip.mp4")
    assert (output / "clip.mp4").read_bytes() == b"holiday"


@pytest.mark.usefixtures("no_links")
def test_collision_at_the_last_output_leaves_none_of_the_others_where_there_are_no_links(
    output: Path, appears_meanwhile: Callable[[str], None]
):
    with pytest.raises(OutputCollision):
        appears_meanwhile("clip.flv")
    assert files_below(output) == ["clip.flv"]

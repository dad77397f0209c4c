"""Two runs that share no lock, since each has a folder for unfinished work of its own, into one local destination."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import OutputCollision, StoreConflict
from reelmill.progress import ProgressBoard
from reelmill.settings import settings
from reelmill.storage.location import S3Location
from reelmill.transfer import small
from tests.live_jobs import files_below
from tests.two_stores import MIB, Stores, noise, transfer

PART = 5 * MIB
OURS, THEIRS = noise(3 * PART), noise(3 * PART, 1)


@pytest.fixture
def both(stores: Stores, source: S3Location) -> tuple[S3Location, S3Location]:
    return stores.put(source / "ours", OURS, part_bytes=PART), stores.put(source / "theirs", THEIRS, part_bytes=PART)


def elsewhere(tmp_path: Path, run: Callable[[], Any]) -> None:
    """Do something as a user with another folder for unfinished work would."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("REELMILL_WORK_DIR", str(tmp_path / "their-work"))
        settings.cache_clear()
        run()
    settings.cache_clear()


@pytest.mark.parametrize("replace", [False, True])
def test_file_that_another_run_published_is_not_written_into(
    both: tuple[S3Location, S3Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
):
    """Theirs is whole while one of our parts is half written."""
    target, report, waiting = tmp_path / "out/a", ProgressBoard.report, [True]

    def report_and_wait(self: Any, task: str, count: int) -> None:
        report(self, task, count)
        if task.endswith("/3") and waiting:
            waiting.clear()
            elsewhere(tmp_path, lambda: transfer(both[1], target))

    monkeypatch.setattr(ProgressBoard, "report", report_and_wait)
    if replace:
        transfer(both[0], target, concurrency=1, part_size="5MiB", replace=True)
    else:
        with pytest.raises((OutputCollision, StoreConflict)):
            transfer(both[0], target, concurrency=1, part_size="5MiB")
    assert not waiting
    assert target.read_bytes() == (OURS if replace else THEIRS)
    assert files_below(tmp_path / "out") == ["a"]


def test_small_file_is_published_by_the_run_that_wrote_it(
    stores: Stores, source: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Theirs is written when ours is about to be published, and about to be published when ours has been."""
    ours, theirs = stores.put(source / "ours", b"ours"), stores.put(source / "theirs", b"theirs")
    target, publish, waiting = tmp_path / "out/a", small.publish_file, list[Any]()

    def publish_crosswise(*given: Any, **said: Any) -> None:
        if not waiting:
            waiting.append((given, said))
            with pytest.raises(StoreConflict):
                elsewhere(tmp_path, lambda: transfer(theirs, target))
        else:
            publish(*waiting[0][0], **waiting[0][1])
            publish(*given, **said)

    monkeypatch.setattr(small, "publish_file", publish_crosswise)
    assert transfer(ours, target).copied == 1
    assert target.read_bytes() == b"ours"
    assert files_below(tmp_path / "out") == ["a"]

"""A sweep of an inbox finds exactly what has no result, and a watched folder starts what is new, once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reelmill.errors import SourceNotFound, StoreFailed
from reelmill.intake.folder_watch import watch
from reelmill.intake.inbox import unfinished_uploads
from reelmill.intake.rules import job_for
from reelmill.job import TranscodeJob
from reelmill.manifest import FILE_NAME, Manifest, SourceReport
from reelmill.storage.location import Location
from reelmill.storage.opening import open_store
from reelmill.storage.pinning import pin
from tests.s3_servers import S3Server
from tests.stores import new_bucket, using

Set = Callable[..., None]


@pytest.fixture(params=["folder", "ministack", pytest.param("ceph", marks=pytest.mark.slow)])
def place(
    request: pytest.FixtureRequest, inbox: Path, monkeypatch: pytest.MonkeyPatch, set_to: Set
) -> Iterator[Location]:
    """An inbox, in a folder or a bucket."""
    if request.param == "folder":
        yield inbox
        return
    server: S3Server = request.getfixturevalue(request.param)
    with using(server, monkeypatch):
        bucket = new_bucket(server)
        set_to(intake_inbox=bucket / "in", output_root=bucket / "out")
        yield bucket / "in"


def drop(place: Location, *names: str, content: bytes = b"video") -> None:
    for name in names:
        open_store(place).write(name, content)


def publish(location: Location) -> None:
    """Put the manifest of a finished job where that of an upload would be."""
    job, source = job_for(location), pin(location)
    manifest = Manifest(
        job_key="k", attempt="a", reelmill_version="0", ffmpeg_version="0", profile="web", created="", wall_s=0,
        source=SourceReport(
            file_name=location.name, identity=source.identity, size_bytes=source.size_bytes, format="mov",
            duration_s=1, frames=None, frames_known_from="packets",
        ),
        outputs=(), renditions=(), reasons=(), warnings=(),
    )  # fmt: skip
    open_store(job.output_location).write(FILE_NAME, manifest.model_dump_json().encode())


def found(place: Location) -> list[str]:
    jobs = [job.source for job in unfinished_uploads()]
    assert jobs == [job.source for job in unfinished_uploads(place)]
    return sorted(each.removeprefix(f"{place}/") for each in jobs)


def test_sweep_finds_what_has_no_result(place: Location):
    drop(place, "a.mp4", "deep/b c+%2B.mov", "note.txt", ".hidden.mp4", "done.mkv")
    publish(place / "done.mkv")
    assert found(place) == ["a.mp4", "deep/b c+%2B.mov"]
    publish(place / "a.mp4")
    publish(place / "deep/b c+%2B.mov")
    assert found(place) == []


def test_sweep_of_an_empty_inbox_finds_nothing(place: Location):
    assert found(place) == []


def test_upload_that_was_replaced_is_found_again(place: Location):
    drop(place, "a.mp4")
    publish(place / "a.mp4")
    drop(place, "a.mp4", content=b"another video")
    assert found(place) == ["a.mp4"]


def test_sweep_gives_the_job_that_an_event_gives(place: Location):
    drop(place, "a.mp4")
    assert list(unfinished_uploads()) == [job_for(place / "a.mp4")]


def test_name_that_no_job_may_have_does_not_stop_the_sweep(inbox: Path, caplog: pytest.LogCaptureFixture):
    drop(inbox, "a.mp4", "b\nc.mp4")
    (inbox / os.fsdecode(b"\xff.mp4")).write_bytes(b"video")
    assert found(inbox) == ["a.mp4"]
    assert caplog.text.count("makes no job") == 4


def test_file_that_is_being_written_waits_for_the_next_sweep(inbox: Path, set_to: Set):
    drop(inbox, "a.mp4")
    set_to(intake_settle_s=3600)
    os.utime(inbox / "a.mp4", (1, 1))  # a copy that keeps times
    assert found(inbox) == []
    set_to(intake_settle_s=0.5)
    os.utime(inbox / "a.mp4", (2e9, 4e9))  # a clock that is wrong
    time.sleep(0.6)
    assert found(inbox) == ["a.mp4"]


def test_inbox_that_is_not_there_is_not_empty(inbox: Path):
    inbox.rmdir()
    with pytest.raises(SourceNotFound, match="no folder"):
        list(unfinished_uploads())


@contextmanager
def watching(inbox: Path, start: Callable[[TranscodeJob], object]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(inbox, start, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_watch_starts_each_upload_once(inbox: Path):
    drop(inbox, "before.mp4", "done.mp4")
    publish(inbox / "done.mp4")
    started: list[str] = []
    with watching(inbox, lambda job: started.append(Path(job.source).name)):
        wait_for(lambda: started == ["before.mp4"])
        drop(inbox, "a.mp4", "b.txt")
        wait_for(lambda: started == ["before.mp4", "a.mp4"])
        time.sleep(0.3)
        drop(inbox, "a.mp4", content=b"another video")
        wait_for(lambda: len(started) == 3)
        time.sleep(0.3)
    assert started == ["before.mp4", "a.mp4", "a.mp4"]


def test_file_that_grows_is_started_when_it_is_whole(inbox: Path, set_to: Set):
    set_to(intake_settle_s=0.5)
    sizes: list[int] = []
    with watching(inbox, lambda job: sizes.append(Path(job.source).stat().st_size)):
        with (inbox / "a.mp4").open("wb", buffering=0) as file:
            for _ in range(10):
                file.write(b"x" * 100)
                time.sleep(0.1)
        wait_for(lambda: sizes)
    assert sizes == [1000]


def test_watch_tries_again_what_could_not_be_started(inbox: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reelmill.intake.folder_watch._AFTER_FAILURE_S", 0.05)
    drop(inbox, "a.mp4", "b.mp4")
    started: list[str] = []

    def start(job: TranscodeJob) -> None:
        started.append(Path(job.source).name)
        if started.count("b.mp4") == 1 and started[-1] == "b.mp4":
            raise StoreFailed("no server")

    with watching(inbox, start):
        wait_for(lambda: started.count("b.mp4") == 2)
        time.sleep(0.2)
    assert started == ["a.mp4", "b.mp4", "b.mp4"]


def test_watch_outlives_an_inbox_that_goes_away(inbox: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reelmill.intake.folder_watch._AFTER_FAILURE_S", 0.05)
    inbox.rmdir()
    started: list[str] = []
    with watching(inbox, lambda job: started.append(Path(job.source).name)):
        time.sleep(0.2)
        inbox.mkdir()
        drop(inbox, "a.mp4")
        wait_for(lambda: started == ["a.mp4"])

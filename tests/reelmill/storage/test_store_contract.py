"""What every store promises, asked of a folder and of real S3 servers alike."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelmill.errors import JobRunning, StoreConflict
from reelmill.storage.location import Location, S3Location
from reelmill.storage.opening import open_store
from reelmill.storage.store import Staged, Store
from tests.stores import new_bucket, open_uploads, using

JOB, OTHER_JOB = "a" * 40, "b" * 40
SEVERAL_PARTS = os.urandom(11 << 20)


@pytest.fixture(params=["folder", "ministack", pytest.param("ceph", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    if request.param == "folder":
        yield tmp_path / "store"
        return
    server = request.getfixturevalue(request.param)
    with using(server, monkeypatch, REELMILL_S3_PART_MIB="5"):
        bucket = new_bucket(server)
        yield bucket / "some" / "place"
        assert open_uploads(server, bucket) == []


@pytest.fixture
def store(place: Location) -> Store:
    return open_store(place)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def stage(store: Store, scratch: Path, content: bytes, key: str = "clip.mp4", attempt: str = "1" * 32) -> Staged:
    """Stage one output in a draft that is cleared at once."""
    with store.draft(JOB, attempt, open_store(scratch / "ledger"), scratch) as draft:
        (draft.folder / key).write_bytes(content)
        return draft.stage(key, sha256(content))


def test_small_object_reads_as_it_was_written(store: Store):
    assert store.read("a/b.json") is None
    assert store.stat("a/b.json") is None
    store.write("a/b.json", b"one")
    store.write("a/b.json", b"three")
    assert store.read("a/b.json") == b"three"
    assert store.read("a/b.json", limit_bytes=2) == b"th"
    found = store.stat("a/b.json")
    assert found is not None
    assert found.size_bytes == 5
    assert -5 < found.age_s < 60


def test_empty_object_is_an_object(store: Store):
    store.write("empty", b"")
    assert store.read("empty") == b""
    assert store.stat("empty") is not None


def test_etag_changes_with_the_content(store: Store):
    store.write("a", b"one")
    before = store.stat("a")
    store.write("a", b"other")
    after = store.stat("a")
    assert before is not None
    assert after is not None
    assert before.etag != after.etag


def test_sealing_leaves_what_is_there(store: Store, scratch: Path):
    with store.draft(JOB, "1" * 32, open_store(scratch / "ledger"), scratch) as draft:
        store.write("manifest.json", b"theirs")
        with pytest.raises(StoreConflict):
            draft.seal("manifest.json", b"ours")
    assert store.read("manifest.json") == b"theirs"


def test_sealing_again_is_no_conflict(store: Store, scratch: Path):
    """The first answer may have been lost: then it is our own object that is in the way."""
    with store.draft(JOB, "1" * 32, open_store(scratch / "ledger"), scratch) as draft:
        draft.seal("manifest.json", b"ours")
        draft.seal("manifest.json", b"ours")
    assert store.read("manifest.json") == b"ours"


@pytest.mark.parametrize("content", [b"", b"x", SEVERAL_PARTS], ids=["empty", "one byte", "several parts"])
def test_file_comes_back_byte_for_byte(store: Store, scratch: Path, content: bytes):
    file = scratch / "file"
    file.write_bytes(content)
    store.put_file(file, "pieces/a.mp4")
    assert store.fetch("pieces/a.mp4", scratch).read_bytes() == content
    assert store.holds("pieces/a.mp4", len(content), sha256(content))


@pytest.mark.parametrize("key", ["a b+c%20d.mp4", "ümläut/日本.mp4", "-version", "concat:a|b", "100%d.mp4", "a'b"])
def test_keys_are_taken_literally(store: Store, key: str):
    store.write(key, b"x")
    assert store.read(key) == b"x"
    assert [each.key for each in store.list()] == [key]


def test_object_of_other_content_is_not_held(store: Store, scratch: Path):
    file = scratch / "file"
    file.write_bytes(b"one")
    store.put_file(file, "a")
    assert not store.holds("a", 3, sha256(b"two"))
    assert not store.holds("a", 4, sha256(b"one"))
    assert not store.holds("b", 3, sha256(b"one"))


def test_fetching_what_is_not_there_is_a_conflict(store: Store, scratch: Path):
    with pytest.raises(StoreConflict):
        store.fetch("nothing", scratch)


def test_listing_has_what_is_below_a_prefix(store: Store):
    for key in ("a/1", "a/2", "b/1"):
        store.write(key, b"x")
    assert {each.key for each in store.list("a/")} == {"a/1", "a/2"}
    assert {each.key for each in store.list()} == {"a/1", "a/2", "b/1"}
    store.remove_all("a/")
    assert {each.key for each in store.list()} == {"b/1"}


def test_removing_what_is_not_there_is_no_error(store: Store):
    store.delete("nothing", "nothing else")
    store.remove_all("nothing/")


def test_lock_has_one_holder_at_a_time(store: Store):
    with store.lock("lock", on_lost=lambda: None) as holds:
        assert holds()
        assert store.is_locked("lock")
        with pytest.raises(JobRunning), store.lock("lock", on_lost=lambda: None):
            pass
    assert not store.is_locked("lock")
    with store.lock("lock", on_lost=lambda: None):
        pass
    assert list(store.list()) == []


def test_lock_of_a_killed_process_can_be_had_at_once(store: Store, place: Location):
    code = f"""
from reelmill.storage.location import known_location
from reelmill.storage.opening import open_store
with open_store(known_location({str(place)!r})).lock("lock", on_lost=print):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(JobRunning), store.lock("lock", on_lost=lambda: None):
            pass
        child.kill()
    with store.lock("lock", on_lost=lambda: None):
        pass


@pytest.mark.parametrize("content", [b"x", SEVERAL_PARTS], ids=["one byte", "several parts"])
def test_staged_output_is_seen_only_once_published(store: Store, scratch: Path, content: bytes):
    with store.draft(JOB, "1" * 32, open_store(scratch / "ledger"), scratch) as draft:
        (draft.folder / "clip.mp4").write_bytes(content)
        staged = pickle.loads(pickle.dumps(draft)).stage("clip.mp4", sha256(content))
        assert staged.size_bytes == len(content)
        assert store.stat("clip.mp4") is None
        draft.publish(staged)
        draft.publish(staged)  # tried again: the first answer was lost
        assert store.holds("clip.mp4", len(content), sha256(content))
    assert store.holds("clip.mp4", len(content), sha256(content))
    assert store.fetch("clip.mp4", scratch).read_bytes() == content


def test_nothing_is_left_of_a_draft_that_was_not_published(store: Store, scratch: Path):
    stage(store, scratch, b"x")
    assert list(store.list()) == []
    assert list(store.unpublished()) == []
    assert [each for each in scratch.rglob("*") if each.is_file()] == []


def test_publishing_overwrites_nobody(store: Store, scratch: Path):
    with store.draft(JOB, "1" * 32, open_store(scratch / "ledger"), scratch) as draft:
        (draft.folder / "clip.mp4").write_bytes(b"ours")
        staged = draft.stage("clip.mp4", sha256(b"ours"))
        store.write("clip.mp4", b"theirs")
        with pytest.raises(StoreConflict):
            draft.publish(staged)
    assert store.read("clip.mp4") == b"theirs"
    assert not store.left_behind("clip.mp4", JOB)


def test_what_a_killed_attempt_left_is_known_and_cleared_by_the_next(store: Store, scratch: Path):
    ledger = open_store(scratch / "ledger")
    killed = store.draft(JOB, "1" * 32, ledger, scratch)
    draft = killed.__enter__()  # and never left
    for name in ("clip.mp4", "clip.flv"):
        (draft.folder / name).write_bytes(b"x")
    draft.publish(draft.stage("clip.mp4", sha256(b"x")))
    draft.stage("clip.flv", sha256(b"x"))
    assert store.left_behind("clip.mp4", JOB)
    assert not store.left_behind("clip.mp4", OTHER_JOB)
    assert not store.left_behind("clip.flv", JOB)
    assert len(list(store.unpublished())) == 1
    with store.draft(JOB, "2" * 32, ledger, scratch):
        assert not any("1" * 8 in each.where for each in store.unpublished())
    assert list(store.unpublished()) == []
    killed.__exit__(None, None, None)


def test_unpublished_output_can_be_discarded(store: Store, place: Location, scratch: Path):
    killed = store.draft(JOB, "1" * 32, open_store(scratch / "ledger"), scratch)
    draft = killed.__enter__()
    (draft.folder / "clip.mp4").write_bytes(b"x")
    draft.stage("clip.mp4", sha256(b"x"))
    above = place.parent if isinstance(place, Path) else S3Location(place.bucket, "")
    (found,) = open_store(above).unpublished()
    assert found.age_s < 60
    open_store(above).discard(found)
    open_store(above).discard(found)
    assert list(store.unpublished()) == []
    killed.__exit__(None, None, None)

"""Which uploads make a job, that results never do, and that one upload makes one job however often it is told of."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.schedule import mirror_schedule
from reelmill.errors import InvalidParameter, TriggerLoop
from reelmill.intake.notifications import Notification, ObjectCreated, parse_notification
from reelmill.intake.receiving import handler
from reelmill.intake.rules import inboxes, is_upload, job_for, jobs_for, transfers_for
from reelmill.job import TranscodeJob, job_key
from reelmill.preparing import accept_job
from reelmill.settings import settings
from reelmill.storage.location import S3Location, known_location
from tests.s3_servers import S3Server
from tests.stores import new_bucket, put, using

Set = Callable[..., None]
STORES = json.dumps(
    {"archive": {"endpoint_url": "http://archive.example"}, "again": {"endpoint_url": "http://archive.example/"}}
)


def created(*keys: str, bucket: str = "videos") -> Notification:
    return Notification(objects=tuple(ObjectCreated(bucket=bucket, key=each) for each in keys))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("a.mp4", True),
        ("deep/er/A.MOV", True),
        ("-version.mkv", True),
        ("concat:a|b.ts", True),
        ("a.reelmill.mp4", True),
        ("a.txt", False),
        ("mp4", False),
        (".a.mp4", False),
        (".reelmill-0123/a.mp4", False),
        (".hidden/a.mp4", False),
        ("a.mp4.part", False),
        ("manifest.json", False),
        ("a.mov.reelmill/a.mp4", False),
        ("../a.mp4", False),
    ],
)
def test_what_counts_as_an_upload(inbox: Path, set_to: Set, tmp_path: Path, name: str, counts: bool):
    assert is_upload(inbox / name) is counts
    set_to(intake_inbox="s3://videos/in", output_root="s3://results")
    if ".." not in name:
        assert is_upload(S3Location("videos", f"in/{name}")) is counts
        assert not is_upload(S3Location("videos", f"inn/{name}"))
        assert not is_upload(S3Location("other", f"in/{name}"))


def test_endings_are_a_setting(inbox: Path, set_to: Set):
    set_to(intake_suffixes=".Dav, json,part")
    assert [name for name in ("a.dav", "a.DAV", "a.mp4", "manifest.json", "a.part") if is_upload(inbox / name)] == [
        "a.dav",
        "a.DAV",
    ]


def test_link_out_of_the_inbox_is_no_upload(inbox: Path, tmp_path: Path):
    (tmp_path / "secret.mp4").write_bytes(b"1")
    (inbox / "a.mp4").symlink_to(tmp_path / "secret.mp4")
    (inbox / "folder").symlink_to(tmp_path)
    assert not is_upload(inbox / "a.mp4")
    assert not is_upload(inbox / "folder" / "secret.mp4")


def test_inbox_may_be_named_by_a_link(inbox: Path, set_to: Set, tmp_path: Path):
    (tmp_path / "link").symlink_to(inbox)
    set_to(intake_inbox=tmp_path / "link")
    assert is_upload(tmp_path / "link" / "a.mp4")
    assert is_upload(inbox / "a.mp4")
    assert not is_upload(inbox / ".a.mp4")


@pytest.mark.parametrize(
    "wanted",
    [
        {"output_root": "{inbox}/out"},
        {"output_root": "{inbox}"},
        {"output_root": "{inbox}/../inbox/out"},
        {"output_root": "{inbox}/.."},
        {"work_dir": "{inbox}/work"},
        {"scratch_dir": "{inbox}/work"},
        {"intake_dead_letters": "{inbox}/dead"},
        {"intake_inbox": "s3://videos/in", "output_root": "s3://videos/in/out"},
        {"intake_inbox": "s3://videos/in/", "output_root": "s3://videos/in/"},
        {"intake_inbox": "s3://videos", "output_root": "s3://videos/out"},
        {"intake_inbox": "{inbox},s3://videos/in", "output_root": "s3://videos"},
    ],
)
def test_inbox_that_would_be_written_to_is_refused(inbox: Path, set_to: Set, wanted: dict[str, str]):
    set_to(**{name: value.format(inbox=inbox) for name, value in wanted.items()})
    with pytest.raises(TriggerLoop):
        inboxes()


def test_neighbours_of_the_inbox_are_no_loop(inbox: Path, set_to: Set):
    set_to(intake_inbox=f"{inbox},s3://videos/in", output_root="s3://videos/in-out")
    assert inboxes() == (inbox, S3Location("videos", "in"))


def test_inbox_needs_an_output_root(inbox: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("REELMILL_OUTPUT_ROOT")
    settings.cache_clear()
    with pytest.raises(InvalidParameter, match="REELMILL_OUTPUT_ROOT"):
        job_for(inbox / "a.mp4")


def test_job_of_an_upload_has_the_profile_and_formats_that_are_set(inbox: Path, set_to: Set, tmp_path: Path):
    set_to(intake_profile="web", intake_formats="mp4,webm")
    job = job_for(inbox / "deep" / "a.mov")
    assert job == TranscodeJob(
        source=str(inbox / "deep" / "a.mov"), profile="web", formats=("mp4", "webm"), replace=True
    )
    assert job.output_location == tmp_path / "out" / str(inbox).lstrip("/") / "deep" / "a.mov.reelmill"


def test_only_objects_of_the_inbox_make_jobs(set_to: Set):
    set_to(intake_inbox="s3://videos/in", output_root="s3://results")
    jobs, refused = jobs_for(created("in/a+b.mp4", "in/a.txt", "in/", "in/folder.mp4/", "out/a.mp4", "in/a+b.mp4"))
    assert [job.source for job in jobs] == ["s3://videos/in/a+b.mp4"]
    assert refused == ()


def test_an_object_below_what_is_mirrored_is_copied_to_its_place_there(set_to: Set):
    set_to(stores=STORES, mirror_source="s3://videos/masters", mirror_destination="s3+archive://films/2024/")
    keys = "masters/a b/c%d.mov", "masters", "masters/", "mastersx/a.mov", "masters/a b/c%d.mov"
    found = transfers_for(created(*keys))
    assert [(each.source, each.destination) for each in found] == [
        ("s3://videos/masters/a b/c%d.mov", "s3+archive://films/2024/a b/c%d.mov")
    ]
    assert jobs_for(created("masters/a.mov")) == ((), ())


def test_an_object_below_what_is_mirrored_of_a_named_store_is_copied_from_there(set_to: Set):
    set_to(stores=STORES, mirror_source="s3+archive://videos/masters", mirror_destination="s3://films")
    found = transfers_for(created("masters/a.mov", "other/a.mov"))
    assert [(each.source, each.destination) for each in found] == [
        ("s3+archive://videos/masters/a.mov", "s3://films/a.mov")
    ]


@pytest.mark.parametrize("destination", ["s3+archive://videos/backup", "s3+again://videos/backup/"])
def test_mirror_whose_copies_would_be_mirrored_is_refused(set_to: Set, destination: str):
    set_to(stores=STORES, mirror_source="s3+archive://videos", mirror_destination=destination)
    for ask in (lambda: transfers_for(created("a.mov")), mirror_schedule, lambda: handler(str)):
        with pytest.raises(TriggerLoop):
            ask()


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("in/../../etc/x.mp4", "PathEscape"),
        ("in/a\nb.mp4", "InvalidKey"),
        ("in/a\0b.mp4", "InvalidKey"),
        (f"in/{'k' * 1100}.mp4", "InvalidKey"),
    ],
)
def test_key_that_no_job_may_have_is_refused_by_its_code(set_to: Set, key: str, code: str):
    set_to(intake_inbox="s3://videos/in", output_root="s3://results")
    jobs, refused = jobs_for(created("in/good.mp4", key))
    assert [job.source for job in jobs] == ["s3://videos/in/good.mp4"]
    assert [reason.partition(":")[0] for reason in refused] == [code]


def test_object_in_a_bucket_without_an_inbox_is_refused(set_to: Set):
    set_to(intake_inbox="s3://videos/in", output_root="s3://results")
    jobs, refused = jobs_for(created("in/a.mp4", bucket="others"))
    assert jobs == ()
    assert refused == ("EventRejected: no inbox is in the bucket 'others'",)


def test_job_of_a_message_must_not_write_into_an_inbox(inbox: Path, set_to: Set, tmp_path: Path):
    set_to(output_root=tmp_path / "out", intake_inbox=f"{inbox},s3://videos/in")
    bad = TranscodeJob(source="a.mp4", output="s3://videos/in/x")
    good = TranscodeJob(source="a.mp4", output="x")
    settings.cache_clear()
    jobs, refused = jobs_for(Notification(jobs=(good, good, bad)))
    assert jobs == (good,)
    assert len(refused) == 1


def test_twenty_shuffled_events_make_one_job(ministack: S3Server, monkeypatch: pytest.MonkeyPatch, set_to: Set):
    with using(ministack, monkeypatch):
        bucket = new_bucket(ministack)
        set_to(intake_inbox=f"{bucket}in", output_root=new_bucket(ministack), intake_formats="mp4")
        put(ministack, bucket / "in" / "a+b c.mp4", b"x" * 100)
        raw = {"detail-type": "Object Created",
               "detail": {"bucket": {"name": bucket.bucket}, "object": {"key": "in/a+b c.mp4"}}}  # fmt: skip
        event = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                 "s3": {"bucket": {"name": bucket.bucket}, "object": {"key": "in/a%2Bb+c.mp4"}}}  # fmt: skip
        bodies = [json.dumps(each) for each in (raw, {"Records": [event]}, {"Records": [event] * 3}) for _ in range(7)]
        random.shuffle(bodies)
        jobs = [job for body in bodies[:20] for job in jobs_for(parse_notification(body.encode()))[0]]
        assert len(jobs) == 20
        assert len(set(jobs)) == 1
        assert known_location(jobs[0].source) == bucket / "in" / "a+b c.mp4"
        keys = {key_of(job) for job in jobs}
        assert len(keys) == 1
        put(ministack, bucket / "in" / "a+b c.mp4", b"y" * 100)
        assert key_of(jobs[0]) not in keys


def key_of(job: TranscodeJob) -> str:
    accepted = accept_job(job)
    return job_key(accepted.source.identity, accepted.profile, accepted.formats, job)

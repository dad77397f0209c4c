"""A source in a bucket gives the pieces that the same source in a folder gives, bit for bit.

That those are exact is what test_exact_cut shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reelmill.job import TranscodeJob
from reelmill.storage.location import S3Location
from tests.hard_media import HARD_CASES, HardMedia
from tests.pipeline import Encoded, encode_video, fast_profile, prepare_job
from tests.s3_servers import S3Server
from tests.stores import new_bucket, put, using

pytestmark = pytest.mark.slow

CLIPS = (
    "bipbop.flv", "bipbop_start20s.ts", "broadcast_mpeg2.wtv", "chapters.mkv", "corrupted.mp4", "mpeg4_mp3.avi",
    "vfr_phone.mp4",
)  # fmt: skip
"""One of each container, and two that are hard to read: which frames there are is the business of test_exact_cut."""


@pytest.fixture
def bucket(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Location]:
    with using(ministack, monkeypatch):
        yield new_bucket(ministack)


def encoded(source: str, folder: Path) -> Encoded:
    job = TranscodeJob(
        source=source, formats=("mp4",), output=str(folder), name="out", segment_s=1.3, workers=2, damage="lenient"
    )
    return encode_video(prepare_job(job, fast_profile()), folder)


def assert_same(path: Path, bucket: S3Location, server: S3Server, tmp_path: Path) -> None:
    here = encoded(str(path), tmp_path / "here")
    there = encoded(str(put(server, bucket / path.name, path.read_bytes())), tmp_path / "there")
    pinned = {"location", "identity", "version"}
    assert there.plan.source.model_dump(exclude=pinned) == here.plan.source.model_dump(exclude=pinned)
    assert there.index is not None
    assert here.index is not None
    assert there.index.times == here.index.times
    assert there.tries == here.tries
    for name, pieces in here.pieces.items():
        assert [each.sha256 for each in there.pieces[name]] == [each.sha256 for each in pieces]


@pytest.mark.parametrize("name", CLIPS)
def test_clip_in_a_bucket_gives_the_same_pieces(
    name: str, media_dir: Path, bucket: S3Location, ministack: S3Server, tmp_path: Path
):
    assert_same(media_dir / name, bucket, ministack, tmp_path)


@pytest.mark.parametrize("name", [each.name for each in HARD_CASES][::8])
def test_hard_case_in_a_bucket_gives_the_same_pieces(
    name: str, hard_media: HardMedia, bucket: S3Location, ministack: S3Server, tmp_path: Path
):
    assert_same(hard_media(name), bucket, ministack, tmp_path)

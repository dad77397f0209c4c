"""An MP4 in a bucket is probed without its media, and comes out the same; its keyframes are looked into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reelmill.job import TranscodeJob
from reelmill.media.frame_index import EntryPoint
from reelmill.media.probing import describe
from reelmill.preparing import accept_job, plan_job, probe_job
from reelmill.storage.blocks import BlockReader
from reelmill.storage.range_server import served
from reelmill.storage.readable import Loopback
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HARD_CASES, HardMedia
from tests.s3_servers import S3Server
from tests.stores import new_bucket, put, using

MAX_PIXELS = 1 << 26
CLIPS = (
    "bunny_51.mp4", "cars_12fps.mp4", "corrupted.mp4", "dolbyvision84_rot90.mp4", "editlist_video_late1s.mp4",
    "empty_edit_5s.mp4", "failing_audio.mp4", "hamilton_video_late.mp4", "hdr10_av1_portrait.mp4",
    "interlaced_crop.mp4", "long_1080p_363s.mp4", "nasa_multi.mp4", "ntsc.mp4", "people_139s_noaudio.mp4",
    "phone_rot90_aac.mp4", "rotated270.mp4", "vfr_phone.mp4", "vp9.mp4",
)  # fmt: skip
OPEN_KEYFRAMES = "interlaced_crop.mp4"
"""Calls frames sync samples at which decoding can't cleanly start."""


@contextmanager
def served_file(path: Path, folder: Path) -> Iterator[tuple[Loopback, BlockReader]]:
    """Serve a file as an object would be, of which it is counted what was read."""
    content = path.read_bytes()
    blocks = BlockReader(
        lambda start, end: content[start:end], len(content), folder=folder, keep_bytes=len(content), streams=2
    )
    try:
        with served(blocks) as address:
            yield Loopback(address, path.name), blocks
    finally:
        blocks.close()


def assert_same(path: Path, folder: Path) -> bool:
    """Compare both ways of probing, and say whether the media could be left out."""
    whole, times = describe(path, MAX_PIXELS, salvage=False)
    with served_file(path, folder) as (media, _):
        hollow, hollow_times = describe(media, MAX_PIXELS, salvage=False)
    claimed = hollow["index"].pop("claimed")
    whole["index"].pop("claimed")
    assert [pts for pts, _ in hollow["index"]["entries"]] == [pts for pts, _ in whole["index"]["entries"]]
    if claimed:
        assert all(clean for _, clean in hollow["index"]["entries"])
        hollow["index"]["entries"] = whole["index"]["entries"]
    assert hollow == whole
    assert hollow_times == times
    return claimed


@pytest.mark.parametrize("name", CLIPS)
def test_clip_is_probed_the_same_without_its_media(name: str, media_dir: Path, tmp_path: Path):
    assert_same(media_dir / name, tmp_path)


@pytest.mark.parametrize("name", [each.name for each in HARD_CASES if each.filename.endswith((".mp4", ".mov"))])
def test_hard_case_is_probed_the_same_without_its_media(name: str, hard_media: HardMedia, tmp_path: Path):
    assert_same(hard_media(name), tmp_path)


def test_most_of_a_large_clip_is_not_read(tmp_path: Path):
    path = tmp_path / "noisy.mp4"
    run_ffmpeg(
        "-f", "lavfi", "-t", "8", "-i", "testsrc2=size=640x360:rate=25,noise=alls=100:allf=t",
        "-c:v", "libx264", "-preset", "ultrafast", "-crf", "1", "-g", "25", f"file:{path}",
    )  # fmt: skip
    with served_file(path, tmp_path) as (media, blocks):
        answer, _ = describe(media, MAX_PIXELS, salvage=False)
    assert answer["index"]["claimed"]
    assert blocks.bytes_read < path.stat().st_size / 2


def test_plan_uses_no_keyframe_that_only_claims_to_be_clean(
    media_dir: Path, ministack: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = media_dir / OPEN_KEYFRAMES

    def planned(source: str) -> tuple[tuple[EntryPoint, ...], list[object]]:
        accepted = accept_job(TranscodeJob(source=source, output=str(tmp_path), formats=("mp4",), segment_s=0.5))
        probed = probe_job(accepted, "test")
        index = probed[0].index
        assert index is not None
        return index.entries, [each.entry_s for each in plan_job(accepted, probed).video[0].segments]

    honest, entries_here = planned(str(path))
    with using(ministack, monkeypatch):
        claimed, entries_there = planned(str(put(ministack, new_bucket(ministack) / "a.mp4", path.read_bytes())))
    assert not all(each.is_clean for each in honest)
    assert all(each.is_clean for each in claimed)
    assert len(entries_there) == len(entries_here)

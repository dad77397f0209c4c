"""What is made of one decode is, to the byte, what each rendition gets of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import reelmill.encoding.pieces
from reelmill.encoding.pieces import piece_key
from reelmill.media.tool import ToolRun
from reelmill.planning.plan import EncodeTask, Plan
from reelmill.profiles.profile import Profile
from reelmill.records import PieceRecord
from tests.ffmpeg_tool import run_ffmpeg
from tests.hard_media import HardMedia
from tests.packages import prepare_package, streaming_profile
from tests.pipeline import Encoded, Prepared, encode_video, prepare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1", folder / "still.png")
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=1.3", folder / "moving.gif")
    return folder


def overlays(images: Path) -> list[dict[str, Any]]:
    return [
        {"image": str(images / "still.png"), "position": "top-left", "opacity": 0.5},
        {"image": str(images / "moving.gif"), "position": "top-right", "height": 0.2, "start_s": 0.7},
        {"text": "all", "position": "bottom-left", "start_s": 1.1, "end_s": 4.2},
        {"clock": True},
    ]


def each_by_itself(plan: Plan) -> Plan:
    tasks = [
        EncodeTask(renditions=(name,), segment=task.segment, cost=task.cost)
        for task in plan.order
        for name in task.renditions
    ]
    return plan.model_copy(update={"order": tuple(tasks)})


def prepared(source: Path, folder: Path, video: dict[str, Any]) -> Prepared:
    quick = {"codec": "h264", "preset": "ultrafast", "pixel_format": "yuv420p"}
    profile = streaming_profile(180, 120, 90, 60, video=quick | video)
    return prepare_package(source, folder, profile, ("hls",))


def digests(encoded: Encoded) -> dict[tuple[str, int], str]:
    return {(each.rendition, each.segment): each.sha256 for mine in encoded.pieces.values() for each in mine}


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("cfr_h264", {}), ("vfr_mp4", {}), ("vfr_mkv", {"frame_rate": "24"}), ("video_late_mkv", {}), ("rotation", {}),
        ("sar", {}), ("hdr10", {"tone_map": "auto"}),
        ("interlaced_mbaff", {"deinterlace": "auto"}), ("interlaced_mbaff", {"deinterlace": "keep"}),
        ("open_gop_hevc", {"denoise": "light"}), ("vp9_altref", {"denoise": "light", "frame_rate": "30"}),
    ],
)  # fmt: skip
def test_pieces_are_the_same_made_together_or_each_by_itself(
    name: str, video: dict[str, Any], images: Path, hard_media: HardMedia, tmp_path: Path
):
    job = prepared(hard_media(name), tmp_path, video | {"overlays": overlays(images)})
    assert len(job.plan.video) == 4
    assert [len(each.renditions) for each in job.plan.order] == [4] * len(job.plan.video[0].segments)
    together = encode_video(job, tmp_path / "together")
    alone = encode_video(replace(job, plan=each_by_itself(job.plan)), tmp_path / "alone")
    assert digests(together) == digests(alone)
    assert (together.tries, alone.tries) == (1, 1)


def test_encoders_of_several_codecs_work_on_one_decode(images: Path, hard_media: HardMedia, tmp_path: Path):
    profile = Profile.model_validate({"version": 1, "name": "default", "video": {"overlays": overlays(images)}})
    job = prepare(hard_media("vfr_mkv"), tmp_path, ("mp4", "webm"), segment_s=4, profile=profile)
    assert [each.renditions for each in job.plan.order] == [("vp9-180p", "h264-180p")] * 2
    together = encode_video(job, tmp_path / "together")
    alone = encode_video(replace(job, plan=each_by_itself(job.plan)), tmp_path / "alone")
    assert digests(together) == digests(alone)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pieces each run of ffmpeg makes."""
    counts: list[int] = []
    run = reelmill.encoding.pieces.run_ffmpeg

    def counted(argv: list[str], **others: Any) -> ToolRun:
        counts.append(argv.count("-enc_time_base"))
        return run(argv, **others)

    monkeypatch.setattr(reelmill.encoding.pieces, "run_ffmpeg", counted)
    return counts


def test_only_what_is_missing_is_made_again(made: list[int], hard_media: HardMedia, tmp_path: Path):
    job = prepared(hard_media("cfr_h264"), tmp_path, {})
    first = encode_video(job, tmp_path)
    assert made == [4, 4]
    made.clear()
    gone = [(0, 1), (0, 2), (1, 3)]
    for segment, video in gone:
        key = piece_key(*job.plan.encode(job.plan.video[video].id, segment))
        first.workspace.store.delete(f"records/{key}.json")
    again = encode_video(job, tmp_path)
    assert sorted(made) == [1, 2]
    assert digests(again) == digests(first)
    fresh = [each for mine in again.pieces.values() for each in mine if not each.reused]
    wanted = {(job.plan.video[video].id, segment) for segment, video in gone}
    assert {(each.rendition, each.segment) for each in fresh} == wanted


def test_pieces_made_each_by_itself_are_used_by_a_run_that_makes_them_together(
    made: list[int], hard_media: HardMedia, tmp_path: Path
):
    job = prepared(hard_media("cfr_h264"), tmp_path, {})
    encode_video(replace(job, plan=each_by_itself(job.plan)), tmp_path)
    assert made == [1] * 8
    reused = encode_video(job, tmp_path)
    assert made == [1] * 8
    assert all(each.reused for mine in reused.pieces.values() for each in mine)


def test_what_a_run_took_is_shared_out_among_its_pieces(hard_media: HardMedia, tmp_path: Path):
    job = prepared(hard_media("cfr_h264"), tmp_path, {})
    pieces: list[PieceRecord] = [mine[0] for mine in encode_video(job, tmp_path).pieces.values()]
    per_pixel = [
        each.wall_s / (each.frames * size[0] * size[1])
        for each in pieces
        for size in [job.plan.rendition(each.rendition).size]
    ]
    assert all(each.cpu_s > 0 for each in pieces)
    assert max(per_pixel) == pytest.approx(min(per_pixel))

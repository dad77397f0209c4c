"""What was encoded is compared with the source, in segments, and what is not good enough is not published."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reelmill.errors import InvalidProfile, QualityTooLow
from reelmill.job import TranscodeJob
from reelmill.manifest import FILE_NAME, Manifest
from reelmill.media.fonts import font_file
from reelmill.profiles.loading import parse_profile
from tests.ffmpeg_tool import FFMPEG, run_ffmpeg
from tests.live_jobs import LoggedTool, use_tool

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds; from 4 s on noise lies over the picture, which is hard to encode."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    noise = "testsrc2=s=320x180:r=25:d=8,noise=alls=60:allf=t:enable='gte(t,4)'"
    run_ffmpeg("-f", "lavfi", "-i", noise, "-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p", "-g", "25", path)
    return path


def job_for(clip: Path, folder: Path, quality: str, video: str = "codec: h264") -> TranscodeJob:
    profile = folder / "profile.yaml"
    profile.write_text(
        "version: 1\nname: measured\n"
        f"video: {{{video}, preset: ultrafast, crf: 32, height: 120, overlays: [{{clock: true}}]}}\n"
        f"quality: {{measure: true, {quality}}}\n"
    )
    return TranscodeJob(
        source=str(clip), profile=str(profile), output=str(folder / "out"), segment_s=2, workers=2, formats=("mp4",)
    )


def run(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    state: Any = transcode_video(job, return_state=True)
    return state.result()


def measured_whole(clip: Path, made: Path, log: Path) -> dict[str, float]:
    """What libvmaf says of the finished file, beside the source with a clock of its own over it."""
    clock = f"drawtext=fontfile={font_file()}:text='%{{pts\\:hms}}':fontsize=6:y_align=font"
    clock += ":x=w-text_w-4:y=h-text_h-4:fontcolor=white:shadowcolor=black@0.6:shadowx=1:shadowy=1"
    graph = f"[1:v]scale=-2:120,{clock}[wanted];[0:v][wanted]libvmaf=log_path={log}:log_fmt=json"
    graph += ":feature=name=psnr|name=float_ssim"
    argv = [FFMPEG, "-v", "error", "-i", made, "-i", clip, "-filter_complex", graph, "-f", "null", "-"]
    subprocess.run(argv, check=True)
    pooled = json.loads(log.read_text())["pooled_metrics"]
    names = {"vmaf": "vmaf", "ssim": "float_ssim", "psnr_db": "psnr_y"}
    return {ours: pooled[name]["mean"] for ours, name in names.items()}


def test_the_manifest_says_how_good_it_is_and_where_it_is_worst(clip: Path, tmp_path: Path, prefect_server: str):
    manifest = run(job_for(clip, tmp_path, "every_frames: 1"))
    (found,) = manifest.quality
    assert (found.rendition, found.frames) == (manifest.renditions[0].id, 200)
    whole = measured_whole(clip, tmp_path / "out" / "clip.mp4", tmp_path / "log.json")
    assert found.ssim == pytest.approx(whole["ssim"], abs=0.001)
    assert found.psnr_db == pytest.approx(whole["psnr_db"], abs=0.1)
    assert found.vmaf == pytest.approx(whole["vmaf"], abs=1)  # the motion of a segment's first frame is not seen
    assert found.worst_segment >= 2
    assert found.worst_start_s == pytest.approx(found.worst_segment * 2, abs=0.2)
    assert found.worst_vmaf < found.vmaf < 100
    assert json.loads((tmp_path / "out" / FILE_NAME).read_text())["quality"][0]["vmaf"] == found.vmaf
    [speed] = [each for each in manifest.cost.samples if each.kind.codec == "quality"]
    assert speed.work == found.frames * (manifest.outputs[0].width or 0) * (manifest.outputs[0].height or 0)
    assert 0 < speed.cpu_ms / 1000 < manifest.cost.cpu_s
    assert manifest.cost.estimated_cpu_s > 0.072 * speed.work / 1e6


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_segment_that_is_not_good_enough_is_encoded_again_alone(
    codec: str, clip: Path, tmp_path: Path, prefect_server: str
):
    plain = run(job_for(clip, tmp_path, "every_frames: 1", f"codec: {codec}"))
    floor = (plain.quality[0].worst_vmaf + plain.quality[0].vmaf) / 2
    (tmp_path / "better").mkdir()
    better = run(
        job_for(clip, tmp_path / "better", f"every_frames: 1, min_vmaf: {floor}, better_tries: 4", f"codec: {codec}")
    )
    assert better.quality[0].worst_vmaf >= floor
    assert 0 < better.quality[0].better_segments < better.renditions[0].segments
    (output,) = better.outputs
    assert output.frames == 200
    assert all(check.passed for check in output.checks)
    assert (
        measured_whole(clip, tmp_path / "better" / "out" / "clip.mp4", tmp_path / "log.json")["vmaf"]
        > plain.quality[0].vmaf
    )


def test_what_is_not_good_enough_is_not_published_nor_tried_again(
    clip: Path, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    with pytest.raises(QualityTooLow, match=r"h264-120p, segment 0000\d from \d\.\d+ s: psnr_db .* at least 60"):
        run(job_for(clip, tmp_path, "min_ssim: 0.1, min_psnr_db: 60"))
    assert not (tmp_path / "out").exists()
    assert len(tool.encodes()) == len(set(tool.encodes())) > 0  # no retry would make it better


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        ("min_vmaf: 90", "quality.min_vmaf: needs measure: true"),
        ("measure: true, min_ssim: 2", "quality.min_ssim: 2 is not allowed; allowed: 0 to 1"),
        ("measure: true, every_frames: 0", "quality.every_frames: 0 is not allowed; allowed: 1 to 1000"),
    ],
)
def test_settings_that_can_not_be_are_refused(quality: str, said: str):
    with pytest.raises(InvalidProfile) as caught:
        parse_profile(f"version: 1\nname: test\nquality: {{{quality}}}\n", "web.yaml")
    assert said in str(caught.value)

"""What a job may ask for, and the key it is known by: impossible wishes are refused."""

from __future__ import annotations

import json
import math
import os
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from reelmill.errors import (
    InvalidParameter,
    InvalidProfile,
    LimitOutputs,
    OutputCollision,
    SourceIncomplete,
)
from reelmill.job import TranscodeJob
from reelmill.preparing import accept_job
from reelmill.settings import settings
from tests.conftest import Set
from tests.live_jobs import make_clip
from tests.refused_jobs import refusal

# Rows 37 and 39: two files with one name


def test_output_that_would_be_the_source_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch):
    source = root / "clip.mp4"
    assert "source itself" in refusal(OutputCollision, source=str(source), output=str(root), formats=["mp4"])
    refusal(OutputCollision, source=str(source), output=f"{root}/x/..", formats=["flv", "mp4"])
    monkeypatch.chdir(root)
    refusal(OutputCollision, source="clip.mp4", output=".")
    assert accept_job(TranscodeJob(source="clip.mp4", output=".", name="other"))
    assert accept_job(TranscodeJob(source="clip.mp4", output=".", formats=("flv",)))


def test_output_that_would_be_the_source_by_another_path_is_refused(root: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "elsewhere.mp4").symlink_to(root / "clip.mp4")
    refusal(OutputCollision, source=str(root / "clip.mp4"), output=str(tmp_path / "link"))
    refusal(OutputCollision, source=str(tmp_path / "elsewhere.mp4"), output=str(root), name="clip")


def test_format_asked_for_twice_is_refused(clip: Path, tmp_path: Path):
    message = refusal(OutputCollision, source=str(clip), output=str(tmp_path / "out"), formats=["mp4", "flv", "mp4"])
    assert "clip.mp4" in message


def test_more_outputs_than_allowed_are_refused(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REELMILL_MAX_OUTPUTS", "1")
    settings.cache_clear()
    refusal(LimitOutputs, source=str(clip), output=str(tmp_path / "out"), formats=["mp4", "flv"])


# Rows 40 to 44 and 48: parameters


@pytest.mark.parametrize(
    ("profile", "formats", "field"),
    [
        ("video: {codec: 'h264 -f null'}", ["mp4"], "video.codec"),
        ("video: {codec: h264, crf: 999}", ["mp4"], "video.crf"),
        ("video: {codec: h264, crf: .nan}", ["mp4"], "video.crf"),
        ("video: {codec: h264, crf: true}", ["mp4"], "video.crf"),
        ("video: {width: 641, pixel_format: yuv420p}", ["mp4"], "video.width"),
        ("formats: [webm]\nvideo: {codec: vp9}", ["mp3"], "video.codec"),
        ("video: {codec: h264, quality: 3}", ["mp4"], "video.quality"),
        ("segments: 3", ["mp4"], "segments"),
    ],
)
def test_profile_that_cannot_be_is_refused(profile: str, formats: list[str], field: str, clip: Path, tmp_path: Path):
    file = tmp_path / "own.yaml"
    file.write_text(f"version: 1\nname: own\n{profile}\n")
    message = refusal(
        InvalidProfile, source=str(clip), output=str(tmp_path / "out"), profile=str(file), formats=formats
    )
    assert field in message


@pytest.mark.parametrize("seconds", [0, 0.001, 0.0999, -1, math.nan, math.inf, -math.inf])
def test_segment_length_out_of_range_is_refused(seconds: float, clip: Path, tmp_path: Path):
    message = refusal(InvalidParameter, source=str(clip), output=str(tmp_path / "out"), segment_s=seconds)
    assert "segment_s" in message
    assert "0.1 or more" in message


def test_shortest_segment_is_accepted(clip: Path, tmp_path: Path):
    assert accept_job(TranscodeJob(source=str(clip), output=str(tmp_path / "out"), segment_s=0.1))


@pytest.mark.parametrize("budget", ["0", "-0.5"])
def test_budget_of_nothing_is_refused(budget: str, clip: Path, tmp_path: Path):
    message = refusal(InvalidParameter, source=str(clip), output=str(tmp_path / "out"), budget=budget)
    assert "budget" in message


def test_budget_is_exact_and_a_number_in_json():
    job = TranscodeJob.model_validate_json('{"source": "a.mp4", "budget": 0.3}')
    assert job.budget == Decimal("0.3")
    assert json.loads(job.model_dump_json())["budget"] == 0.3


@pytest.mark.parametrize("workers", [0, -1, 1025, 10**12])
def test_workers_that_no_machine_has_are_refused(workers: int, clip: Path, tmp_path: Path, set_to: Set):
    message = refusal(InvalidParameter, source=str(clip), output=str(tmp_path / "out"), workers=workers)
    assert f"workers: {workers} is not allowed; allowed: 1 to 1024" in message
    set_to(workers=workers)
    with pytest.raises(ValidationError, match="workers"):
        settings()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"sauce": "x"}, "sauce"), ({"formats": ["exe"]}, "formats"), ({"formats": "mp4"}, "formats"),
        ({"damage": "shrug"}, "damage"), ({"workers": 1.5}, "workers"), ({"segment_s": "soon"}, "segment_s"),
    ],
)  # fmt: skip
def test_field_or_value_that_is_not_known_is_refused(fields: dict[str, object], named: str):
    with pytest.raises(ValidationError, match=named):
        TranscodeJob.model_validate({"source": "x.mp4", **fields})


def test_source_of_another_size_than_announced_is_incomplete(clip: Path, tmp_path: Path):
    size = clip.stat().st_size
    message = refusal(SourceIncomplete, source=str(clip), output=str(tmp_path / "out"), source_size_bytes=size + 1000)
    assert f"{size:,} of {size + 1000:,} bytes" in message
    assert accept_job(TranscodeJob(source=str(clip), output=str(tmp_path / "out"), source_size_bytes=size))


# P2: one job per content


def key_of(source: Path, **fields: object) -> str:
    job = TranscodeJob.model_validate({"source": str(source), "output": "out", **fields})
    accepted = accept_job(job)
    return accepted.key


def test_job_has_one_key_wherever_its_source_lies_and_its_results_go(clip: Path, tmp_path: Path):
    elsewhere = Path(shutil.copy2(clip, tmp_path / "clip.mp4"))
    assert key_of(clip) == key_of(elsewhere) == key_of(elsewhere, output=str(tmp_path / "other"))


def test_key_does_not_depend_on_the_machine(clip: Path, monkeypatch: pytest.MonkeyPatch):
    key = key_of(clip)
    monkeypatch.setenv("REELMILL_WORKERS", "7")
    monkeypatch.setenv("REELMILL_NICENESS", "19")
    settings.cache_clear()
    assert key == key_of(clip, workers=1) == key_of(clip, workers=64) == key_of(clip, budget="0.01")


def test_key_does_not_depend_on_the_order_of_formats(clip: Path):
    assert key_of(clip, formats=["mp4", "flv"]) == key_of(clip, formats=["flv", "mp4"])


def test_key_tells_what_is_made_apart(clip: Path, tmp_path: Path):
    other = make_clip(tmp_path / "clip.mp4", seconds=1, size="64x48")
    changed = Path(shutil.copy2(clip, tmp_path / "copy.mp4"))
    os.utime(changed, ns=(0, clip.stat().st_mtime_ns + 1))
    keys = [
        key_of(clip), key_of(other), key_of(changed, name="clip"), key_of(clip, formats=["flv"]),
        key_of(clip, formats=["mp4", "flv"]), key_of(clip, profile="web-720p"), key_of(clip, name="other"),
        key_of(clip, damage="strict"), key_of(clip, segment_s=0.5), key_of(clip, copy_when_fits=True),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)

"""What `reelmill jobs show` says of a job that a server knows."""

from __future__ import annotations

import pytest

from cli.job_view import job_lines, print_lines
from reelmill.job import Clip, Following, TranscodeJob


def test_only_what_was_asked_for_is_told_and_values_begin_in_one_column(capsys: pytest.CaptureFixture[str]):
    job = TranscodeJob(
        source="a.mp4", formats=("mp4", "flv"), watermark_text="Hi", clip=Clip.model_validate({"end": 1.5}),
        append=(Following(source="b.mp4"), Following(source="c.mp4", clip=Clip.model_validate({"start": 2}))),
        pictures=True,
    )  # fmt: skip
    told = {"run": "r", "source": "a.mp4", "queue": None, "took_s": 0.0, "error": None}
    print_lines(job_lines(told | {"parameters": {"job": job.model_dump(mode="json")}}))
    assert capsys.readouterr().out.splitlines() == [
        "run             r",
        "source          a.mp4",
        "took            0.0 s",
        "formats         mp4, flv",
        "clip            end 1.5",
        "append          source b.mp4, source c.mp4 clip start 2.0",
        "pictures        yes",
        "watermark_text  Hi",
        "damage          lenient",
    ]


def test_error_is_told_by_its_code():
    told = {"run": "r", "error": {"code": "VerifyFailed", "message": "frames: 1 of 2"}}
    assert list(job_lines(told)) == [("run", "r"), ("error", "VerifyFailed: frames: 1 of 2")]

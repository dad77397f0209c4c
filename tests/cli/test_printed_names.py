"""Names are printed as they stand: brackets in them are no markup of the terminal's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli import clean, jobs
from cli.console import plain_console
from cli.result_view import print_result
from reelmill.catalog.writing import begin_job
from reelmill.cleaning import Leftover
from reelmill.storage.readable import Pinned
from tests.catalogued import attempt, manifest

NAME = "talk [b]1[/b] :x: [/].mp4"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_result_names_its_files_and_its_folder(capsys: pytest.CaptureFixture[str]):
    made = manifest()
    output = made.outputs[0].model_copy(update={"file_name": NAME})
    told = made.model_copy(update={"outputs": (output,), "warnings": (f"{NAME} is odd",)})
    print_result(plain_console(), told, Path("/results") / NAME)
    said = capsys.readouterr().out
    assert f"│ {NAME} │" in said
    assert f"warning: {NAME} is odd" in said
    assert f"results in /results/{NAME}, what was checked in /results/{NAME}/manifest.json" in said


def test_list_of_jobs_names_their_sources(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "has_server", lambda: False)
    begin_job(replace(attempt(), source=Pinned(Path("/videos/talk [b].mp4"), 1, "1", "id")))
    jobs.list_jobs()
    assert "talk [b].mp4" in capsys.readouterr().out


def test_leftovers_are_told_by_their_place(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clean, "find_leftovers", lambda *_: [Leftover("draft", f"/results/{NAME}", 9.0, None)])
    clean.clean()
    assert f"/results/{NAME}" in capsys.readouterr().out

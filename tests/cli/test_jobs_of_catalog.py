"""`reelmill jobs` and `reelmill catalog` where no Prefect server is up: what they say of past jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import jobs
from cli.catalog import rebuild
from reelmill.catalog.writing import begin_job, record_failure, record_result
from reelmill.errors import CatalogFailed, InvalidParameter, RunNotFound, SourceNotFound, VerifyFailed
from reelmill.settings import settings
from tests.catalogued import attempt, manifest, pieces, plan


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "has_server", lambda: False)


@pytest.fixture
def three_jobs() -> None:
    """One that was published, one that failed, and one that no Prefect server was told of."""
    record_result(manifest(), Path("/results"), attempt=attempt(), plan=plan(), pieces=pieces())
    record_failure(attempt("b" * 32, key="other", run="run-2"), VerifyFailed("frames: 499 of 500"))
    begin_job(attempt("c" * 32, key="third", run=None))


def test_list_shows_what_the_catalog_knows(three_jobs: None, capsys: pytest.CaptureFixture[str]):
    assert jobs.list_jobs(json_output=True) == 0
    told = {each["run"]: each for each in json.loads(capsys.readouterr().out)}
    assert {run: each["state"] for run, each in told.items()} == {
        "run-1": "Completed", "run-2": "Failed", "c" * 32: "Running",
    }  # fmt: skip
    assert told["run-2"]["error"] == {"code": "VerifyFailed", "message": "frames: 499 of 500"}
    assert (told["run-1"]["took_s"], told["run-1"]["output"]) == (60.0, "/results")


def test_list_shows_only_the_states_that_are_asked_for(three_jobs: None, capsys: pytest.CaptureFixture[str]):
    assert jobs.list_jobs(state=("failed",), json_output=True) == 0
    assert [each["run"] for each in json.loads(capsys.readouterr().out)] == ["run-2"]


def test_show_says_what_was_made(three_jobs: None, capsys: pytest.CaptureFixture[str]):
    assert jobs.show("run-1") == 0
    said = capsys.readouterr().out
    assert "made      übung.mp4, 3,000,000,000 bytes" in said
    assert "encoded   h264-720p, 2 segments, 12.5 CPU seconds" in said


def test_show_says_what_it_cost_and_how_far_the_estimate_was_off(three_jobs: None, capsys: pytest.CaptureFixture[str]):
    assert jobs.show("run-1") == 0
    said = capsys.readouterr().out
    assert "cost      0.000125 USD for 12.5 CPU seconds; expected 0.000100 USD (20 % too little)" in said
    assert jobs.show("run-1", json_output=True) == 0
    cost = json.loads(capsys.readouterr().out)["attempts"][0]["cost"]
    assert (cost["amount"], cost["estimated"], cost["off_percent"]) == ("0.000125000", "0.000100000", -20.0)


def test_show_says_why_a_job_failed(three_jobs: None, capsys: pytest.CaptureFixture[str]):
    assert jobs.show("run-2") == 0
    assert "error     VerifyFailed: frames: 499 of 500\n" in capsys.readouterr().out


def test_show_refuses_a_name_that_is_none_or_many(three_jobs: None):
    with pytest.raises(RunNotFound, match="no run begins with 'nothing'"):
        jobs.show("nothing")
    with pytest.raises(RunNotFound, match="2 attempts begin with 'run'"):
        jobs.show("run")


def test_a_catalog_that_can_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "catalog.db").write_text("This is no database, however long one looks at it. " * 100)
    monkeypatch.setenv("REELMILL_CATALOG_URL", f"sqlite:///{tmp_path / 'catalog.db'}")
    settings.cache_clear()
    with pytest.raises(CatalogFailed, match="not a database"):
        jobs.list_jobs()


def test_rebuild_tells_what_is_no_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, text in (("good", manifest().model_dump_json()), ("bad", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text)
    assert rebuild(str(tmp_path)) == 0
    said = capsys.readouterr()
    assert said.out == "put into the catalog: 1\n"
    assert said.err.startswith(f"{tmp_path / 'bad'}: its manifest.json is not one of Reelmill")


def test_rebuild_wants_a_place():
    with pytest.raises(InvalidParameter, match="OUTPUT"):
        rebuild()


def test_rebuild_refuses_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(SourceNotFound, match="there is no folder"):
        rebuild(str(tmp_path / "mistyped"))

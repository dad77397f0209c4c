"""What a run of the flow leaves in the catalog: a result, a failure, and what becomes of a job when it is down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.catalog import rebuild
from reelmill.catalog import writing
from reelmill.catalog.reading import attempts_named, latest_jobs
from reelmill.errors import CatalogFailed, MediaUnreadable
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest, read_manifest
from reelmill.settings import settings
from reelmill.storage.opening import open_store
from tests.catalogued import everything
from tests.live_jobs import make_clip
from tests.server_processes import free_port

pytestmark = pytest.mark.end_to_end


def run_job(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    return transcode_video(job)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=4, size="64x64")


@pytest.fixture
def job(clip: Path, tmp_path: Path, prefect_server: str) -> TranscodeJob:
    return TranscodeJob(source=str(clip), formats=("mp4", "flv"), output=str(tmp_path / "out"), segment_s=2, workers=2)


def use_catalog(url: str | None, patch: pytest.MonkeyPatch) -> None:
    if url is None:
        patch.delenv("REELMILL_CATALOG_URL")
    else:
        patch.setenv("REELMILL_CATALOG_URL", url)
    settings.cache_clear()


def test_finished_job_is_in_the_catalog_once_however_often_it_is_run(job: TranscodeJob, clip: Path, tmp_path: Path):
    manifest = run_job(job)
    [found] = attempts_named(manifest.attempt)
    assert (found.state, found.job_key, found.output) == ("completed", manifest.job_key, str(tmp_path / "out"))
    assert found.run is not None
    assert (found.source.location, found.source.size_bytes) == (str(clip), clip.stat().st_size)
    assert {each.format: each.sha256 for each in found.outputs} == {
        each.format: each.sha256 for each in manifest.outputs
    }
    assert {each.kind: each.segments for each in found.renditions} == {"video": 2, "audio": 1}
    assert [(each.number, each.start_s, each.frames) for each in found.segments] == [(0, 0.0, 50), (1, 2.0, 50)]
    assert all(each.cpu_s > 0 for each in found.segments)
    first = everything()
    assert run_job(job) == manifest
    assert everything() == first


def test_failed_job_is_in_the_catalog_with_its_error(tmp_path: Path, prefect_server: str):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video at all")
    with pytest.raises(MediaUnreadable):
        run_job(TranscodeJob(source=str(bad), output=str(tmp_path / "out")))
    [found] = latest_jobs(["failed"], 20)
    assert found.error is not None
    assert (found.error.code, found.source.location) == ("MediaUnreadable", str(bad))


def test_catalog_that_is_down_loses_no_job_and_is_made_anew_from_its_manifest(
    job: TranscodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("REELMILL_RETRIES", "0")
    use_catalog(f"postgresql+psycopg://me:canary@127.0.0.1:{free_port()}/catalog", monkeypatch)
    told = run_job(job)
    published = read_manifest(open_store(tmp_path / "out"))
    assert published is not None
    assert (tmp_path / "out" / "clip.flv").is_file()
    assert told == published.model_copy(update={"warnings": told.warnings})
    assert [each[:15] for each in told.warnings] == [*(each[:15] for each in published.warnings), "CatalogFailed: "]
    assert "canary" not in str(told.warnings)
    use_catalog(None, monkeypatch)
    assert latest_jobs([], 20) == []
    assert rebuild(str(tmp_path / "out")) == 0
    assert capsys.readouterr().out.endswith("put into the catalog: 1\n")
    [found] = attempts_named(published.attempt)
    assert (found.state, len(found.outputs), len(found.renditions)) == ("completed", 2, 2)


def test_write_that_fails_is_tried_again(job: TranscodeJob, monkeypatch: pytest.MonkeyPatch):
    tries: list[str] = []
    write = writing.record_result

    def fail_once(manifest: Manifest, *args: Any, **fields: Any) -> None:
        tries.append(manifest.attempt)
        if len(tries) == 1:
            raise CatalogFailed("as if")
        write(manifest, *args, **fields)

    monkeypatch.setattr(writing, "record_result", fail_once)
    manifest = run_job(job)
    assert tries == [manifest.attempt] * 2
    assert not [each for each in manifest.warnings if "CatalogFailed" in each]
    assert len(attempts_named(manifest.attempt)) == 1

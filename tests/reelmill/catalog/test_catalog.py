"""The catalog on SQLite and on PostgreSQL: what is written, written twice, by two at once, and not at all."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from reelmill.catalog.database import catalog_url, migrate, read, write
from reelmill.catalog.reading import attempts_named, latest_jobs, measured_speeds
from reelmill.catalog.rebuilding import rebuild
from reelmill.catalog.tables import Table
from reelmill.catalog.writing import begin_job, record_failure, record_result
from reelmill.cost.ledger import Ledger
from reelmill.cost.prices import Prices
from reelmill.errors import CatalogFailed, JobCancelled, VerifyFailed
from reelmill.manifest import Manifest
from reelmill.settings import settings
from tests.catalogued import ATTEMPT, BEGAN, SPEED, attempt, everything, manifest, pieces, plan
from tests.database_servers import PostgresServer
from tests.server_processes import free_port

ROOT = Path(__file__).parents[3]
REVISIONS = sorted(each.name[:4] for each in (ROOT / "reelmill/catalog/migrations/versions").glob("[0-9]*.py"))
_databases = count()


def use_catalog(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELMILL_CATALOG_URL", url)
    settings.cache_clear()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def catalog(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty catalog of either kind; gives the name of the kind."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        name = f"catalog_{next(_databases)}"
        server.create_database(name)
        use_catalog(server.url(name, "postgresql+psycopg"), monkeypatch)
    return request.param


def publish() -> None:
    record_result(manifest(), Path("/results"), attempt=attempt(), plan=plan(), pieces=pieces())


# What is written


def test_job_is_running_then_has_all_that_it_made(catalog: str):
    begin_job(attempt())
    [job] = latest_jobs(["running"], 20)
    assert (job.attempt, job.run, job.began, job.ended) == (ATTEMPT, "run-1", BEGAN, None)
    assert (job.source.location, job.source.format) == ("/videos/übung.mov", None)
    publish()
    [job] = attempts_named("run-1")
    assert (job.state, job.wall_s, job.began, job.error) == ("completed", 60.0, BEGAN, None)
    assert (job.source.size_bytes, job.source.format, job.source.frames) == (5_000_000_000, "mov", 500)
    assert [(each.format, each.size_bytes, each.width) for each in job.outputs] == [("mp4", 3_000_000_000, 1280)]
    assert [(each.id, each.cpu_s, each.reused_segments) for each in job.renditions] == [("h264-720p", 12.5, 1)]
    assert [(each.number, each.start_s, each.frames, each.reused) for each in job.segments] == [
        (0, 0.0, 250, False), (1, 10.0, 250, True),
    ]  # fmt: skip


def test_what_is_written_again_changes_nothing(catalog: str):
    begin_job(attempt())
    begin_job(attempt())
    publish()
    first = everything()
    publish()
    record_result(manifest(), Path("/results"))
    assert everything() == first
    assert {name: len(rows) for name, rows in first.items()} == {
        "errors": 0, "jobs": 1, "outputs": 1, "renditions": 1, "segments": 2, "sources": 1, "speeds": 1,
    }  # fmt: skip


def test_failure_is_kept_beside_the_attempt_that_made_it_after_all(catalog: str):
    begin_job(attempt())
    record_failure(attempt(), VerifyFailed("frames:\n499 of 500"))
    record_failure(attempt(), VerifyFailed("frames:\n499 of 500"))
    begin_job(attempt("b" * 32))
    record_result(manifest("b" * 32), Path("/results"), attempt=attempt("b" * 32), plan=plan(), pieces=pieces())
    found = {job.state: job for job in latest_jobs([], 20)}
    assert found.keys() == {"failed", "completed"}
    error = found["failed"].error
    assert error is not None
    assert (error.code, error.message) == ("VerifyFailed", "frames: 499 of 500")
    assert len(attempts_named("run-1")) == 2


@pytest.mark.parametrize("error", [JobCancelled("told to"), KeyboardInterrupt()], ids=["cancelled", "interrupted"])
def test_a_job_that_was_stopped_is_cancelled(catalog: str, error: BaseException):
    record_failure(attempt(), error)
    assert [job.state for job in latest_jobs(["cancelled"], 20)] == ["cancelled"]


def test_an_error_that_no_database_holds_is_written_all_the_same(catalog: str):
    record_failure(attempt(), ValueError("a name\x00 of \udcff bytes" + "x" * 10_000))
    [job] = latest_jobs([], 20)
    assert job.error is not None
    assert job.error.code == "ValueError"


def test_an_attempt_whose_process_was_killed_is_crashed_once_the_next_has_the_lock(catalog: str):
    begin_job(attempt())
    begin_job(attempt("b" * 32))
    begin_job(attempt("c" * 32, key="another job"))
    assert {job.attempt[0]: job.state for job in latest_jobs([], 20)} == {
        "a": "crashed", "b": "running", "c": "running",
    }  # fmt: skip


def test_result_of_an_attempt_that_failed_later_takes_the_error_away(catalog: str):
    publish()
    record_failure(attempt(), OSError("the lock could not be given back"))
    publish()
    [job] = latest_jobs([], 20)
    assert (job.state, job.error) == ("completed", None)


def test_cost_is_kept_with_job_format_rendition_and_segment(catalog: str):
    publish()
    [job] = latest_jobs([], 20)
    assert (job.currency, job.cost_nanos, job.estimated_nanos) == ("USD", 125_000, 100_000)
    assert (job.billed_cpu_s, job.estimated_cpu_s) == (12.5, 10.0)
    [job] = attempts_named(ATTEMPT)
    assert [each.cost_nanos for each in (*job.outputs, *job.renditions)] == [125_000, 125_000]
    assert [each.cost_nanos for each in job.segments] == [125_000, 0]


def test_what_a_failed_attempt_spent_is_kept(catalog: str):
    ledger = Ledger(Prices(vcpu_s=Decimal(1)))
    ledger.note("h264-720p", 0, 0.25, 1.0, failed=True)
    record_failure(attempt(), VerifyFailed("frames"), ledger)
    [job] = latest_jobs([], 20)
    assert (job.cost_nanos, job.billed_cpu_s, job.estimated_nanos) == (300_000_000, 0.3, None)


def with_speed(name: str, cpu_class: str, cpu_ms: int) -> Manifest:
    made = manifest(name * 32)
    [sample] = made.cost.samples
    sample = sample.model_copy(update={"cpu_class": cpu_class, "cpu_ms": cpu_ms})
    return made.model_copy(update={"cost": made.cost.model_copy(update={"samples": (sample,)})})


def test_speeds_are_of_this_cpu_where_they_were_measured_on_it(catalog: str):
    for made in (with_speed("a", "slow", 9_000), with_speed("b", "slow", 11_000), with_speed("c", "fast", 1_000)):
        record_result(made, Path("/results"))
        record_result(made, Path("/results"))
    slow, fast, new = (measured_speeds([SPEED], each)[SPEED] for each in ("slow", "fast", "new"))
    assert (slow.cpu_ms, slow.work, slow.known_from) == (20_000, 2 * 230_400_000, "measured")
    assert (fast.cpu_ms, fast.known_from) == (1_000, "measured")
    assert (new.cpu_ms, new.known_from) == (21_000, "elsewhere")
    assert measured_speeds([SPEED.model_copy(update={"preset": "slow"})], "slow") == {}


def test_limits_and_names_are_taken_literally(catalog: str):
    for name in ("a_" + "1" * 30, "ab" + "2" * 30):
        begin_job(attempt(name, key=name, run=None))
    assert [job.attempt[:2] for job in attempts_named("a_")] == ["a_"]
    assert len(latest_jobs([], 1)) == 1


def test_rebuild_fills_an_empty_catalog_from_manifests(catalog: str, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / "results" / name).mkdir(parents=True)
        text = manifest(name * 8, key=name, source=name).model_dump_json()
        (tmp_path / "results" / name / "manifest.json").write_text(text)
    (tmp_path / "results" / "other").mkdir()
    (tmp_path / "results" / "other" / "manifest.json").write_text("{}")
    found = {where.name: readable for where, readable in rebuild(tmp_path / "results")}
    assert found == {"one": True, "two": True, "other": False}
    first = everything()
    assert [list(rebuild(tmp_path / "results" / "one"))] == [[(tmp_path / "results" / "one", True)]]
    assert everything() == first
    [job] = attempts_named("one")
    assert job.output == str(tmp_path / "results" / "one")


# Tables and migrations


def test_models_and_migrations_agree(catalog: str):
    assert latest_jobs([], 1) == []
    engine = create_engine(catalog_url())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
        assert context.get_current_revision() is not None
        assert set(inspect(connection).get_table_names()) == {*Table.metadata.tables, "alembic_version"}
    engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_catalog_of_any_older_version_is_brought_up_to_date_with_its_rows(catalog: str, revision: str):
    engine = create_engine(catalog_url())
    if catalog == "sqlite":
        settings().home_dir.mkdir()
    with engine.begin() as connection:
        migrate(connection, revision)
        connection.execute(text("INSERT INTO sources (identity, file_name, size_bytes) VALUES ('s', 'old.mov', 7)"))
    publish()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
        old = connection.execute(text("SELECT file_name FROM sources WHERE identity = 's'"))
        assert old.scalar() == "old.mov"
    engine.dispose()
    assert [job.state for job in latest_jobs([], 20)] == ["completed"]


def test_a_catalog_of_a_newer_version_is_left_alone(catalog: str):
    write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    from reelmill.catalog.database import _ready_engine

    _ready_engine.cache_clear()
    with pytest.raises(CatalogFailed, match="9999"):
        latest_jobs([], 1)


_WRITER = """
import sys
from reelmill.catalog.writing import begin_job, record_result
from tests.catalogued import attempt, manifest, pieces, plan
from pathlib import Path
mine = sys.argv[1]
for n in range(8):
    name, key = f"{mine}{n:031d}", f"{mine}{n}"
    begin_job(attempt(name, key=key))
    done = manifest(name, key=key)
    record_result(done, Path("/results"), attempt=attempt(name, key=key), plan=plan(), pieces=pieces())
    record_result(manifest("b" * 32), Path("/results"))
"""


@pytest.mark.slow
def test_processes_that_find_no_catalog_and_write_at_once_all_succeed(catalog: str):
    writers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", _WRITER, mine], cwd=ROOT, stderr=subprocess.PIPE)
        for mine in "xyz"
    ]
    for each in writers:
        _, said = each.communicate(timeout=120)
        assert (each.returncode, said) == (0, b"")
    rows = everything()
    assert {name: len(rows[name]) for name in ("jobs", "outputs", "segments", "sources")} == {
        "jobs": 3 * 8 + 1, "outputs": 3 * 8 + 1, "segments": 3 * 8 * 2, "sources": 1,
    }  # fmt: skip


# Where it is


def test_asking_for_speeds_makes_no_file():
    assert measured_speeds([SPEED], "any") == {}
    assert not settings().home_dir.exists()


def test_a_file_in_the_home_folder_is_made_when_nothing_is_set():
    assert latest_jobs([], 1) == []
    assert catalog_url().database == str(settings().home_dir / "catalog.db")
    assert (settings().home_dir / "catalog.db").is_file()
    assert read(lambda session: session.execute(text("PRAGMA journal_mode")).scalar()) == "wal"
    assert read(lambda session: session.execute(text("PRAGMA foreign_keys")).scalar()) == 1


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "mysql://host/name", "postgresql+asyncpg://host/name"])
def test_an_address_that_is_none_is_said(url: str, monkeypatch: pytest.MonkeyPatch):
    use_catalog(url, monkeypatch)
    with pytest.raises(CatalogFailed, match=r"^catalog_url: "):
        latest_jobs([], 1)


def test_a_server_that_is_not_there_is_said_without_its_password(monkeypatch: pytest.MonkeyPatch):
    use_catalog(f"postgresql+psycopg://me:canary@127.0.0.1:{free_port()}/catalog", monkeypatch)
    with pytest.raises(CatalogFailed, match=r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:") as caught:
        begin_job(attempt())
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(settings())


def test_a_file_that_is_no_database_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "catalog.db").write_text("This is no database, however long one looks at it. " * 100)
    use_catalog(f"sqlite:///{tmp_path / 'catalog.db'}", monkeypatch)
    with pytest.raises(CatalogFailed, match="not a database"):
        latest_jobs([], 1)

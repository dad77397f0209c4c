"""What real runs cost: counted by run, learned from, refused and stopped at a budget, and taken up again for less."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from reelmill.catalog.reading import attempts_named, latest_jobs
from reelmill.cost.estimate import Estimate
from reelmill.cost.prices import nanos_of
from reelmill.errors import BudgetExceeded, InvalidParameter
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest
from reelmill.pricing import estimate_job
from reelmill.settings import settings
from tests.live_jobs import LoggedTool, alive_with, make_clip, use_tool
from tests.pipeline import prepare_job

pytestmark = pytest.mark.end_to_end

SEGMENTS = 8
A_TENTH = 1_000_000
"""Nanos of a tenth of a CPU second at the price of these tests."""


def run_job(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    return transcode_video(job)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SEGMENTS, size="320x180")


@pytest.fixture(autouse=True)
def prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELMILL_PRICE_VCPU_S", "0.01")
    settings.cache_clear()


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoggedTool:
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    return tool


@pytest.fixture
def job(clip: Path, tmp_path: Path, prefect_server: str) -> TranscodeJob:
    return TranscodeJob(source=str(clip), formats=("mp4", "flv"), output=str(tmp_path / "out"), segment_s=1, workers=1)


def estimate_of(job: TranscodeJob) -> Estimate:
    prepared = prepare_job(job)
    return estimate_job(prepared.plan, prepared.accepted.output, prepared.accepted.profile.quality)


def test_job_says_what_it_cost_everywhere_and_the_next_estimate_goes_by_it(job: TranscodeJob, tmp_path: Path):
    before = estimate_of(job)
    assert {each.known_from for each in before.lines} == {"defaults"}
    manifest = run_job(job)
    cost = manifest.cost
    assert (cost.runs, cost.failed_runs) == (SEGMENTS + 1 + 2, 0)
    assert cost.amount == sum(each.amount for each in cost.formats)
    assert cost.estimated == Decimal(before.nanos).scaleb(-9)
    video = next(each for each in manifest.renditions if each.kind == "video")
    assert [each.segment for each in cost.segments] == [*range(SEGMENTS)]
    assert 0 <= sum(each.cpu_s for each in cost.segments) - video.cpu_s <= SEGMENTS * 0.1 + 0.001
    assert sum(each.amount for each in cost.segments) == cost.renditions[0].amount

    [found] = attempts_named(manifest.attempt)
    assert (found.cost_nanos, found.estimated_nanos) == (nanos_of(cost.amount), before.nanos)
    assert {each.format: each.cost_nanos for each in found.outputs} == {
        each.format: nanos_of(each.amount) for each in cost.formats
    }
    assert [each.cost_nanos for each in found.segments] == [nanos_of(each.amount) for each in cost.segments]
    with get_client(sync_client=True) as client:
        tables = [
            each for each in client.request("POST", "/artifacts/filter", json={}).json() if each["key"] == "outputs"
        ]
    assert any(each["description"] == f"Outputs of clip.mp4. Cost: {cost.text}" for each in tables)

    elsewhere = job.model_copy(update={"output": str(tmp_path / "elsewhere"), "name": "again"})
    after = estimate_of(elsewhere)
    assert {each.known_from for each in after.lines} == {"measured"}
    assert abs(after.cpu_tenths - round(10 * cost.cpu_s)) <= len(after.lines) + SEGMENTS


def test_job_that_is_expected_to_cost_more_than_its_budget_is_not_begun(
    job: TranscodeJob, tool: LoggedTool, tmp_path: Path
):
    with pytest.raises(BudgetExceeded, match=r"are expected, and the budget is 0\.000100 USD"):
        run_job(job.model_copy(update={"budget": Decimal("0.0001")}))
    assert [call for call in tool.calls() if call != "-version"] == []
    assert not (tmp_path / "out").exists()
    [found] = latest_jobs(["failed"], 20)
    assert found.error is not None
    assert (found.error.code, found.cost_nanos) == ("BudgetExceeded", 0)


def test_budget_without_a_price_is_refused(job: TranscodeJob, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("REELMILL_PRICE_VCPU_S")
    settings.cache_clear()
    with pytest.raises(InvalidParameter, match="no price is set"):
        run_job(job.model_copy(update={"budget": Decimal(100)}))


def test_job_is_stopped_at_its_budget_and_goes_on_from_there(
    job: TranscodeJob, tool: LoggedTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is begun although more is expected, and three tenths of a second are all that it may take."""
    from flows import transcode_video as flow

    with monkeypatch.context() as patch:
        patch.setattr(flow, "refuse_over_budget", lambda *_: None)
        with pytest.raises(BudgetExceeded, match=r"all of 0\.00300 USD is spent; what is finished is kept"):
            run_job(job.model_copy(update={"budget": Decimal("0.003")}))
    made = len(tool.encodes())
    assert 0 < made < SEGMENTS
    assert not (tmp_path / "out").exists()
    assert alive_with(tmp_path) == []
    [stopped] = latest_jobs(["failed"], 20)
    assert stopped.cost_nanos is not None
    assert stopped.cost_nanos > A_TENTH

    whole = job.model_copy(update={"output": str(tmp_path / "elsewhere"), "name": "again"})
    assert estimate_of(job).nanos < estimate_of(whole).nanos
    tool.forget()
    manifest = run_job(job.model_copy(update={"budget": Decimal(100)}))
    kept = manifest.renditions[0].reused_segments
    assert kept > 0
    assert len(tool.encodes()) == SEGMENTS - kept
    assert len(manifest.cost.segments) == SEGMENTS - kept
    [found] = attempts_named(manifest.attempt)
    assert [each.cost_nanos == 0 for each in found.segments] == [each.reused for each in found.segments]


def test_job_is_stopped_in_the_midst_of_a_long_segment(
    job: TranscodeJob, tool: LoggedTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from flows import transcode_video as flow

    long = make_clip(tmp_path / "long.mp4", seconds=60, size="640x360")
    monkeypatch.setattr(flow, "refuse_over_budget", lambda *_: None)
    with pytest.raises(BudgetExceeded, match=r"all of 0\.00500 USD is spent"):
        run_job(job.model_copy(update={"source": str(long), "segment_s": 60, "budget": Decimal("0.005")}))
    assert len(tool.encodes()) == 1
    assert alive_with(tmp_path) == []
    [stopped] = latest_jobs(["failed"], 20)
    assert stopped.cost_nanos is not None
    assert 5 * A_TENTH < stopped.cost_nanos < 50 * A_TENTH


def test_try_that_failed_costs(job: TranscodeJob, tool: LoggedTool):
    """The first encode runs to its end and says that it failed."""
    flag = tool.path.with_name("failed")
    real = tool.path.read_text().replace("exec ", "")
    tool.path.write_text(
        f'{real}code=$?\ncase "$*" in *" -c:v lib"*) [ -e {flag} ] || {{ : > {flag}; exit 3; }};; esac\nexit $code\n'
    )
    manifest = run_job(job)
    assert len(tool.encodes()) == SEGMENTS + 1
    assert manifest.cost.failed_runs == 1
    [twice] = [each for each in manifest.cost.renditions if each.failed_runs]
    assert (twice.runs, twice.failed_runs) == (SEGMENTS + 1, 1)
    [found] = attempts_named(manifest.attempt)
    more_s = [cost.cpu_s - made.cpu_s for cost, made in zip(manifest.cost.segments, found.segments, strict=True)]
    assert [each >= 0.1 for each in more_s] == [True, *[False] * (SEGMENTS - 1)]

"""The arithmetic of cost: rounding run by run, sums that are exact, estimates, and what is said of them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.cost.estimate import EstimateLine, estimate_cost, kinds_in
from reelmill.cost.ledger import Ledger, close_ledger, noted, open_ledger
from reelmill.cost.prices import Prices, amount_of, billed_tenths, divided, money_text, nanos_of, off_percent, shares
from reelmill.cost.report import JobCost, cost_text, job_cost
from reelmill.cost.speeds import (
    Kind,
    Speed,
    Speeds,
    default_speed,
    kind_of_measuring,
    kind_of_video,
    measuring_of,
    mux_of,
    size_class,
)
from reelmill.errors import BudgetExceeded
from reelmill.planning.plan import Plan
from reelmill.profiles.encoders import VIDEO_ENCODERS

PRICES = Prices(vcpu_s=Decimal("0.0000112444"), moved_gb=Decimal("0.09"), stored_gb=Decimal("0.023"))
VIDEO, SOUND = "h264-720p", "aac-audio-1"


def plan(*formats: str, segments: int = 2) -> Plan:
    """Ten seconds of 1080p at 25 frames a second, of a plan only what cost goes by."""
    ranges = tuple(SimpleNamespace(number=n, frames=250 // segments) for n in range(segments))
    video = SimpleNamespace(
        id=VIDEO, codec="h264", preset="medium", size=(1280, 720), bitrate_bps=None, segments=ranges, frames=250
    )
    sound = SimpleNamespace(id=SOUND, codec="aac", copies=False, bitrate_bps=128_000)
    names = formats or ("mp4",)
    outputs = [SimpleNamespace(format=each, label=each, videos=(VIDEO,), tracks=(SOUND,)) for each in names]
    source = SimpleNamespace(
        video=SimpleNamespace(width=1920, height=1080), size_bytes=5_000_000,
        pinned=SimpleNamespace(location=Path("holiday.mov")),
    )  # fmt: skip
    what = {"video": [video], "tracks": [sound], "outputs": outputs, "source": source, "sources": (source,)}
    return cast("Plan", SimpleNamespace(**what, used_s=Fraction(10)))


# Rounding


@pytest.mark.parametrize(
    ("seconds", "tenths"),
    [(0.0, 0), (0.000001, 1), (0.1, 1), (0.100001, 2), (0.3, 3), (2.999999, 30), (0.1 + 0.2, 3), (3600.0, 36_000)],
)
def test_seconds_are_rounded_up_to_a_hundred_milliseconds(seconds: float, tenths: int):
    assert billed_tenths(seconds) == tenths


@given(st.integers(0, 10**12))
def test_what_is_billed_is_never_less_and_never_a_tenth_more(micros: int):
    assert 0 <= billed_tenths(micros / 1e6) * 100_000 - micros < 100_000


def test_each_run_is_rounded_by_itself():
    ledger = Ledger(PRICES)
    for _ in range(10):
        ledger.note(VIDEO, 0, 0.01, 0.02, failed=False)
    assert sum(each.cpu_tenths for each in ledger.runs) == 10
    assert ledger.nanos == 10 * PRICES.of_cpu(1)


@pytest.mark.parametrize(
    ("price", "tenths", "nanos"), [("0.0000112444", 10, 11_244), ("0.0000112444", 1, 1_124), ("0.00000001", 1, 1)]
)
def test_a_price_is_exact_to_the_billionth(price: str, tenths: int, nanos: int):
    assert Prices(vcpu_s=Decimal(price)).of_cpu(tenths) == nanos


def test_a_gigabyte_costs_its_price_and_a_byte_next_to_nothing():
    assert amount_of(PRICES.of_moved(10**9)) == Decimal("0.09")
    assert amount_of(PRICES.of_stored(5 * 10**12)) == Decimal(115)
    assert PRICES.of_moved(1) == 0


@given(st.integers(0, 10**15), st.integers(1, 64))
def test_shares_add_up_to_what_was_shared(nanos: int, among: int):
    parts = shares(nanos, among)
    assert (sum(parts), len(parts)) == (nanos, among)
    assert max(parts) - min(parts) <= 1


@given(st.integers(0, 10**9), st.lists(st.floats(0.001, 1000), min_size=1, max_size=9))
def test_parts_add_up_and_go_by_their_weights(whole: int, weights: list[float]):
    parts = divided(whole, weights)
    assert sum(parts) == whole
    assert all(abs(part - whole * each / sum(weights)) < 1.001 for part, each in zip(parts, weights, strict=True))


def test_a_run_for_several_renditions_is_billed_once_and_shared_out():
    ledger = Ledger(PRICES)
    ledger.note({VIDEO: 3.0, "h264-360p": 1.0}, 7, 2.0, 1.01, failed=False)
    assert [(each.work, each.segment, each.cpu_tenths) for each in ledger.runs] == [(VIDEO, 7, 15), ("h264-360p", 7, 5)]
    assert sum(each.wall_tenths for each in ledger.runs) == 11


@given(st.integers(0, 10**18))
def test_amounts_go_there_and_back(nanos: int):
    assert nanos_of(Decimal(f"{amount_of(nanos):f}")) == nanos


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.00 EUR"), (1, "0.000000001 EUR"), (456_000, "0.000456 EUR"), (12_345_678, "0.0123 EUR"),
        (999_000_000, "0.999 EUR"), (1_234_567_000_000, "1,234.57 EUR"),
    ],
)  # fmt: skip
def test_an_amount_says_three_digits_or_the_cent(nanos: int, text: str):
    assert money_text(nanos, "EUR") == text


# Estimates


def test_estimate_goes_by_measured_speeds_where_there_are_some():
    kind = kind_of_video(plan().source, plan().video[0])
    assert kind == Kind(codec="h264", preset="medium", size="720p", source_size="1080p")
    speeds = {kind: Speed(work=1_000_000, cpu_ms=20, size_bytes=5_000, known_from="measured")}
    estimate = estimate_cost(plan(), PRICES, speeds, reads_bucket=False, writes_bucket=False)
    video, sound, mux = estimate.lines
    assert (video.work, video.known_from) == (VIDEO, "measured")
    assert video.cpu_tenths == 2 * billed_tenths(125 * 1280 * 720 * 0.020 / 1e6)
    assert (sound.known_from, mux.known_from) == ("defaults", "defaults")
    assert estimate.by_defaults == (SOUND, mux_of("mp4"))
    assert estimate.stored_bytes == 250 * 1280 * 720 * 5_000 // 1_000_000 + 160_000
    assert estimate.moved_bytes == 0
    assert estimate.nanos == sum(each.nanos for each in estimate.lines) + PRICES.of_stored(estimate.stored_bytes)


def test_a_bucket_is_moved_from_and_to():
    read = estimate_cost(plan(), PRICES, {}, reads_bucket=True, writes_bucket=False)
    both = estimate_cost(plan(), PRICES, {}, reads_bucket=True, writes_bucket=True)
    assert read.moved_bytes == 5_000_000
    assert both.moved_bytes == 5_000_000 + both.stored_bytes


def test_what_is_kept_costs_nothing_again():
    everything = estimate_cost(plan(), PRICES, {}, reads_bucket=False, writes_bucket=False)
    half = estimate_cost(plan(), PRICES, {}, reads_bucket=False, writes_bucket=False, kept={(VIDEO, 1), (SOUND, 0)})
    assert half.lines[0].cpu_tenths * 2 == everything.lines[0].cpu_tenths
    assert half.lines[1].cpu_tenths == 0
    assert SOUND not in half.by_defaults


def test_measuring_is_expected_too_by_how_many_frames_are_compared():
    def measuring(every: int | None, speeds: Speeds) -> list[EstimateLine]:
        estimate = estimate_cost(
            plan(), PRICES, speeds, reads_bucket=False, writes_bucket=False, kept={(VIDEO, 1)}, compare_every=every
        )
        return [each for each in estimate.lines if each.work == measuring_of(VIDEO)]

    assert measuring(None, {}) == []
    [all_frames], [one_of_five] = measuring(1, {}), measuring(5, {})
    assert all_frames.cpu_tenths > 2 * one_of_five.cpu_tenths > 0
    kind = kind_of_measuring(plan().source, plan().video[0], 5)
    assert kind in kinds_in(plan(), 5)
    [known] = measuring(5, {kind: Speed(work=1_000_000, cpu_ms=30, size_bytes=0, known_from="measured")})
    assert (known.known_from, known.cpu_tenths) == ("measured", billed_tenths(125 * 1280 * 720 * 0.030 / 1e6))


def test_a_given_bit_rate_decides_the_size():
    asked = plan()
    cast("Any", asked.video[0]).bitrate_bps = 8_000_000
    estimate = estimate_cost(asked, PRICES, {}, reads_bucket=False, writes_bucket=False)
    assert estimate.stored_bytes == 10_000_000 + 160_000


@pytest.mark.parametrize("codec", VIDEO_ENCODERS)
def test_every_preset_has_a_default_and_slower_ones_are_not_faster(codec: str):
    presets = [
        Kind(codec=codec, preset=each, size="720p", source_size="720p") for each in VIDEO_ENCODERS[codec].presets
    ]
    speeds = [default_speed(each).cpu_s(10**9) for each in presets]
    assert sorted(speeds, reverse=codec in ("vp9", "av1")) == speeds
    assert len(set(speeds)) == len(speeds)


def test_every_kind_of_a_plan_has_a_speed():
    assert len(kinds_in(plan("mp4", "flv"))) == 4
    assert all(default_speed(each).cpu_ms > 0 for each in kinds_in(plan("mp4", "flv")))


@pytest.mark.parametrize(
    ("size", "name"), [((64, 64), "144p"), ((1280, 720), "720p"), ((720, 1280), "720p"), ((9000, 8000), "4320p")]
)
def test_sizes_go_by_the_shorter_side(size: tuple[int, int], name: str):
    assert size_class(*size) == name


# What a job did cost


def spent(*runs: tuple[str, int | None, float, bool], moved_bytes: int = 0) -> Ledger:
    ledger = Ledger(PRICES, moved_bytes=moved_bytes)
    for work, segment, cpu_s, failed in runs:
        ledger.note(work, segment, cpu_s, 2 * cpu_s, failed=failed)
    return ledger


def cost_of(ledger: Ledger, *formats: str, writes_bucket: bool = False) -> JobCost:
    job = plan(*formats)
    estimate = estimate_cost(job, PRICES, {}, reads_bucket=False, writes_bucket=False)
    sizes = {each.format: 1_000_000 for each in job.outputs}
    return job_cost(job, ledger, estimate, sizes, writes_bucket=writes_bucket)


def test_a_run_that_failed_costs_and_is_counted_with_its_segment():
    cost = cost_of(spent((VIDEO, 0, 1.0, True), (VIDEO, 0, 1.0, False), (VIDEO, 1, 0.25, False)))
    assert (cost.runs, cost.failed_runs, cost.cpu_s, cost.wall_s) == (3, 1, 2.3, 4.5)
    assert [(each.segment, each.cpu_s) for each in cost.segments] == [(0, 2.0), (1, 0.3)]
    assert [(each.work, each.runs, each.failed_runs) for each in cost.renditions] == [(VIDEO, 3, 1), (SOUND, 0, 0)]
    assert cost.amount == amount_of(2 * PRICES.of_cpu(10) + PRICES.of_cpu(3) + PRICES.of_stored(1_000_000))


@given(
    st.lists(st.tuples(st.sampled_from([VIDEO, SOUND, "scan", "mux mp4", "mux flv", "mux mkv"]), st.floats(0, 1e4))),
    st.integers(0, 10**12),
    st.booleans(),
)
def test_formats_and_what_belongs_to_none_add_up_to_the_job(
    runs: list[tuple[str, float]], moved_bytes: int, writes_bucket: bool
):
    ledger = spent(*((work, None, cpu_s, False) for work, cpu_s in runs), moved_bytes=moved_bytes)
    cost = cost_of(ledger, "mp4", "flv", "mkv", writes_bucket=writes_bucket)
    scans = sum(PRICES.of_cpu(billed_tenths(cpu_s)) for work, cpu_s in runs if work == "scan")
    others = amount_of(scans + PRICES.of_moved(moved_bytes))
    assert sum(each.amount for each in cost.formats) + others == cost.amount
    results = 3 * (PRICES.of_stored(1_000_000) + PRICES.of_moved(1_000_000) * writes_bucket)
    assert cost.amount == amount_of(ledger.nanos + results)


def test_cost_reads_back_from_json_without_powers_of_ten():
    cost = cost_of(spent((VIDEO, 0, 0.1, False)))
    text = cost.model_dump_json()
    assert JobCost.model_validate_json(text) == cost
    assert '"amount":"0.000001124"' in text
    assert "E-" not in text


# Budgets and words


def test_ledger_refuses_once_more_than_the_budget_is_spent():
    ledger = Ledger(PRICES, budget_nanos=PRICES.of_cpu(10))
    ledger.note(VIDEO, 0, 1.0, 1.0, failed=False)
    ledger.refuse_overspent()
    ledger.note(VIDEO, 1, 0.01, 1.0, failed=True)
    with pytest.raises(BudgetExceeded, match="is finished is kept and costs nothing again"):
        ledger.refuse_overspent()


def test_budget_counts_what_is_at_work_until_it_ends():
    ledger, run = Ledger(PRICES, budget_nanos=PRICES.of_cpu(10)), object()
    ledger.at_work(run, 1.0)
    ledger.refuse_overspent()
    ledger.at_work(run, 1.01)
    with pytest.raises(BudgetExceeded):
        ledger.refuse_overspent()
    ledger.leave(run)
    ledger.refuse_overspent()
    assert ledger.runs == []


def test_what_is_at_work_is_known_as_the_runs_that_it_would_be_if_it_died_now():
    ledger = Ledger(PRICES)
    open_ledger("attempt", ledger)
    with noted("attempt", {VIDEO: 3.0, SOUND: 1.0}, 2) as note:
        note.at_work(0.8)
        assert [(each.work, each.segment, each.cpu_tenths, each.failed) for each in ledger.unfinished()] == [
            (VIDEO, 2, 6, True), (SOUND, 2, 2, True),
        ]  # fmt: skip
        assert ledger.runs == []
        note.ended(0.8, 1.0)
    close_ledger(ledger)
    assert ledger.unfinished() == []
    assert [each.cpu_tenths for each in ledger.runs] == [6, 2]


@pytest.mark.parametrize(("estimated", "actual", "percent"), [(110, 100, 10.0), (50, 100, -50.0), (1, 0, None)])
def test_how_far_an_estimate_was_off(estimated: int, actual: int, percent: float | None):
    assert off_percent(estimated, actual) == percent


def test_cost_in_words():
    assert cost_text("USD", 2_000_000_000, 17.3, 1_500_000_000, 12.0) == (
        "2.00 USD for 17.3 CPU seconds; expected 1.50 USD (25 % too little)"
    )
    assert cost_text("USD", 0, 10.0, 0, 11.0) == "10.0 CPU seconds; expected 11.0 (10 % too much)"
    assert cost_text("USD", 0, 10.0) == "10.0 CPU seconds"

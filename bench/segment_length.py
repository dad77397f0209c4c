"""What the length of a segment costs: size, quality, time, against the single encode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import (
    Round,
    Usage,
    as_data,
    interleave,
    measure,
    median_of,
    median_ratio,
    most_by_others,
    run_plainly,
)
from bench.pipeline import Prepared, encode_and_merge, prepare, verify
from bench.plain import plain_argv, warm_up
from bench.quality import Quality, compare
from bench.results import Figure, Result, Table
from bench.sources import demanding_source, without_audio
from bench.workbench import Workbench
from reelmill.profiles.profile import Profile
from reelmill.settings import Settings

_LENGTHS_S = (2.0, 5.0, 10.0, 30.0)
_QUICK_LENGTHS_S = (1.0, 2.0)
_SINGLE = "single"
_OUTPUT = "out.mp4"


@dataclass(frozen=True)
class _Encoded:
    size_bytes: int
    quality: Quality


def measure_segment_length(bench: Workbench) -> Result:
    """Encode one source, video only, in segments of several lengths and in one piece, by turns."""
    lengths = _QUICK_LENGTHS_S if bench.quick else _LENGTHS_S
    profile = Profile(version=1, name="default")
    with bench.folder("lengths") as folder:
        source = without_audio(demanding_source(bench, 720), folder)
        jobs = {_name(each): prepare(source.path, ("mp4",), profile, each) for each in lengths}
        first = next(iter(jobs.values())).plan
        single = folder / _OUTPUT
        argv = plain_argv(first, first.outputs[0], single)
        contestants: dict[str, Callable[[], Usage]] = {_SINGLE: lambda: measure(lambda: run_plainly(argv))}
        for name, job in jobs.items():
            contestants[name] = lambda job=job, name=name: _encode(job, folder / name)
        warm_up(first, folder)
        rounds = interleave(bench.rounds, contestants, bench.say)
        bench.say("comparing each with the source: SSIM, VMAF")
        made = {name: _judge(folder / name / _OUTPUT, source.path) for name in jobs}
        made[_SINGLE] = _judge(single, source.path)
    rows = [_row(name, job, rounds, made) for name, job in jobs.items()]
    default_s = float(Settings.model_fields["segment_s"].default)
    figures = [
        Figure(name=f"size at {row['segment_s']:g} s", value=row["size_percent"], unit="%")
        for row in rows
        if row["segment_s"] == default_s or bench.quick
    ]
    return Result(
        figures=tuple(figures),
        tables=(_table(rows, made[_SINGLE], rounds),),
        sources=(source.line,),
        notes=(
            "Each encode of a segment has one thread; the single encode has ffmpeg's own number.",
            f"Anything else took at most {most_by_others(rounds):.0%} of the cores.",
        ),
        raw={"lengths": rows, "default_s": default_s, "rounds": as_data(rounds)},
    )


def _name(length_s: float) -> str:
    return f"{length_s:g} s"


def _encode(job: Prepared, folder: Path) -> Usage:
    made = []
    usage = measure(lambda: made.append(encode_and_merge(job, folder)))
    verify(job, made[0])
    return usage


def _judge(path: Path, source: Path) -> _Encoded:
    return _Encoded(path.stat().st_size, compare(path, source))


def _row(name: str, job: Prepared, rounds: list[Round], made: dict[str, _Encoded]) -> dict[str, Any]:
    ours, single = made[name], made[_SINGLE]
    return {
        "segment_s": float(name.removesuffix(" s")),
        "segments": job.segments,
        "size_percent": 100 * (ours.size_bytes / single.size_bytes - 1),
        "ssim": ours.quality.ssim - single.quality.ssim,
        "vmaf": ours.quality.vmaf - single.quality.vmaf,
        "wall_ratio": median_ratio(rounds, name, _SINGLE),
        "cpu_ratio": median_ratio(rounds, name, _SINGLE, "cpu_s"),
        "wall_s": median_of(rounds, name),
    }


def _table(rows: list[dict[str, Any]], single: _Encoded, rounds: list[Round]) -> Table:
    columns = ("segment", "segments", "size", "SSIM", "VMAF", "wall ratio", "CPU ratio")
    cells = [
        (
            f"{row['segment_s']:g} s", row["segments"], f"{row['size_percent']:+.2f} %", f"{row['ssim']:+.5f}",
            f"{row['vmaf']:+.3f}", row["wall_ratio"], row["cpu_ratio"],
        )
        for row in rows
    ]  # fmt: skip
    caption = (
        f"Against the single encode of {single.size_bytes:,} bytes, SSIM {single.quality.ssim:.5f}, "
        f"VMAF {single.quality.vmaf:.2f}, {median_of(rounds, _SINGLE):.1f} s"
    )
    return Table(caption=caption, columns=columns, rows=tuple(cells))


def why_the_default(result: Result) -> str:
    """Say why segments are as long as they are when nobody chooses, with the figures of this result."""
    default_s: float = result.raw["default_s"]
    rows: dict[float, dict[str, Any]] = {row["segment_s"]: row for row in result.raw["lengths"]}
    if default_s not in rows:
        return f"The default is {default_s:g} s; these figures are not of that length and say nothing about it."
    costs = "; ".join(
        f"{length:g} s costs {row['size_percent']:+.1f} % in size and {row['vmaf']:+.2f} VMAF"
        for length, row in sorted(rows.items())
    )
    return (
        f"Nobody should be able to tell where a video was cut, not by its size either. A segment begins with a "
        f"keyframe that the single encode would not have made, and with a rate control that has seen nothing yet, "
        f"so every cut costs something: {costs}. Hence {default_s:g} s by default. Where a source is so short that "
        f"cores would be idle, the planner makes shorter segments, but none under 10 s; where a job should spread over "
        f"many machines, `--segment-seconds` buys more parallel work at the price in the table."
    )

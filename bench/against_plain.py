"""Whole jobs against plain ffmpeg: one rendition, two formats of one encode, VP9 and AV1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
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
from bench.pipeline import Made, Prepared, encode_and_merge, prepare, verify
from bench.plain import count_frames, plain_argv, warm_up
from bench.results import Cell, Figure, Result, Table
from bench.sources import BenchSource, demanding_source, easy_source
from bench.workbench import Workbench
from reelmill.formats import FormatName
from reelmill.profiles.profile import Profile

_PIPELINE = "pipeline"
_QUICK_SEGMENT_S = 2.0
"""The planner would not cut the short sources of the quick mode."""


@dataclass
class Duel:
    """All rounds of one source, and what came of them. `plain` names the plain runs that stand against the pipeline."""

    source: BenchSource
    prepared: Prepared
    plain: list[str]
    rounds: list[Round] = field(default_factory=list[Round])
    verifying: list[Usage] = field(default_factory=list[Usage])
    sizes_bytes: dict[str, int] = field(default_factory=dict[str, int])

    def ratio(self, what: str = "wall_s") -> float:
        return median_ratio(self.rounds, _PIPELINE, self.plain, what)

    def verify_percent(self) -> float:
        """Wall time of verification in percent of that of encode and merge."""
        return 100 * median(each.wall_s for each in self.verifying) / median_of(self.rounds, _PIPELINE)

    def rows(self) -> list[tuple[Cell, ...]]:
        rows: list[tuple[Cell, ...]] = []
        for number, taken in enumerate(self.rounds, 1):
            ours, against = taken[_PIPELINE], [taken[name] for name in self.plain]
            wall_s, cpu_s = sum(each.wall_s for each in against), sum(each.cpu_s for each in against)
            rows.append(
                (
                    self.source.name, self.prepared.segments, number, ours.wall_s, wall_s, ours.wall_s / wall_s,
                    ours.cpu_s, cpu_s, ours.cpu_s / cpu_s,
                )
            )  # fmt: skip
        return rows

    def sizes(self) -> list[tuple[Cell, ...]]:
        rows: list[tuple[Cell, ...]] = []
        for output in self.prepared.plan.outputs:
            ours, plain = (self.sizes_bytes[f"{name} {output.format}"] for name in (_PIPELINE, "plain"))
            rows.append((self.source.name, output.format, ours, plain, f"{100 * (ours / plain - 1):+.2f} %"))
        return rows

    def data(self) -> dict[str, Any]:
        return {
            "source": self.source.line, "segments": self.prepared.segments,
            "encoder_threads": self.prepared.plan.encoder_threads, "reasons": list(self.prepared.plan.reasons),
            "rounds": as_data(self.rounds), "verify_wall_s": [each.wall_s for each in self.verifying],
            "size_bytes": self.sizes_bytes,
        }  # fmt: skip


_COLUMNS = (
    "source", "segments", "round", "wall s", "plain wall s", "wall ratio", "CPU s", "plain CPU s", "CPU ratio",
)  # fmt: skip

_SIZES = ("source", "format", "bytes", "plain bytes", "difference")


def measure_one_rendition(bench: Workbench) -> Result:
    """One mp4, x264 medium CRF 23, AAC, of an easy and of a demanding source."""
    sources = [easy_source(bench), demanding_source(bench, 1080)]
    duels = [_fight(bench, source, ("mp4",), _profile()) for source in dict.fromkeys(sources)]
    figures: list[Figure] = []
    for duel in duels:
        figures += [
            Figure(name=f"wall ratio, {duel.source.name}", value=duel.ratio(), limit=1.05),
            Figure(name=f"CPU ratio, {duel.source.name}", value=duel.ratio("cpu_s"), limit=1.08),
            Figure(name=f"verification on top, {duel.source.name}", value=duel.verify_percent(), unit="%"),
        ]
    return _result(figures, duels)


def measure_two_formats(bench: Workbench) -> Result:
    """mp4 and flv of one encode, against two plain runs one after the other."""
    duel = _fight(bench, demanding_source(bench, 1080), ("mp4", "flv"), _profile())
    return _result([Figure(name="wall ratio", value=duel.ratio(), limit=0.55)], [duel])


def measure_webm(bench: Workbench) -> Result:
    """VP9 and Opus in webm with the default profile; also against ffmpeg's own speed, once, for information."""
    duel = _fight(bench, demanding_source(bench, 720), ("webm",), _profile())
    own = _run_plain(bench, duel.prepared, own_speed=True)
    bench.say(f"plain ffmpeg at its own speed: {own['webm'].wall_s:.2f} s")
    ours_s = median_of(duel.rounds, _PIPELINE)
    figures = [
        Figure(name="wall ratio", value=duel.ratio(), compare="<", limit=1),
        Figure(name="wall ratio to ffmpeg's own speed", value=ours_s / own["webm"].wall_s),
    ]
    result = _result(figures, [duel])
    return result.model_copy(update={"raw": result.raw | {"own_speed": as_data([own])}})


def measure_av1(bench: Workbench) -> Result:
    """AV1 by SVT-AV1, preset 8, in mp4."""
    profile = _profile(codec="av1", preset="8")
    duel = _fight(bench, demanding_source(bench, 720), ("mp4",), profile)
    return _result([Figure(name="wall ratio", value=duel.ratio(), compare="<", limit=1)], [duel])


def _profile(**video: str) -> Profile:
    return Profile.model_validate({"version": 1, "name": "default", "video": video})


def _fight(bench: Workbench, source: BenchSource, formats: Sequence[FormatName], profile: Profile) -> Duel:
    """Let the pipeline and plain ffmpeg take turns. Each round of the pipeline is verified, outside the measurement."""
    prepared = prepare(source.path, formats, profile, _QUICK_SEGMENT_S if bench.quick else None)
    bench.say(f"{source.line}; {prepared.segments} segments, {prepared.plan.encoder_threads} threads each")
    duel = Duel(source, prepared, [f"plain {each}" for each in formats])
    with bench.folder("duel") as folder:

        def ours() -> Usage:
            made: list[Made] = []
            usage = measure(lambda: made.append(encode_and_merge(prepared, folder / "work")))
            duel.verifying.append(measure(lambda: verify(prepared, made[0])))
            for output in prepared.plan.outputs:
                duel.sizes_bytes[f"{_PIPELINE} {output.format}"] = (folder / "work" / output.file_name).stat().st_size
            return usage

        contestants: dict[str, Callable[[], Usage]] = {_PIPELINE: ours}
        for output in prepared.plan.outputs:
            out = folder / f"plain.{output.format}"
            argv = plain_argv(prepared.plan, output, out)
            contestants[f"plain {output.format}"] = lambda argv=argv: measure(lambda: run_plainly(argv))
        warm_up(prepared.plan, folder)
        duel.rounds += interleave(bench.rounds, contestants, bench.say)
        for output in prepared.plan.outputs:
            path = folder / f"plain.{output.format}"
            duel.sizes_bytes[f"plain {output.format}"] = path.stat().st_size
            _refuse_unequal(prepared, path)
    return duel


def _run_plain(bench: Workbench, prepared: Prepared, *, own_speed: bool) -> Round:
    with bench.folder("plain") as folder:
        return {
            output.format: measure(
                lambda output=output: run_plainly(
                    plain_argv(prepared.plan, output, folder / output.file_name, own_speed=own_speed)
                )
            )
            for output in prepared.plan.outputs
        }


def _refuse_unequal(prepared: Prepared, plain: Path) -> None:
    """Raise when the plain run did other work than the pipeline: then the ratio would mean nothing."""
    planned, found = prepared.plan.video[0].frames, count_frames(plain)
    if planned != found:
        raise RuntimeError(f"plain ffmpeg made {found} frames, the plan has {planned}")


def _result(figures: Sequence[Figure], duels: Sequence[Duel]) -> Result:
    others = max(most_by_others(duel.rounds) for duel in duels)
    return Result(
        figures=tuple(figures),
        tables=(
            Table(caption="Rounds", columns=_COLUMNS, rows=tuple(row for duel in duels for row in duel.rows())),
            Table(caption="Sizes", columns=_SIZES, rows=tuple(row for duel in duels for row in duel.sizes())),
        ),
        sources=tuple(duel.source.line for duel in duels),
        notes=(f"Anything else took at most {others:.0%} of the cores.",),
        raw={"duels": [duel.data() for duel in duels]},
    )

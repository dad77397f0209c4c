"""What a benchmark found, as data: written to results.json, printed and documented from there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Cell = str | int | float | None


class Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(Saved):
    """One number that stands for a benchmark. `limit` is its target, None where there is none."""

    name: str
    value: float
    unit: str = ""
    compare: Literal["<=", "<"] = "<="
    limit: float | None = None

    @property
    def target(self) -> str:
        return "" if self.limit is None else f"{self.compare} {self.limit:g}{_spaced(self.unit)}"

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "met" if self.value < self.limit or (self.compare == "<=" and self.value == self.limit) else "missed"

    @property
    def shown(self) -> str:
        return f"{shown(self.value)}{_spaced(self.unit)}"


class Table(Saved):
    """Rows of cells under headings; floats are kept exact and rounded where they are shown."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Result(Saved):
    """One benchmark's findings. `raw` has every single measurement."""

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()
    raw: dict[str, Any]
    measured: str = ""
    took_s: float = 0.0


class Conditions(Saved):
    """Where and on what the figures were taken. Figures of different conditions are not put into one file."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    ffmpeg: str
    prefect: str
    reelmill: str


class Report(Saved):
    """All of results.json. `load_before` is the load average of one minute before the first benchmark."""

    version: Literal[1] = 1
    quick: bool
    date: str
    load_before: float
    conditions: Conditions
    benchmarks: dict[str, Result] = {}

    def kept_from(self, earlier: Report | None, order: Iterable[str]) -> Report:
        """Add the benchmarks that only `earlier` has, when it was taken under the same conditions."""
        known = dict(self.benchmarks)
        if earlier is not None and (earlier.quick, earlier.conditions) == (self.quick, self.conditions):
            known = earlier.benchmarks | known
        return self.model_copy(update={"benchmarks": {name: known[name] for name in order if name in known}})


def load_report(path: Path) -> Report:
    return Report.model_validate_json(path.read_bytes())


def save_report(report: Report, path: Path) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def markdown(table: Table) -> str:
    """Return the table in Markdown, numbers to the right."""
    numeric = [all(not isinstance(row[column], str) for row in table.rows) for column in range(len(table.columns))]
    lines = [_line(table.columns), _line("---:" if each else "---" for each in numeric)]
    return "\n".join([*lines, *(_line(shown(cell) for cell in row) for row in table.rows)])


def summary(benchmarks: dict[str, Result]) -> Table:
    """Return the table of all figures, with their targets."""
    rows = [
        (name, figure.name, figure.shown, figure.target, figure.verdict)
        for name, result in benchmarks.items()
        for figure in result.figures
    ]
    return Table(caption="Figures", columns=("benchmark", "figure", "found", "target", ""), rows=tuple(rows))


def shown(cell: Cell) -> str:
    """Print a cell: three digits after the point for small numbers, fewer for large ones."""
    if not isinstance(cell, float):
        return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell
    digits = 3 if abs(cell) < 10 else 1 if abs(cell) < 1000 else 0
    return f"{cell:,.{digits}f}"


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""


def _line(cells: Iterable[str] | Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

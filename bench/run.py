"""Measures and writes results.json; the figures go to stdout as a Markdown table, the progress to stderr.

    python -m bench.run [--quick] [--only NAME ...] [--out FILE] [--source PATH]

With `--only`, what an earlier run on the same machine found of the other benchmarks is kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.benchmarks import BENCHMARKS, Benchmark
from bench.conditions import conditions
from bench.results import Report, load_report, markdown, save_report, summary
from bench.workbench import Workbench, open_workbench

RESULTS = Path(__file__).with_name("results.json")


def main(benchmarks: Mapping[str, Benchmark] = BENCHMARKS, results: Path = RESULTS) -> int:
    """Run the benchmarks asked for; 1 when one of them failed, which does not keep the others from running."""
    asked = _arguments(benchmarks, results)
    out: Path = asked.out or (_quick_results(results) if asked.quick else results)
    names = [name for name in benchmarks if name in asked.only] if asked.only else list(benchmarks)
    with open_workbench(quick=asked.quick, given=asked.source) as bench:
        report = Report(
            quick=asked.quick, date=_now(), load_before=round(os.getloadavg()[0], 2), conditions=conditions()
        )
        earlier = load_report(out) if asked.only and out.exists() else None
        report = report.kept_from(earlier, benchmarks)
        failed: list[str] = []
        for name in names:
            try:
                report = _with(report, name, benchmarks[name], bench).kept_from(None, benchmarks)
            except Exception:  # reported, and the exit code tells; the others are still worth running
                traceback.print_exc()
                failed.append(name)
                continue
            save_report(report, out)
    ran = {name: result for name, result in report.benchmarks.items() if name in names and name not in failed}
    print(markdown(summary(ran)))
    for name, result in ran.items():
        for table in result.tables:
            print(f"\n{name}: {table.caption}\n\n{markdown(table)}")
    bench.say(f"written to {out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _with(report: Report, name: str, benchmark: Benchmark, bench: Workbench) -> Report:
    """Run one benchmark and return the report with its result."""
    bench.say(f"{name}: {benchmark.title}")
    started = time.monotonic()
    result = benchmark.run(bench)
    took_s = round(time.monotonic() - started, 1)
    known = report.benchmarks | {name: result.model_copy(update={"measured": _now(), "took_s": took_s})}
    return report.model_copy(update={"benchmarks": known})


def _arguments(benchmarks: Mapping[str, Benchmark], results: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure, and write down what was found.")
    parser.add_argument(
        "--quick", action="store_true", help="tiny inputs: proves that it runs, the figures mean nothing"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(benchmarks), help=", ".join(benchmarks))
    parser.add_argument("--out", type=Path, help=f"where to write; {results.name} beside this file, not with --quick")
    parser.add_argument("--source", type=Path, help="encode the first minute of this instead of the usual sources")
    asked = parser.parse_args()
    if asked.source is not None and not asked.source.is_file():
        parser.error(f"there is no file {asked.source}")
    if asked.out is not None and not asked.out.absolute().parent.is_dir():
        parser.error(f"there is no folder {asked.out.parent}")
    return asked


def _quick_results(results: Path) -> Path:
    """Quick figures must not be taken for real ones: they go elsewhere."""
    return Path(tempfile.gettempdir()) / f"reelmill-{results.stem}-quick.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())

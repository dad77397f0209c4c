"""Prints the page on the benchmarks, made from results.json: python -m bench.report > docs/benchmarks.md"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.benchmarks import BENCHMARKS, Benchmark
from bench.results import Report, Result, load_report, markdown, summary
from bench.run import RESULTS
from bench.segment_length import why_the_default

_HOW = """\
- Pipeline and plain ffmpeg take turns (A B A B), {rounds}; a ratio is the median of the rounds' ratios. All rounds are
  below, every single measurement is in `bench/results.json`.
- Wall time is the clock's. CPU time is `getrusage` of the measuring process and of all children it waited for, so that
  what Python does counts for the pipeline.
- The pipeline is what the flow does without Prefect: encode in as many threads as there are cores, each segment opened
  and checked, then merge. Probing and verification are not in it: plain ffmpeg does neither. Every result was verified.
- Plain ffmpeg gets the same encoder settings and audio, its own number of threads, and writes the same container.
  Both make the same number of frames, or the benchmark fails. Both run at niceness 0.
- During every run, what the rest of the machine used of the cores was measured too; the notes say how much it was."""


def main(arguments: Sequence[str]) -> int:
    """Print the page made from the results named, or from those beside this file."""
    path = Path(arguments[0]) if arguments else RESULTS
    if not path.exists():
        print(f"there is no {path}: run `python -m bench.run` first", file=sys.stderr)
        return 1
    print("\n".join(_page(load_report(path))))
    return 0


def _page(report: Report) -> Iterator[str]:
    yield "# Benchmarks\n"
    yield "Made by `python -m bench.report` from `bench/results.json`, which `make bench` writes. Don't edit.\n"
    if report.quick:
        yield "**These are figures of the quick mode: they prove that the harness runs, and mean nothing else.**\n"
    yield "Trust the ratios; the seconds are those of one machine on one day.\n"
    yield markdown(summary(report.benchmarks))
    yield from conditions_of(report)
    yield "\n## How it was measured\n"
    yield _HOW.format(rounds="two rounds" if report.quick else "three rounds")
    for name, result in report.benchmarks.items():
        yield from section(f"bench.run --only {name}", BENCHMARKS[name], result)
        if name == "segment_length":
            yield f"\n### Why the default is what it is\n\n{why_the_default(result)}"


def conditions_of(report: Report) -> Iterator[str]:
    """Yield the lines that say where and when it was measured, under a heading."""
    where = report.conditions
    yield "\n## Conditions\n"
    yield f"- {where.cpu}, {where.cores} {'core' if where.cores == 1 else 'cores'}, {where.memory_gib:g} GiB of memory"
    yield f"- {where.system}, Python {where.python}, ffmpeg {where.ffmpeg}, Prefect {where.prefect},"
    yield f"  Reelmill {where.reelmill}"
    yield f"- {report.date[:10]}; load average of the last minute before the first benchmark: {report.load_before:g}"


def section(command: str, benchmark: Benchmark, result: Result) -> Iterator[str]:
    """Yield the lines on one benchmark, under its title; `command` measures it again."""
    yield f"\n## {benchmark.title}\n"
    yield f"{benchmark.meaning}\n"
    for source in result.sources:
        yield f"- Source {source}"
    yield f"- `python -m {command}`, {result.measured[:10]}, {result.took_s / 60:.1f} minutes"
    for table in result.tables:
        yield f"\n{table.caption}:\n"
        yield markdown(table)
    if result.notes:
        yield "\n" + " ".join(result.notes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

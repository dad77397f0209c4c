"""Prints the page on scale, or its plot, made from scale.json.

python -m bench.scale_page > docs/scale.md
python -m bench.scale_page --plot > docs/images/scale.svg
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from bench.fleet_model import ASSUMPTIONS
from bench.report import conditions_of, section
from bench.results import Cell, Report, Result, Table, load_report, markdown, summary
from bench.scale import RESULTS, SCALE
from bench.step_plot import step_plot

_READS_OF_A_SEGMENT = 64
"""Ranges that a segment of 30 s reads of its source, on a machine that has read nothing yet: docs/benchmarks.md."""

_ORDER = """\
In this order, as more is asked of it:

1. **The number of runs at once.** A deployment has at most 16 of them ([`prefect.yaml`](../prefect.yaml)), some 500
   tasks. With more slots than that, the limit must be raised; the table of 1,700 videos shows what it costs not to.
   All runs at once is no answer either: what is submitted waits in one line, the merges behind everything else, and
   nobody gets anything before the end. Two or three runs for every 31 slots do both.
2. **The join.** Merge and verification of a video are one task on one machine, after the last piece. They grow with
   the length of the video and not with the slots: with 10,000 slots the longest video decides.
3. **Sound.** A track is never cut. An hour of AAC is some {sound_s:.0f} s of one core by the table of default speeds,
   whatever the number of slots; in the job above it is copied.
4. **The Prefect server.** It gets {events:.0f} events for each task, over one connection for each run, and hardly a
   request besides; logs come on top. {recorded} Events are sent behind the work: a server that falls behind shows
   less. With one run of tasks that take no time, 700 were all there after 25 to 40 s on SQLite; on PostgreSQL and
   Redis, [as compose sets them](deploy.md#many-jobs-at-once), 5,000 were there 0.3 s after the run, which waits at its
   end until it has told of all. There a server takes some 50 tasks a second, so 1,000 slots want PostgreSQL, and
   10,000 more than one server.
5. **The store.** A segment writes its piece and its record, looks once for an earlier one, and both are deleted in the
   end: {store:.0f} requests, below the prefix of its job alone. Its source is read in some {reads} ranges. AWS says
   3,500 writes and 5,500 reads a second for each prefix, and takes more when it has seen more; a job of 360 slots asks
   for {burst:,.0f} reads and writes of its prefix within the second in which most of its tasks begin, and its source is
   one object, which all of its machines read.
6. **A job's own process.** It takes some 10 ms of one core for each task, so it keeps 1,000 slots busy with tasks of
   10 s, and a job has at most 1,000 encode tasks anyway (`REELMILL_MAX_ENCODE_TASKS`).
7. **The catalog.** A job writes to it twice, whatever the number of its tasks: with 10,000 slots {jobs:.1f} jobs a
   second end at the most of it. SQLite takes one writer at a time, PostgreSQL is for more than one machine."""


def main(arguments: Sequence[str]) -> int:
    """Print the page, or with `--plot` the picture in it."""
    report = load_report(RESULTS)
    print(plot(report) if "--plot" in arguments else "\n".join(page(report)), end="" if arguments else "\n")
    return 0


def page(report: Report) -> Iterator[str]:
    """Yield the lines of the page."""
    results = report.benchmarks
    yield "# Scale\n"
    yield "Made by `python -m bench.scale_page` from `bench/scale.json`, which `make bench-scale` writes. Don't edit.\n"
    yield "How far it goes beyond the machines that were at hand. The first part is the real thing but for the encoder,"
    yield "the second all of it; the others are a model, and worth what its assumptions are worth.\n"
    yield markdown(summary(results))
    yield from conditions_of(report)
    yield "\n## What is assumed\n"
    yield markdown(Table(caption="", columns=("what", "value", "from"), rows=ASSUMPTIONS))
    yield "\nNot in the model: machines that die, a network that is shared, stores that slow down, and what the process"
    yield "of each run takes besides its tasks: it is idle most of the time, and many fit on one core."
    for name, result in results.items():
        yield from section(f"bench.scale --only {name}", SCALE[name], result)
        if name == "one_hour":
            yield f"\n{_why_it_took_so_long(report, result)}"
        if name == "peaks":
            yield "\nThe first of these, at ten o'clock:\n"
            yield "![Slots that are paid and slots at work, over the 45 minutes of one peak](images/scale.svg)"
    yield "\n## What would break first\n"
    yield markdown(_rates(results))
    yield "\n" + _ORDER.format(**_figures(results), reads=_READS_OF_A_SEGMENT)


def _why_it_took_so_long(report: Report, hour: Result) -> str:
    rounds: list[dict[str, float]] = hour.raw["rounds"]
    cpu_s, share = (median(each[name] for each in rounds) for name in ("cpu_s", "others_share"))
    cores = report.conditions.cores
    last_s = median(each["after_last_s"] for each in rounds)
    return (
        f"Besides the sleeping, a job took {cpu_s:.0f} CPU seconds, {cpu_s / cores:.0f} s if it had had all of the "
        f"{cores} cores, and something else had {share:.0%} of them. Workers of their own would look at their pieces "
        "beside one another. What stays one after another is what comes before the first encode, and the "
        f"{last_s:.0f} s after the last piece: joining the files, and reading all packets again."
    )


def _figures(results: dict[str, Result]) -> dict[str, Any]:
    hour = results["one_hour"].raw
    rounds: list[dict[str, float]] = hour["rounds"]
    begun_s = min(each["begun_s"] for each in rounds)
    recorded_s = max(each["recorded_s"] for each in rounds)
    largest = _cases(results)[-1]
    return {
        "sound_s": 3600 * 0.02,
        "events": hour["calls"]["prefect event"],
        "recorded": f"On SQLite, all of the {hour['segments']} tasks above were noted {recorded_s:.1f} s after the end "
        "of the job at the latest.",
        "store": _store(hour["calls"]),
        "burst": 3 * hour["segments"] / max(begun_s, 1),
        "jobs": largest["most_tasks_per_s"] / (largest["tasks"] / largest["jobs"]),
    }


def _rates(results: dict[str, Result]) -> Table:
    """Return what is asked of server and store in the second in which most tasks end."""
    cases, calls = _cases(results), results["one_hour"].raw["calls"]
    each_task = {
        "tasks that end": 1.0,
        "events to the Prefect server": calls["prefect event"],
        "requests to the store, all prefixes": _store(calls),
        "ranges read of sources, all objects": float(_READS_OF_A_SEGMENT),
    }
    rows: list[tuple[Cell, ...]] = [
        (what, *(case["most_tasks_per_s"] * times for case in cases)) for what, times in each_task.items()
    ]
    return Table(
        caption="",
        columns=("in a second, at most", *(f"{case['slots']:,} slots" for case in cases)),
        rows=tuple(rows),
    )


def _cases(results: dict[str, Result]) -> list[dict[str, Any]]:
    """Return the cases with unlike videos and enough runs at once: the first of each number of slots."""
    found: dict[int, dict[str, Any]] = {}
    for case in results["many_videos"].raw["cases"]:
        if case["videos"] == "unlike":
            found.setdefault(case["slots"], case)
    return list(found.values())


def _store(calls: dict[str, float]) -> float:
    return sum(count for name, count in calls.items() if name.startswith("store "))


def plot(report: Report) -> str:
    """Draw one peak: minutes, slots that are paid, slots at work."""
    samples: list[tuple[int, int, int]] = report.benchmarks["peaks"].raw["peak"]
    lines = {
        name: [(max(second, 0) / 60, float(values[number])) for second, *values in samples]
        for number, name in enumerate(("paid", "at work"))
    }
    return step_plot("One peak", "minutes after ten o'clock", "slots", lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Measures what an action takes: wall time, CPU time with its children's, and what others took of the machine."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

import psutil

from reelmill.settings import settings


@dataclass(frozen=True)
class Usage:
    """What an action took. `others_share` is the share of all cores that anything else used meanwhile."""

    wall_s: float
    cpu_s: float
    others_share: float


class _Reading(NamedTuple):
    wall_s: float
    own_cpu_s: float
    machine_busy_s: float


Round = dict[str, Usage]


def measure(action: Callable[[], object]) -> Usage:
    """Run `action` and return what it took. Its CPU time is this process's and that of every child it waited for."""
    before = _read()
    action()
    after = _read()
    wall_s, cpu_s = after.wall_s - before.wall_s, after.own_cpu_s - before.own_cpu_s
    others_s = after.machine_busy_s - before.machine_busy_s - cpu_s
    return Usage(wall_s, cpu_s, max(0.0, others_s / max(wall_s * (psutil.cpu_count() or 1), 1e-9)))


def _read() -> _Reading:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    machine = psutil.cpu_times()
    idle_s = machine.idle + getattr(machine, "iowait", 0.0)
    guest_s = getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0)  # counted in user and nice too
    return _Reading(
        time.monotonic(), sum(each.ru_utime + each.ru_stime for each in usages), sum(machine) - guest_s - idle_s
    )


def interleave(count: int, contestants: Mapping[str, Callable[[], Usage]], say: Callable[[str], None]) -> list[Round]:
    """Run every contestant once, then all again, `count` times: what disturbs the machine for a while hits them all."""
    rounds: list[Round] = []
    for number in range(1, count + 1):
        taken: Round = {}
        for name, run in contestants.items():
            taken[name] = run()
            say(f"round {number} of {count}, {name}: {taken[name].wall_s:.2f} s, CPU {taken[name].cpu_s:.2f} s")
        rounds.append(taken)
    return rounds


def median_ratio(rounds: Sequence[Round], name: str, against: str | Sequence[str], what: str = "wall_s") -> float:
    """Return the median over the rounds of `name` divided by `against`, or by the sum of several."""
    below = [against] if isinstance(against, str) else against
    return median(getattr(each[name], what) / sum(getattr(each[other], what) for other in below) for each in rounds)


def median_of(rounds: Sequence[Round], name: str, what: str = "wall_s") -> float:
    return median(getattr(each[name], what) for each in rounds)


def as_data(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """Return the rounds as JSON values."""
    return [{name: asdict(usage) for name, usage in each.items()} for each in rounds]


def most_by_others(rounds: Sequence[Round]) -> float:
    return max(usage.others_share for each in rounds for usage in each.values())


def run_plainly(argv: Sequence[str]) -> str:
    """Run a tool to its end, as a user would, and return what it printed to stderr."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr[-2000:]}\n{' '.join(argv)}")
    return done.stderr


def cores() -> int:
    """Return the number of cores the pipeline uses: its workers."""
    return settings().workers

"""What the simulations take for granted, and where it is from: `measured`, or a guess."""

from __future__ import annotations

from typing import NamedTuple

from bench.fleet import Overheads
from bench.fleet_jobs import UNLIKE, VIDEO_S, Finishing

_REQUESTS = 3
_REQUEST_S = 0.03
_CHECK_S = 0.03
_MEASURED, _GUESS = "measured, `one_hour`", "a guess"

OVERHEADS = Overheads(run_start_s=15.0, dispatch_s=0.01, task_s=_CHECK_S + _REQUESTS * _REQUEST_S)
FINISHING = Finishing(verify_s_per_s=0.0085, store_bytes_per_s=100e6, publish_s=2.0)
BOOT_S, BOOTS_PER_S, IDLE_S, LEAST_PAID_S = 60.0, 50.0, 60.0, 60.0


class Assumption(NamedTuple):
    what: str
    value: str
    origin: str


ASSUMPTIONS = (
    Assumption("Length of a video", f"{VIDEO_S // 60} minutes on average, spread {UNLIKE.length:g}", _GUESS),
    Assumption("What a video is", "1080p at 25 a second with stereo, to mp4 by x264 medium", _GUESS),
    Assumption("Segments, tracks, their order", "the real planner's, for 30 workers", "the code"),
    Assumption("Seconds of a task", "CPU seconds by the table of default speeds, one core a slot", "the code"),
    Assumption("Unlike videos, unlike segments", f"spreads {UNLIKE.video:g} and {UNLIKE.segment:g}", _GUESS),
    Assumption(
        "Stragglers", f"{UNLIKE.straggler_share:.0%} of the tasks take {UNLIKE.straggler_times:g} times as long", _GUESS
    ),
    Assumption("Failures", f"{UNLIKE.failed_share:.1%} of the tasks fail somewhere and are done again", _GUESS),
    Assumption("A run before its first task", f"{OVERHEADS.run_start_s:g} s: a container, Python, the probe", _GUESS),
    Assumption("A run's process, by task", f"{1000 * OVERHEADS.dispatch_s:g} ms, in a line", "measured: benchmarks"),
    Assumption("Looking at a piece", f"{1000 * _CHECK_S:g} ms", "a guess; 9 ms of CPU for small frames"),
    Assumption(
        "The store", f"{_REQUESTS} requests a task waits for, {1000 * _REQUEST_S:g} ms each", f"{_MEASURED}; {_GUESS}"
    ),
    Assumption(
        "Merge", "the mux by the table of default speeds; pieces and output pass at 100 MB/s", f"the code; {_GUESS}"
    ),
    Assumption(
        "Verification", f"{3600 * FINISHING.verify_s_per_s:.0f} s for an hour of video",
        "measured, `verifying`: CPU seconds, rounded up",
    ),
    Assumption("A slot that is asked for", f"is there and at work after {BOOT_S:g} s, and paid from the start", _GUESS),
    Assumption("Slots that can be asked for", f"{BOOTS_PER_S:g} a second", _GUESS),
    Assumption("A slot without a task", f"goes after {IDLE_S:g} s", _GUESS),
    Assumption("What a slot is paid for", f"seconds, {LEAST_PAID_S:g} of them at least", _GUESS),
)  # fmt: skip

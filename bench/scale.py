"""How far it scales: one video on hundreds of slots, many videos on thousands, and a day with peaks.

    python -m bench.scale [--quick] [--only NAME ...] [--out FILE]

writes scale.json, from which `bench.scale_page` makes docs/scale.md. The first is the real flow with a stand-in for the
encoder, the second the real verification; the others are simulations, the same wherever they run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.benchmarks import Benchmark
from bench.many_videos import measure_many_videos
from bench.one_hour import measure_one_hour
from bench.peaks import measure_peaks
from bench.run import main
from bench.straggling import measure_stragglers
from bench.verifying import measure_verifying

RESULTS = Path(__file__).with_name("scale.json")

SCALE: dict[str, Benchmark] = {
    "one_hour": Benchmark(
        measure_one_hour,
        "One hour in 360 segments on 360 slots",
        "The real flow with a real Prefect server. Only the encoder is a stand-in: it sleeps for the 10 s that an "
        "encoder at the speed of playing would take for 10 s of video, then puts down a piece that was encoded before. "
        "Tasks, checks of every piece, records, the merge by ffmpeg, verification and publishing are what they always "
        "are. All of it, but the sleeping, is done by the cores of this machine.",
    ),
    "verifying": Benchmark(
        measure_verifying,
        "After the last segment",
        "Verification of an mp4 of 1080p, without anything else: every packet is read and digested, and every join is "
        "decoded. It is done on one machine, however many have encoded, so it is what is waited for in the end.",
    ),
    "many_videos": Benchmark(
        measure_many_videos,
        "1,700 videos at once",
        "A simulation with the plans of the real planner, in the order in which a run submits its tasks. The ideal is "
        "the work divided by the slots, without a gap and without anything else to do.",
    ),
    "peaks": Benchmark(
        measure_peaks,
        "A day with four peaks",
        "The same model over a day: uploads come in bursts, and all should be there half an hour later. Slots are "
        "asked for when tasks wait, and go when they had nothing to do for a minute. Beside it stand fleets that are "
        "kept all day.",
    ),
    "stragglers": Benchmark(
        measure_stragglers,
        "Second tries of stragglers",
        "The same model, and a run begins a task a second time that takes a factor longer than the median of its "
        "siblings, by their costs, as `REELMILL_STRAGGLER_FACTOR` has it. Changes are to the same fleet without.",
    ),
}

if __name__ == "__main__":
    sys.exit(main(SCALE, RESULTS))

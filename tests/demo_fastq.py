"""`make demo-fastq`: statistics of a file that is made for it, in ranges, compared with those of a plain pass."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from cli.prefect_server import prefect_server
from reelmill.ranges import RangesJob
from tests.fastq_files import plainly, write_fastq

_SIZE_MIB = 48


def main() -> int:
    """Measure $SOURCE, or a file of 48 MiB, and say how both ways compare."""
    with tempfile.TemporaryDirectory() as folder:
        given = os.environ.get("SOURCE")
        source = Path(given) if given else write_fastq(Path(folder) / "reads.fastq", _SIZE_MIB << 20)
        print(f"{source}: {source.stat().st_size:,} bytes", flush=True)
        with prefect_server(verbose=False):
            from flows.measure_fastq import measure_fastq  # Prefect reads its settings when it is imported

            began = time.monotonic()
            result = measure_fastq(RangesJob(source=str(source), output=f"{folder}/out", range_mib=4))
            took_s = time.monotonic() - began
        print(f"in ranges: {result.reads:,} reads of up to {len(result.reads_at)} bases in {took_s:.1f} s", flush=True)
        began = time.monotonic()
        same = plainly(source).model_copy(update={"job_key": result.job_key}) == result
        what = "the same" if same else "NOT THE SAME"
        print(f"in one plain pass, which took {time.monotonic() - began:.1f} s: {what}")
    for at in range(0, len(result.reads_at), 50):
        shares = f"GC {result.gc_share[at]:.1%}, N {result.n_share[at]:.2%}"
        print(f"base {at + 1:>3}: {result.reads_at[at]:,} reads, quality {result.mean_quality[at]:.2f}, {shares}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

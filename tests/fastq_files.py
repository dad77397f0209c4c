"""FASTQ files for tests and the demo, and what a plain pass over one counts."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from pathlib import Path

from reelmill.fastq import FastqQuality

_PATTERN, _LONGEST = 1 << 16, 250


def write_fastq(path: Path, size_bytes: int, *, seed: int = 0) -> Path:
    """Write reads of 30 to 250 bases until the file has that size or a little more; the same for the same seed."""
    draw, names = random.Random(seed), itertools.count()
    bases = bytes(draw.choices(b"ACGTN", (30, 20, 20, 29, 1), k=_PATTERN))
    quality = bytes(33 + min(41, int(draw.triangular(0, 60, 38))) for _ in range(_PATTERN))
    with path.open("wb") as file:
        while file.tell() < size_bytes:
            for name in itertools.islice(names, 1000):
                length, at, of = draw.randint(30, _LONGEST), *(draw.randrange(_PATTERN - _LONGEST) for _ in range(2))
                file.write(b"@read.%d\n%b\n+\n%b\n" % (name, bases[at : at + length], quality[of : of + length]))
    return path


def plainly(path: Path) -> FastqQuality:
    """Count a file of sound records in one pass, character by character, with nothing of the code under test."""
    reads, there, quality, gc, n = 0, *(defaultdict[int, int](int) for _ in range(4))
    lines = path.read_bytes().split(b"\n")
    for at in range(0, len(lines) - 1, 4):
        reads += 1
        for position, (base, mark) in enumerate(
            zip(lines[at + 1].rstrip(b"\r"), lines[at + 3].rstrip(b"\r"), strict=True)
        ):
            there[position] += 1
            quality[position] += mark - ord("!")
            gc[position] += chr(base) in "GgCc"
            n[position] += chr(base) in "Nn"
    means = (tuple(each[position] / there[position] for position in range(len(there))) for each in (quality, gc, n))
    mean_quality, gc_share, n_share = means
    return FastqQuality(
        job_key="", reads=reads, reads_at=tuple(there[each] for each in range(len(there))), mean_quality=mean_quality,
        gc_share=gc_share, n_share=n_share,
    )  # fmt: skip

"""Where a benchmark works: a temporary folder, its sizes in full or quick mode, and how it tells its progress."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reelmill.settings import settings


@dataclass(frozen=True)
class Workbench:
    """`root` is removed when all benchmarks are done; `given` is the source the user named."""

    root: Path
    quick: bool
    given: Path | None
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> int:
        """Length of the sources."""
        return 4 if self.quick else 60

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 3

    def height(self, full: int) -> int:
        """Height of a made source that has `full` lines when it counts."""
        return full // 4 if self.quick else full

    @contextmanager
    def folder(self, name: str) -> Generator[Path]:
        """Give an empty folder for as long as the block runs."""
        path = self.root / name
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def say(self, line: str) -> None:
        """Tell the progress, on stderr."""
        print(f"[{time.monotonic() - self.started:6.0f} s] {line}", file=sys.stderr, flush=True)


@contextmanager
def open_workbench(*, quick: bool, given: Path | None) -> Generator[Workbench]:
    """Give a workbench, with settings of its own: no niceness, which would count where the plain run has none."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("REELMILL_")}
    with tempfile.TemporaryDirectory(prefix="reelmill-bench-", ignore_cleanup_errors=True) as root:
        for name in kept.keys() - {"REELMILL_FFMPEG", "REELMILL_TEST_MEDIA"}:
            del os.environ[name]
        os.environ |= {"REELMILL_NICENESS": "0"}
        os.environ |= {f"REELMILL_{each.upper()}_DIR": str(Path(root) / each) for each in ("work", "scratch")}
        settings.cache_clear()
        try:
            yield Workbench(Path(root), quick, given)
        finally:
            for name in [name for name in os.environ if name.startswith("REELMILL_")]:
                del os.environ[name]
            os.environ |= kept
            settings.cache_clear()

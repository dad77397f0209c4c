"""The page on scale is made of what was measured, and `make bench-scale` runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results import load_report
from bench.scale import RESULTS, SCALE
from bench.scale_page import page, plot

ROOT = Path(__file__).parents[2]


def test_the_page_and_its_plot_are_those_of_the_results():
    report = load_report(RESULTS)
    assert (ROOT / "docs" / "scale.md").read_text() == "\n".join(page(report)) + "\n", "run `make bench-scale`"
    assert (ROOT / "docs" / "images" / "scale.svg").read_text() == plot(report)


def test_the_figures_are_no_quick_ones_and_nothing_is_missing():
    report = load_report(RESULTS)
    assert not report.quick
    assert list(report.benchmarks) == list(SCALE)


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_everything_runs_in_the_quick_mode(tmp_path: Path):
    target = re.search(r"^bench-scale:.*\n\t\$\(BIN\)/python (-m bench\.scale) ", (ROOT / "Makefile").read_text(), re.M)
    assert target is not None
    command = [sys.executable, *target[1].split(), "--quick", "--out", str(tmp_path / "scale.json")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = load_report(tmp_path / "scale.json")
    assert report.quick
    assert list(report.benchmarks) == list(SCALE)
    assert "\n".join(page(report)).startswith("# Scale\n")

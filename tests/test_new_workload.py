"""The page about new kinds of work shows the code that runs, and that code is as short as the page says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = (ROOT / "reelmill/fastq.py", ROOT / "flows/measure_fastq.py")
PAGE = (ROOT / "docs/new-workload.md").read_text()
SHOWN = [each for each in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S) if "def " in each]


def lines_of_code(source: str) -> int:
    """Return the number of lines but blank ones, comments and docstrings; imports count."""
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(source.splitlines(), 1)
    return sum(
        number not in texts and not line.strip().startswith("#") and bool(line.strip()) for number, line in lines
    )


def test_second_kind_of_work_has_less_than_60_lines_of_its_own():
    assert sum(lines_of_code(path.read_text()) for path in OWN) < 60


def test_lines_are_counted():
    assert (
        lines_of_code(
            '"""Of a\nmodule."""\n\nimport re\n\n# why\ndef one():\n    """It."""\n    return (\n        1)\n'
        )
        == 4
    )


@pytest.mark.parametrize("shown", SHOWN, ids=[re.findall(r"def (\w+)", each)[0] for each in SHOWN])
def test_code_on_the_page_is_the_code_that_runs(shown: str):
    assert any(shown in path.read_text() for path in OWN)


def test_page_shows_the_flow_and_each_of_its_parts():
    shown = {name for each in SHOWN for name in re.findall(r"def (\w+)", each)}
    assert shown == {"measure_fastq", "begins_record", "count_range", "combine_counts"}

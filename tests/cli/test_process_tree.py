"""What a service ends with its parts: all that they left, and nothing of those that live on."""

from __future__ import annotations

import subprocess
import sys

TOOLS_OF_A_PART_THAT_LIVES = """
import subprocess, sys
from pathlib import Path
from cli.process_tree import adopt_orphans, end_descendants
adopt_orphans()
tools = "import subprocess\\nwhile True: print(subprocess.run(['sleep', '0.02']).returncode, flush=True)"
living = subprocess.Popen([sys.executable, "-c", tools], stdout=subprocess.PIPE, text=True)
leaves = "import subprocess; print(subprocess.Popen(['sleep', '100'], stdout=-3, stderr=-3).pid)"
orphans = [int(subprocess.run([sys.executable, "-c", leaves], capture_output=True).stdout) for _ in range(2)]
living.stdout.readline()
for _ in range(100):
    assert end_descendants(spare={living.pid}, within_s=5)
assert not any(Path(f"/proc/{pid}").exists() for pid in orphans)
assert end_descendants(within_s=5)
print(sorted(set(living.stdout.read().split()) | {"0"}))
"""


def test_what_a_living_part_starts_meanwhile_is_left_alone():
    run = subprocess.run(
        [sys.executable, "-c", TOOLS_OF_A_PART_THAT_LIVES], check=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "['0']\n"

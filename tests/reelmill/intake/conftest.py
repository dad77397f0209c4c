"""A folder that is an inbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Set


@pytest.fixture
def inbox(tmp_path: Path, set_to: Set) -> Path:
    """A folder that is the inbox, with an output root beside it. Files in it count at once."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    set_to(intake_inbox=folder, output_root=tmp_path / "out", intake_settle_s=0, intake_watch_s=0.05)
    return folder

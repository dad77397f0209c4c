"""Settings by name, and a folder that is an inbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reelmill.settings import settings

Set = Callable[..., None]


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets settings by name, for the test."""

    def change(**wanted: object) -> None:
        for name, value in wanted.items():
            monkeypatch.setenv(f"REELMILL_{name.upper()}", str(value))
        settings.cache_clear()

    return change


@pytest.fixture
def inbox(tmp_path: Path, set_to: Set) -> Path:
    """A folder that is the inbox, with an output root beside it. Files in it count at once."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    set_to(intake_inbox=folder, output_root=tmp_path / "out", intake_settle_s=0, intake_watch_s=0.05)
    return folder

"""A clip that jobs may ask for, and a folder to keep them in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.live_jobs import make_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=1, size="64x64")


@pytest.fixture
def root(tmp_path: Path, clip: Path) -> Path:
    """A folder with `clip.mp4` in it, beside the file `secret.mp4`."""
    folder = tmp_path / "root"
    folder.mkdir()
    shutil.copy(clip, folder / "clip.mp4")
    shutil.copy(clip, tmp_path / "secret.mp4")
    return folder

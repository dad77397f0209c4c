"""Attempts at publishing, as the flow makes them, of outputs that are made of nothing."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

from reelmill.manifest import Manifest, OutputReport, SourceReport
from reelmill.publishing import draft_for, publish, refuse_taken
from reelmill.storage.opening import open_store
from reelmill.storage.store import Draft, Staged
from reelmill.workspace import Workspace

KEY, OTHER_KEY = "a" * 40, "b" * 40
ATTEMPT = "1" * 32
MADE = {"clip.mp4": b"an mp4", "clip.flv": b"an flv"}

Drafting = AbstractContextManager[Draft]


def manifest_of(files: dict[str, bytes], key: str = KEY, attempt: str = ATTEMPT) -> Manifest:
    source = SourceReport(
        file_name="clip.mkv", identity="i", size_bytes=1, format="matroska", duration_s=1, frames=25,
        frames_known_from="packets",
    )  # fmt: skip
    outputs = tuple(
        OutputReport(
            format=name.rpartition(".")[2], file_name=name, size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(), duration_s=1, frames=25, streams=(), checks=(), left_out=(),
        )
        for name, content in files.items()
    )  # fmt: skip
    return Manifest(
        job_key=key, attempt=attempt, reelmill_version="0", ffmpeg_version="0", profile="default",
        created="2026-01-01T00:00:00+00:00", wall_s=1, source=source, outputs=outputs, renditions=(), reasons=(),
        warnings=(),
    )  # fmt: skip


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def stage(draft: Draft, files: dict[str, bytes]) -> list[Staged]:
    write(draft.folder, files)
    return [draft.stage(name, hashlib.sha256(content).hexdigest()) for name, content in files.items()]


def draft_in(output: Path, key: str = KEY, attempt: str = ATTEMPT, files: dict[str, bytes] = MADE) -> Drafting:
    workspace = Workspace(open_store(output.parent / "work"), output.parent / "work" / "pieces")
    return draft_for(output, list(files), workspace, key, attempt)


def run_attempt(
    output: Path, files: dict[str, bytes] = MADE, *, key: str = KEY, attempt: str = ATTEMPT, replace: bool = False
) -> Manifest:
    """Do as the flow does, for outputs that are made of nothing."""
    manifest = manifest_of(files, key, attempt)
    refuse_taken(output, key, list(files), replace=replace)
    with draft_in(output, key, attempt, files) as draft:
        publish(manifest, stage(draft, files), draft, output, replace=replace)
    return manifest

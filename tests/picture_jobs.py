"""Pictures without Prefect: probed, planned, taken and made in this process; and what can be read from their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from reelmill.formats import FormatName
from reelmill.manifest import PictureReport
from reelmill.media.frame_index import FrameIndex
from reelmill.pictures.making import make_pictures
from reelmill.pictures.stills import take_stills
from reelmill.planning.plan import Plan
from reelmill.profiles.profile import Profile
from reelmill.records import StillsRecord
from reelmill.workspace import Workspace
from tests.ffmpeg_tool import run_ffmpeg
from tests.pipeline import prepare, workspace_in

RATE = 25
_BITS = 12
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Taken:
    """The pictures of one source, in `folder`; reports are by kind."""

    folder: Path
    plan: Plan
    index: FrameIndex | None
    records: list[StillsRecord]
    reports: dict[str, PictureReport]
    workspace: Workspace

    def paths(self, kind: str) -> list[Path]:
        """The pictures of a kind, in order."""
        report = self.reports[kind]
        if not report.files:
            return [self.folder / report.file_name]
        names = [each.file_name for each in report.files if not each.file_name.endswith(".vtt")]
        return [self.folder / report.file_name / name for name in names]


def pictures_profile(**pictures: dict[str, Any]) -> Profile:
    return Profile.model_validate({"version": 1, "name": "test", "pictures": pictures})


def take_pictures(
    path: Path, folder: Path, formats: tuple[FormatName, ...] = ("mp4",), **pictures: dict[str, Any]
) -> Taken:
    """Take the pictures that a profile with these `pictures` would get of a source."""
    prepared = prepare(path, folder, formats, profile=pictures_profile(**pictures))
    plan, workspace = prepared.plan, workspace_in(folder / "work")
    if plan.pictures is None:
        return Taken(folder, plan, prepared.index, [], {}, workspace)
    records = [
        take_stills(plan.source, plan.pictures, each, workspace=workspace, attempt="test")
        for each in plan.pictures.stills
    ]
    reports = {
        each.kind: make_pictures(
            each, records, workspace=workspace, out=folder / each.file_name, attempt="test"
        )
        for each in plan.pictures.sets
    }  # fmt: skip
    return Taken(folder, plan, prepared.index, records, reports, workspace)


def numbered_clip(path: Path, *options: str, seconds: int = 4, size: str = "192x96", gop: int = 25) -> Path:
    """Write a clip whose every frame bears its own number, as a row of black and white squares; return `path`.

    `options` come last, before the name: filters must be given there together with `NUMBERED`.
    """
    chosen = options if "-vf" in options else ("-vf", NUMBERED, *options)
    run_ffmpeg(
        "-f", "lavfi", "-i", f"color=c=gray:size={size}:rate={RATE}:duration={seconds}", *chosen,
        *([] if "-c:v" in chosen else ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "10", "-bf", "2"]),
        "-g", str(gop), path,
    )  # fmt: skip
    return path


_BIT = f"mod(floor(N/pow(2,floor(X*{_BITS}/W))),2)"
NUMBERED = f"geq=lum='16+219*{_BIT}':cb=128:cr=128"
"""A filter that writes a frame's number into it: twelve upright bars, the lowest bit at the left, white for 1."""


def pixels(path: Path) -> list[Pixels]:
    """Every picture of a file, as rows of RGB; a WebP that moves is not read."""
    if path.suffix == ".webp":
        return [_decoded("webp", path)]
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)]


def _decoded(codec: str, path: Path) -> Pixels:
    decoder: Any = av.CodecContext.create(codec, "r")
    frame = [*decoder.decode(av.Packet(path.read_bytes())), *decoder.decode(None)][0]
    return frame.to_ndarray(format="rgb24")


def number_in(picture: Pixels) -> int:
    """The number of the frame that a picture shows."""
    height, width, _ = picture.shape
    row = picture[height // 2, :, 1]
    bits = [int(row[int((bit + 0.5) * width / _BITS)] > 127) for bit in range(_BITS)]
    return sum(bit << place for place, bit in enumerate(bits))


def shown_at(index: FrameIndex, start_s: Fraction, time_s: float) -> int:
    """Which frame of the source, counted from 0, a player shows at a time: the last that is due by then."""
    due = [n for n, pts in enumerate(index.times) if pts * index.time_base - start_s <= time_s + 1e-6]
    return due[-1] if due else 0

"""Makes one output of pictures from the stills, opens it again, and believes only what is found there."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import ceil, log2
from pathlib import Path

from reelmill.encoding.running import run_ffmpeg
from reelmill.errors import VerifyFailed
from reelmill.manifest import OutputFile, PictureReport
from reelmill.media.tool import ffmpeg_path
from reelmill.pictures.commands import GAUGE_SIZE, gauge_argv, pictures_argv, preview_argv
from reelmill.pictures.reading import picture_size
from reelmill.pictures.stills import unpack_stills
from reelmill.pictures.webvtt import sheet_name, sprite_cues
from reelmill.planning.picture_plan import CUES_FILE, PictureSet
from reelmill.records import StillsRecord
from reelmill.storage.digests import file_digest
from reelmill.workspace import Workspace, scratch_folder

_LEVELS_OF_A_STEP = 8


def make_pictures(
    pictures: PictureSet, stills: Iterable[StillsRecord], *, workspace: Workspace, out: Path, attempt: str
) -> PictureReport:
    """Write the set to `out`, a file or a folder, from what is in the workspace, and return its report.

    Raises ToolFailed, StoreFailed, and VerifyFailed when a picture is missing or not of the size it should be.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    if pictures.is_folder:
        out.mkdir()
    with scratch_folder() as folder:
        numbered = unpack_stills(stills, pictures.kind, pictures.frames, workspace, folder)
        chosen = _choose(pictures, numbered, attempt) if pictures.chosen else 0
        if pictures.kind == "poster":
            numbered = _only(numbered, chosen, folder)
        argv = preview_argv if pictures.kind == "preview" else pictures_argv
        run_ffmpeg(argv(ffmpeg_path(), pictures, numbered, out), attempt=attempt, work=pictures.kind)
    if pictures.kind == "sprites":
        (out / CUES_FILE).write_text(sprite_cues(pictures), encoding="utf-8")
    width, height = _verify(pictures, out)
    times_s = [pictures.times_s[chosen]] if pictures.kind == "poster" else pictures.times_s
    return _report(pictures, out, width, height, [round(float(each), 6) for each in times_s])


def _choose(pictures: PictureSet, numbered: Path, attempt: str) -> int:
    """Return which candidate tells most: the one whose brightness has the greatest entropy. A black one has none."""
    printed = run_ffmpeg(
        gauge_argv(ffmpeg_path(), numbered), attempt=attempt, work=pictures.kind, capture_stdout=True
    ).stdout
    size = GAUGE_SIZE[0] * GAUGE_SIZE[1]
    gauges = [printed[start : start + size] for start in range(0, len(printed), size)]
    if len(gauges) != len(pictures.frames):
        raise VerifyFailed(f"{pictures.file_name}: {len(gauges)} of {len(pictures.frames)} candidates can be read")
    return max(range(len(gauges)), key=lambda number: _entropy(gauges[number]))


def _entropy(brightness: bytes) -> float:
    counts = Counter(level // _LEVELS_OF_A_STEP for level in brightness).values()
    return -sum(count / len(brightness) * log2(count / len(brightness)) for count in counts)


def _only(numbered: Path, chosen: int, folder: Path) -> Path:
    alone = folder / "alone"
    alone.mkdir()
    (numbered / f"{chosen + 1:05d}.png").rename(alone / "00001.png")
    return alone


def _verify(pictures: PictureSet, out: Path) -> tuple[int, int]:
    """Open every file, and return the width and the height of the first."""
    files = [out / name for name in _picture_names(pictures)] if pictures.is_folder else [out]
    expected = pictures.width * pictures.columns, pictures.height and pictures.height * pictures.rows
    sizes = [picture_size(path, pictures.format, moving=pictures.kind == "preview") for path in files]
    wrong = next((size for size in sizes if pictures.height and size != expected), None)
    if wrong is not None:
        raise VerifyFailed(f"{pictures.file_name}: a picture of {wrong[0]} x {wrong[1]}, not {expected}")
    there = {each.name for each in out.iterdir()} if pictures.is_folder else set[str]()
    if there - {CUES_FILE} != ({each.name for each in files} if pictures.is_folder else set()):
        raise VerifyFailed(f"{pictures.file_name}: {len(there)} files where {len(files)} were planned")
    return sizes[0]


def _picture_names(pictures: PictureSet) -> Iterator[str]:
    count = ceil(len(pictures.frames) / (pictures.columns * pictures.rows))
    yield from (sheet_name(pictures, number) for number in range(1, count + 1))


def _report(pictures: PictureSet, out: Path, width: int, height: int, times_s: Sequence[float]) -> PictureReport:
    names = [out]
    if pictures.is_folder:
        names = [out / name for name in _picture_names(pictures)]
        names += [out / CUES_FILE] if pictures.kind == "sprites" else []
    files = (
        tuple(
            OutputFile(file_name=path.name, size_bytes=path.stat().st_size, sha256=file_digest(path)) for path in names
        )
        if pictures.is_folder
        else ()
    )
    listing = "".join(f"{each.sha256}  {each.file_name}\n" for each in files)
    return PictureReport(
        kind=pictures.kind, file_name=pictures.file_name,
        size_bytes=sum(path.stat().st_size for path in names),
        sha256=hashlib.sha256(listing.encode()).hexdigest() if pictures.is_folder else file_digest(out),
        width=width, height=height, columns=pictures.columns, rows=pictures.rows,
        times_s=tuple(times_s), files=files,
    )  # fmt: skip

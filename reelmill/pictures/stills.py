"""Takes stills from the source: the frames that pictures are made of, in one file for each task."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from reelmill import __version__
from reelmill.encoding.running import run_ffmpeg
from reelmill.errors import SegmentInexact
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_path, ffmpeg_version
from reelmill.pictures.commands import stills_argv
from reelmill.planning.picture_plan import PictureKind, PictureSet, PicturesPlan, Span, Stills
from reelmill.records import StillsRecord
from reelmill.settings import settings
from reelmill.storage.digests import content_key, file_digest
from reelmill.storage.pinning import opened
from reelmill.storage.readable import Readable
from reelmill.workspace import Workspace, scratch_folder


def stills_key(source: Source, pictures: PicturesPlan, stills: Stills) -> str:
    """Name stills by what is in them: content, frames, sizes, and the code and the ffmpeg that take them."""
    sizes = [f"{each.kind} {each.width}x{each.height}" for each in pictures.sets if each.kind in stills.kinds]
    wanted = stills.model_dump_json(exclude={"number", "cost"})
    look = pictures.look.model_dump_json()
    return content_key("stills", __version__, source.identity, look, wanted, *sizes, ffmpeg_version())


def take_stills(
    source: Source, pictures: PicturesPlan, stills: Stills, *, workspace: Workspace, attempt: str
) -> StillsRecord:
    """Take the stills, unless an earlier run did, and return their record.

    Raises SegmentInexact when the decoder doesn't yield the frames that are wanted, ToolFailed, SourceChanged,
    StoreFailed.
    """
    key = stills_key(source, pictures, stills)
    kept = workspace.kept(StillsRecord, key)
    if kept is not None:
        return kept
    cpu_s = wall_s = 0.0
    with workspace.unfinished() as out, opened(source.pinned) as media:
        with tarfile.open(out, "w") as archive:
            for span in stills.spans:
                spent = _take_span(source, media, pictures, span, archive, attempt)
                cpu_s, wall_s = cpu_s + spent[0], wall_s + spent[1]
        sha256 = file_digest(out)
        record = StillsRecord(
            key=key, file_name=f"{key}-{sha256[:16]}.tar", size_bytes=out.stat().st_size, sha256=sha256,
            cpu_s=cpu_s, wall_s=wall_s, number=stills.number,
        )  # fmt: skip
        return workspace.keep(out, record)


def _take_span(
    source: Source, media: Readable, pictures: PicturesPlan, span: Span, archive: tarfile.TarFile, attempt: str
) -> tuple[float, float]:
    """Put the stills of one run into the archive, and return the CPU and wall seconds it took.

    Where the frames after a keyframe are not those of the index, decoding starts again at the start of the file.
    """
    sets = [pictures.set_of(kind) for kind in span.frames]
    entries = [span] if span.entry_s is None else [span, span.model_copy(update={"entry_s": None})]
    cpu_s = wall_s = 0.0
    for tried in entries:
        with scratch_folder() as folder:
            argv = stills_argv(
                ffmpeg_path(), source, media, pictures.look, tried, sets,
                max_pixels=settings().max_pixels, folder=folder,
            )  # fmt: skip
            run = run_ffmpeg(argv, attempt=attempt, work="stills")
            cpu_s, wall_s = cpu_s + run.cpu_s, wall_s + run.wall_s
            if all(_is_complete(folder, each, span) for each in sets):
                for each in sets:
                    for number, frame in enumerate(span.frames[each.kind], start=1):
                        archive.add(_still(folder, each, number), f"{each.kind}/{frame}.png")
                return cpu_s, wall_s
    raise SegmentInexact(f"pictures of {source.name}: not every frame of the plan can be decoded")


def _is_complete(folder: Path, pictures: PictureSet, span: Span) -> bool:
    """Whether there are as many stills as frames. Each bears the time of one of them, so they are the same ones."""
    count = len(span.frames[pictures.kind])
    return _still(folder, pictures, count).exists() and not _still(folder, pictures, count + 1).exists()


def _still(folder: Path, pictures: PictureSet, number: int) -> Path:
    return folder / f"{pictures.kind}-{number:05d}.png"


def unpack_stills(
    records: Iterable[StillsRecord], kind: PictureKind, frames: Sequence[int], workspace: Workspace, folder: Path
) -> Path:
    """Return a folder inside `folder` with `00001.png` and on: the stills of a set, in the order of `frames`.

    Raises StoreFailed where one is gone.
    """
    stills, numbered = folder / "stills", folder / "numbered"
    stills.mkdir()
    numbered.mkdir()
    for record in records:
        with tarfile.open(workspace.fetch(record, folder)) as archive:
            for member in archive:
                of_kind, _, member.name = member.name.partition("/")
                if of_kind == kind:
                    archive.extract(member, stills, filter="data")
    for number, frame in enumerate(frames, start=1):
        (numbered / f"{number:05d}.png").symlink_to(stills / f"{frame}.png")
    return numbered

"""Whether the destination has the source's content already: by what the stores say, and by reading files of ours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

from isal import isal_zlib

from reelmill.settings import settings
from reelmill.storage.digests import crc32_text
from reelmill.storage.file_notes import is_noted
from reelmill.storage.location import Location, S3Location
from reelmill.storage.s3_objects import ObjectFacts, look_at
from reelmill.transfer.checksums import etag_of
from reelmill.transfer.ends import STAMP, SourceFile, file_md5, parts_of
from reelmill.transfer.parts import plan_parts, usual_part_bytes

_BLOCK_BYTES = 1 << 20
Content = Literal["same", "another", "unknown"]
"""What the destination has. `unknown`: something of that size, and nothing that could be compared."""


def content_there(source: SourceFile, destination: Location) -> Content | None:
    """Return which content is at the destination, compared with the source's; None when nothing is there."""
    if isinstance(destination, Path):
        if not destination.exists():
            return None
        if destination.is_file() and is_noted(destination, source.identity):
            return "same"
        return content_of_file(source, destination)
    found = look_at(destination)
    if found is None:
        return None
    if found.size_bytes != source.size_bytes:
        return "another"
    if found.metadata.get(STAMP) == source.identity:
        return "another" if _contradicts(source, found) else "same"
    if source.facts is not None:
        return _compared(source.facts, found)
    assert isinstance(source.location, Path)
    return _file_compared(source.location, destination, found)


def content_of_file(source: SourceFile, file: Path) -> Content:
    """Read a file that is there, and return which content it has, compared with the object's."""
    assert isinstance(source.location, S3Location)
    assert source.facts is not None
    if not file.is_file() or source.size_bytes != file.stat().st_size:
        return "another"
    return _file_compared(file, source.location, source.facts)


def _contradicts(source: SourceFile, copy: ObjectFacts) -> bool:
    """Whether both are known by their MD5s, and these differ: what bears our stamp is not what was sent."""
    return source.facts is not None and _md5s_compared(source.facts, copy) == "another"


def _compared(one: ObjectFacts, other: ObjectFacts) -> Content:
    """Compare two objects of one size by what their stores say."""
    if one.crc32 is not None and other.crc32 is not None:
        return "same" if one.crc32 == other.crc32 else "another"
    return _md5s_compared(one, other)


def _md5s_compared(one: ObjectFacts, other: ObjectFacts) -> Content:
    if not (one.has_md5 and other.has_md5):
        return "unknown"
    if one.etag == other.etag:
        return "same"
    return "unknown" if one.parts or other.parts else "another"


def _file_compared(path: Path, where: S3Location, facts: ObjectFacts) -> Content:
    """Compare a file with an object of its size: by the CRC-32 of that, or by its ETag for any usual size of parts."""
    if facts.crc32 is not None:
        return "same" if _file_crc32(path) == facts.crc32 else "another"
    if not facts.has_md5:
        return "unknown"
    if facts.parts is None:
        return "same" if _has_etag(path, facts, max(facts.size_bytes, 1)) else "another"
    part_bytes, is_guess = parts_of(where, facts)
    if part_bytes is not None and not is_guess:
        return "same" if _has_etag(path, facts, part_bytes) else "another"
    tried = usual_part_bytes(facts.size_bytes, facts.parts) if is_guess else []
    return "same" if any(_has_etag(path, facts, each) for each in tried) else "unknown"


def _has_etag(path: Path, facts: ObjectFacts, part_bytes: int) -> bool:
    parts = plan_parts(facts.size_bytes, part_bytes)
    with ThreadPoolExecutor(settings().workers) as pool:
        md5s = list(pool.map(partial(file_md5, path), parts))
    return etag_of(md5s, of_parts=facts.parts is not None) == facts.etag.strip('"')


def _file_crc32(path: Path) -> str:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            crc = isal_zlib.crc32(block, crc)
    return crc32_text(crc)

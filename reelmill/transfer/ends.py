"""Looks at the source of a transfer: what it is, and what of it a copy gets."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reelmill.errors import SourceNotFound, StoreAccessDenied, StoreFailed
from reelmill.storage.location import Location, S3Location
from reelmill.storage.pinning import pin
from reelmill.storage.s3_client import reads_twice
from reelmill.storage.s3_objects import ObjectFacts, first_part_bytes, look_at, tags_of
from reelmill.transfer.parts import Part, count_parts, usual_part_bytes

STAMP = "reelmill-source"
"""Name of the metadata that says of which content a copy is: its ETag need not be the source's."""
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """The source as it is now. `identity` names the content; `version` changes whenever it may have."""

    location: Location
    size_bytes: int
    identity: str
    version: str
    facts: ObjectFacts | None
    """None for a file of this machine."""
    part_bytes: int | None = None
    """Size of the parts that it was uploaded in, where that is known, or there is only one usual size."""
    is_guess: bool = False

    @property
    def needs_second_look(self) -> bool:
        """Whether what is read of it may change on the way without anybody knowing."""
        return isinstance(self.location, S3Location) and reads_twice(self.location.store)

    def is_provable(self, part_bytes: int) -> bool:
        """Whether a copy in parts of this size can be compared with a digest that the source's own store keeps."""
        if self.facts is None:
            return False
        parts = count_parts(self.size_bytes, part_bytes)
        by_etag = parts == 1 if self.facts.parts is None else part_bytes == self.part_bytes
        return (self.facts.has_md5 and by_etag) or self.facts.crc32 is not None


def look_at_source(location: Location) -> SourceFile:
    """Return what the source is now. SourceNotFound, BucketNotFound, StoreAccessDenied, StoreFailed."""
    if not isinstance(location, S3Location):
        pinned = pin(location)
        assert isinstance(pinned.location, Path)
        return SourceFile(pinned.location, pinned.size_bytes, pinned.identity, pinned.version, None)
    facts = look_at(location)
    if facts is None:
        raise SourceNotFound(f"source: there is no object {location}")
    identity = hashlib.sha256(f"{facts.size_bytes} {facts.etag}".encode()).hexdigest()
    source = SourceFile(location, facts.size_bytes, identity, f"{facts.etag} {facts.version}".strip(), facts)
    part_bytes, is_guess = parts_of(location, facts)
    return replace(source, part_bytes=part_bytes, is_guess=is_guess)


def parts_of(location: S3Location, facts: ObjectFacts) -> tuple[int | None, bool]:
    """Return the size of the parts an object has, and whether that is only the likely one."""
    if facts.parts is None:
        return None, False
    first = facts.size_bytes if facts.parts == 1 else first_part_bytes(location, facts)
    if first:
        return (first, False) if count_parts(facts.size_bytes, first) == facts.parts else (None, False)
    usual = usual_part_bytes(facts.size_bytes, facts.parts)
    return usual[0] if len(usual) == 1 else None, True


def file_md5(path: Path, part: Part) -> str:
    """Return the MD5 of a range of a file, in hex."""
    digest, left = hashlib.md5(), part.size_bytes
    with path.open("rb") as file:
        file.seek(part.start)
        while left and (block := file.read(min(_BLOCK_BYTES, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def kept_of(source: SourceFile) -> tuple[dict[str, Any], dict[str, str], str, str | None]:
    """Return the headers, metadata and tags that a copy gets, and a warning where the tags can't be read."""
    if source.facts is None:
        kind = mimetypes.guess_type(source.location.name)[0]
        return ({"ContentType": kind} if kind else {}), {STAMP: source.identity}, "", None
    return source.facts.headers, source.facts.metadata | {STAMP: source.identity}, *tags_kept(source)


def tags_kept(source: SourceFile) -> tuple[str, str | None]:
    """Return the tags that a copy gets, and a warning where they can't be read."""
    if source.facts is None:
        return "", None
    assert isinstance(source.location, S3Location)
    try:
        return tags_of(source.location, source.facts), None
    except (StoreAccessDenied, StoreFailed) as error:
        return "", f"the copy of {source.location} has no tags: {error}"

"""Fills the catalog from manifests: they are what counts, and the catalog can always be made of them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reelmill.catalog.writing import record_result
from reelmill.manifest import FILE_NAME, read_manifest
from reelmill.storage.location import Location
from reelmill.storage.opening import open_store


def rebuild(place: Location) -> Iterator[tuple[Location, bool]]:
    """Read every manifest in a folder or prefix and below, and note what it says.

    Yields where each is, and whether it could be read as one. Raises CatalogFailed, StoreFailed, JobRejected.
    """
    for key in sorted(each.key for each in open_store(place).list()):
        folder, _, name = f"/{key}".rpartition("/")
        if name != FILE_NAME:
            continue
        location = place / folder.removeprefix("/") if folder else place
        manifest = read_manifest(open_store(location))
        if manifest is not None:
            record_result(manifest, location.absolute() if isinstance(location, Path) else location)
        yield location, manifest is not None

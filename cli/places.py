"""Where the results are that a command looks through."""

from __future__ import annotations

from pathlib import Path

from reelmill.errors import SourceNotFound
from reelmill.settings import settings
from reelmill.storage.location import Location, parse_location


def result_places(outputs: tuple[str, ...]) -> list[Location]:
    """Return the folders and prefixes that were named, or the common root of outputs, if one is set.

    Raises SourceNotFound for a folder that was named and isn't there; the root may come with the first job.
    """
    root = settings().output_root
    places = [parse_location(each, "outputs", root) for each in outputs or filter(None, [root])]
    for place in places if outputs else ():
        if isinstance(place, Path) and not place.is_dir():
            raise SourceNotFound(f"outputs: there is no folder {place}")
    return places

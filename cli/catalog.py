"""`reelmill catalog`: fills the catalog again from the manifests of finished jobs."""

from __future__ import annotations

import sys

from cyclopts import App

from cli.places import result_places
from reelmill.errors import InvalidParameter

app = App(name="catalog", help="Keep the catalog of jobs.")


@app.command
def rebuild(*outputs: str) -> int:
    """Read the manifests of finished jobs, and put into the catalog what they say. What is there already stays.

    Parameters
    ----------
    outputs
        Folders or s3://bucket/prefix addresses of results, or of folders with results; REELMILL_OUTPUT_ROOT when not
        given.
    """
    places = result_places(outputs)
    if not places:
        raise InvalidParameter("OUTPUT: there is none to read; REELMILL_OUTPUT_ROOT is not set either")
    from reelmill.catalog.rebuilding import rebuild as read_manifests  # SQLAlchemy takes its time to load

    count = 0
    for place in places:
        for where, readable in read_manifests(place):
            if readable:
                count += 1
            else:
                print(f"{where}: its manifest.json is not one of Reelmill, or of another version", file=sys.stderr)
    print(f"put into the catalog: {count}")
    return 0

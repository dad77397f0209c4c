"""`reelmill profiles`: list, show and validate profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from cyclopts import App, Parameter
from rich.table import Table

from cli.console import plain_console
from reelmill.profiles.loading import builtin_profiles, load_profile

app = App(name="profiles", help="List, show and validate profiles.")


@app.command(name="list")
def list_profiles() -> int:
    """List the built-in profiles."""
    table = Table("name", "formats", "description", box=None, pad_edge=False)
    for profile in builtin_profiles().values():
        table.add_row(profile.name, ", ".join(profile.formats), profile.description)
    plain_console().print(table)
    return 0


@app.command
def show(profile: str, /) -> int:
    """Print a profile as YAML, ready to be saved and changed.

    Parameters
    ----------
    profile
        Name of a built-in profile, or path of a profile file.
    """
    found = load_profile(profile).model_dump(mode="json", exclude_defaults=True)
    print(yaml.safe_dump({"version": 1, **found}, sort_keys=False), end="")
    return 0


@app.command
def validate(file: Annotated[list[str], Parameter(negative="")], /) -> int:
    """Check profile files; the first error ends it.

    Parameters
    ----------
    file
        Path or s3:// address of a profile file.
    """
    for each in file:
        is_named = "://" in each or each.endswith((".yaml", ".yml"))
        profile = load_profile(each if is_named else str(Path(each).absolute()))
        print(f"{each}: {profile.name} is valid")
    return 0

"""Where credentials come from when not from boto3's own chain. Loads no boto3, so that anyone may register a loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reelmill.errors import StoreAccessDenied

Loader = Callable[[str], Mapping[str, str | None]]
_loader: list[Loader] = []


def load_credentials_with(loader: Loader) -> None:
    """Have the credentials that a setting names loaded by `loader`, as the keywords of a boto3 session."""
    _loader[:] = [loader]


def load_credentials(name: str) -> Mapping[str, str | None]:
    """Return the credentials of that name. Raises StoreAccessDenied."""
    if not _loader:
        raise StoreAccessDenied(f"REELMILL_S3_CREDENTIALS_BLOCK: {name} can't be loaded here, where Prefect isn't")
    return _loader[0](name)

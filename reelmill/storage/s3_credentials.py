"""Where credentials come from when not from boto3's own chain. Loads no boto3, so that anyone may register a loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from reelmill.errors import StoreAccessDenied


class Keys(NamedTuple):
    """What a server of S3 knows somebody by; temporary keys have a token."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None


Loader = Callable[[str], Keys]
_loader: list[Loader] = []


def load_credentials_with(loader: Loader) -> None:
    """Have the credentials that a setting names loaded by `loader`."""
    _loader[:] = [loader]


def load_credentials(name: str) -> Keys:
    """Return the credentials of that name. Raises StoreAccessDenied."""
    if not _loader:
        raise StoreAccessDenied(f"REELMILL_S3_CREDENTIALS_BLOCK: {name} can't be loaded here, where Prefect isn't")
    return _loader[0](name)

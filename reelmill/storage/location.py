"""Addresses: a path of this machine, `s3://bucket/key`, or `s3+NAME://bucket/key` in the store of that name.

Keys are taken literally, never decoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reelmill.errors import BucketNotAllowed, InvalidKey, InvalidUri, PathEscape, UriSchemeNotAllowed
from reelmill.settings import settings

_LONGEST_PATH_BYTES = 4000
_LONGEST_NAME_BYTES = 255
"""Of a part of a path, on all file systems that matter: NAME_MAX."""
_LONGEST_KEY_BYTES = 1024
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""Bucket naming rules of the S3 user guide: 3 to 63 letters, digits, dots and hyphens, and not like an IP address."""


@dataclass(frozen=True)
class S3Location:
    """An object, or a prefix that serves as a folder: with no slash at its end, and empty for the whole bucket."""

    bucket: str
    key: str
    store: str = ""
    """Name of the store in the setting `stores`; that of the settings `s3_...` when empty."""

    def __str__(self) -> str:
        scheme = f"s3+{self.store}" if self.store else "s3"
        return f"{scheme}://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> S3Location:
        return S3Location(self.bucket, f"{self.key}/{name}" if self.key else name, self.store)

    @property
    def root(self) -> S3Location:
        """The whole bucket."""
        return S3Location(self.bucket, "", self.store)

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem


Location = Path | S3Location


def parse_location(text: str, field: str, root: str | None = None) -> Location:
    """Return the address that a `field` of a job or a setting holds; inside `root`, where there is one.

    Raises InvalidUri, InvalidKey, UriSchemeNotAllowed, BucketNotAllowed or PathEscape.
    """
    if fault := _fault_of(text):
        raise (InvalidKey if is_s3(text) else InvalidUri)(f"{field}: {text[:100]!r} {fault}")
    scheme, mark, rest = text.partition("://")
    if mark and is_s3(text):
        location = _s3_location(text, rest, field, scheme[len("s3+") :])
        return location if root is None else _inside_bucket(location, field, root)
    if mark and scheme.replace("+", "").isalnum():
        raise UriSchemeNotAllowed(f"{field}: {scheme.lower()}:// is not opened; allowed: a path, or s3://bucket/key")
    if root is not None and is_s3(root):
        return parse_location(f"{root.rstrip('/')}/{text.lstrip('/')}", field, root)
    _refuse_long_names(text, field)
    if root is None:
        return Path(text)
    folder = Path(root).resolve()
    refuse_escape(folder / text, field, root)
    return (folder / text).resolve()


def source_location(text: str, field: str) -> Location:
    """Return the address of a source, inside the setting `source_root` where there is one. Raises as `parse_location`.

    InvalidUri also when it is a bucket.
    """
    location = parse_location(text, field, settings().source_root)
    if isinstance(location, S3Location) and not location.key:
        raise InvalidUri(f"{field}: {location} is a bucket, not an object")
    return location


def refuse_escape(path: Path, field: str, root: str | None) -> None:
    """Raise PathEscape when a path of this machine, links followed, is not in `root`, where that is a folder."""
    if root is not None and not is_s3(root):
        folder = Path(root).resolve()
        if not path.resolve().is_relative_to(folder):
            raise PathEscape(f"{field}: {path} leads out of {folder.name}")


def known_location(text: str) -> Location:
    """Return the address that `str` of a location gave, without asking whether it is allowed."""
    if is_s3(text):
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        return S3Location(bucket, key, scheme[len("s3+") :])
    return Path(text)


def is_inside(location: Location, folder: Location) -> bool:
    """Whether a location is the folder or below it, by whatever name of its store. Local paths must be resolved."""
    if isinstance(location, Path) and isinstance(folder, Path):
        return location.is_relative_to(folder)
    if isinstance(location, S3Location) and isinstance(folder, S3Location):
        return (_address(location.store), location.bucket) == (_address(folder.store), folder.bucket) and (
            not folder.key or f"{location.key}/".startswith(f"{folder.key}/")
        )
    return False


def _address(store: str) -> str | None:
    """Return where a store answers; None for AWS, where no two buckets have one name."""
    wanted = settings()
    url = wanted.stores[store].endpoint_url if store else wanted.s3_endpoint_url
    return url.rstrip("/") if url else None


def is_s3(text: str) -> bool:
    """Whether an address is one in a bucket."""
    return re.match(r"s3(\+[^/]*)?://", text, re.IGNORECASE) is not None


def is_printable(text: str) -> bool:
    """Whether the text has no control characters, and none that UTF-8 can't hold."""
    return not any(each < " " or "\x7f" <= each < "\xa0" or "\ud800" <= each <= "\udfff" for each in text)


def _fault_of(text: str) -> str | None:
    """Say why neither a path nor a key can be this text; None where one could be."""
    if not text:
        return "is no address: it is empty"
    if any("\ud800" <= each <= "\udfff" for each in text):
        return "has bytes that are not UTF-8; give the file another name"
    if not is_printable(text):
        return "has a newline or another control character; give the file another name"
    if len(text.encode()) > _LONGEST_PATH_BYTES:
        return f"has more than {_LONGEST_PATH_BYTES} bytes"
    return None


def _refuse_long_names(path: str, field: str) -> None:
    for name in path.split("/"):
        if len(name.encode()) > _LONGEST_NAME_BYTES:
            raise InvalidUri(f"{field}: {name[:100]!r} has more than the {_LONGEST_NAME_BYTES} bytes of a name")


def _s3_location(text: str, rest: str, field: str, store: str) -> S3Location:
    bucket, _, key = rest.partition("/")
    if store and store not in settings().stores:
        known = ", ".join(sorted(settings().stores)) or "none"
        raise InvalidUri(f"{field}: {text[:100]!r}: the setting `stores` has no {store[:70]!r}; it has {known}")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidUri(f"{field}: {text[:100]!r}: {bucket[:70]!r} is not the name of a bucket")
    if len(key.encode()) > _LONGEST_KEY_BYTES:
        raise InvalidKey(f"{field}: the key has more than {_LONGEST_KEY_BYTES} bytes")
    key = key.removesuffix("/")
    if any(part in (".", "..") for part in key.split("/")):
        raise PathEscape(f"{field}: {text[:100]!r} has a part that leads out of a folder")
    allowed = settings().s3_buckets
    if allowed and bucket not in allowed:
        raise BucketNotAllowed(f"{field}: the bucket {bucket} is not one of {', '.join(allowed)}")
    return S3Location(bucket, key, store)


def _inside_bucket(location: S3Location, field: str, root: str) -> S3Location:
    folder = parse_location(root, "root")
    if not f"{location}/".startswith(f"{str(folder).rstrip('/')}/"):
        raise PathEscape(f"{field}: {location} is not in {folder}")
    return location

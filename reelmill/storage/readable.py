"""A source as it was when it was looked at, and what its bytes are read from on this machine."""

from __future__ import annotations

import http.client
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from reelmill.storage.location import Location


@dataclass(frozen=True)
class Pinned:
    """A source as it was when it was looked at. `version` changes whenever its content may have."""

    location: Location
    size_bytes: int
    version: str
    identity: str
    """Digest that names the content: equal for equal content at the same address, on every machine."""


@dataclass(frozen=True)
class Loopback:
    """An object that is served to this machine's tools at `address`. Can be opened like a path."""

    address: str
    name: str

    def open(self, mode: str = "rb") -> BinaryIO:
        assert mode == "rb"
        return io.BufferedReader(_LoopbackFile(self.address), 256 << 10)

    def __str__(self) -> str:
        return self.address


Readable = Path | Loopback
"""What the bytes of a source are read from on this machine."""


class _LoopbackFile(io.RawIOBase):
    """Reads an object at its loopback address, by one connection for as long as it is read in order."""

    def __init__(self, address: str):
        parts = urlsplit(address)
        assert parts.hostname
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port)
        self._path = parts.path
        self._connection.request("HEAD", self._path)
        answer = self._connection.getresponse()
        self._size = int(answer.headers["Content-Length"])
        answer.read()
        self._position = 0
        self._answer: http.client.HTTPResponse | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if target != self._position:
            self._hang_up()
            self._position = target
        return target

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size:
            return 0
        if self._answer is None:
            self._connection.request("GET", self._path, headers={"Range": f"bytes={self._position}-"})
            self._answer = self._connection.getresponse()
        count = self._answer.readinto(buffer)
        if count == 0:
            raise OSError("the object could not be read to its end")
        self._position += count
        return count

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._connection.close()
            self._answer = None

    def close(self) -> None:
        self._hang_up()
        self._connection.close()
        super().close()

"""Parts whose CRC-32 follows their bytes, for servers that check it: the framing `aws-chunked`, with a trailer.

Source: the S3 user guide, "Trailing headers with chunked uploads". A server that has stored anything else than was sent
refuses the part, also where its ETags are no MD5s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from botocore.awsrequest import AWSRequest

from reelmill.storage.digests import crc32_text
from reelmill.storage.s3_client import explained, signer

CRC32_HEADER = "x-amz-checksum-crc32"
_FRAME_BYTES = 1 << 20
_CRC32_CHARACTERS = 8
_SIGNED_LATER: Any = {"checksum": {"request_algorithm": {"in": "trailer"}}}
"""By this botocore signs the head of a request and leaves its body to the trailer."""


@dataclass
class Frames:
    """The framing of one part of `size_bytes`, as its bytes come."""

    size_bytes: int
    passed: int = 0

    def around(self, block: memoryview) -> Iterator[memoryview | bytes]:
        """Yield what to send for the next bytes."""
        while len(block):
            at = self.passed % _FRAME_BYTES
            if not at:
                yield _head(min(_FRAME_BYTES, self.size_bytes - self.passed))
            taken = block[: _FRAME_BYTES - at]
            yield taken
            self.passed += len(taken)
            block = block[len(taken) :]
            if self.passed % _FRAME_BYTES == 0 or self.passed == self.size_bytes:
                yield b"\r\n"

    @staticmethod
    def end(crc32: int) -> bytes:
        """Return what to send after the last byte."""
        return _head(0) + f"{CRC32_HEADER}:{crc32_text(crc32)}\r\n\r\n".encode()

    @property
    def framed_bytes(self) -> int:
        """Length of the body with its frames and its trailer."""
        whole, last = divmod(self.size_bytes, _FRAME_BYTES)
        frames = whole * (len(_head(_FRAME_BYTES)) + 2) + ((len(_head(last)) + 2) if last else 0)
        return self.size_bytes + frames + len(self.end(0))


def _head(size_bytes: int) -> bytes:
    return f"{size_bytes:x}\r\n".encode()


def signed_put(store: str, presigned_url: str, frames: Frames) -> tuple[str, dict[str, str]]:
    """Return URL and headers of the request that a presigned URL makes, signed for a body with a trailer.

    A presigned URL can't say that there is one.
    """
    parts = urlsplit(presigned_url)
    named = [(name, value) for name, value in parse_qsl(parts.query) if not name.startswith("X-Amz-")]
    url = urlunsplit(parts._replace(query=urlencode(named, quote_via=quote)))
    request = AWSRequest(
        "PUT", url,
        headers={
            "Content-Encoding": "aws-chunked", "Content-Length": str(frames.framed_bytes),
            "X-Amz-Decoded-Content-Length": str(frames.size_bytes), "X-Amz-Trailer": CRC32_HEADER,
        },
    )  # fmt: skip
    request.context.update(_SIGNED_LATER)
    with explained(url):
        signer(store).add_auth(request)
    return url, dict(request.headers.items())

"""Bodies of HTTP messages as streams of blocks: read off a connection, framed, and spoilt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BufferedIOBase

BLOCK_BYTES = 64 << 10
LAST_CHUNK = b"0\r\n\r\n"


def request_body(connection: BufferedIOBase, *, length: int, chunked: bool) -> Iterator[bytes]:
    """Yield the body of a request that is `length` bytes long, or `chunked` (RFC 9112, 7.1).

    EOFError when the client leaves before its end.
    """
    if not chunked:
        yield from _exactly(connection, length)
        return
    while size := int(connection.readline().partition(b";")[0], 16):
        yield from _exactly(connection, size)
        connection.readline()
    while connection.readline().strip():
        pass  # trailers


def _exactly(connection: BufferedIOBase, length: int) -> Iterator[bytes]:
    while length:
        block = connection.read(min(BLOCK_BYTES, length))
        if not block:
            raise EOFError("the client left in the middle of its request")
        yield block
        length -= len(block)


def as_chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `blocks` in chunked framing. Without its end: that is `LAST_CHUNK`."""
    for block in blocks:
        yield b"%x\r\n%b\r\n" % (len(block), block)


def drain(blocks: Iterable[bytes]) -> None:
    for _ in blocks:
        pass


def flipped(blocks: Iterable[bytes], at: int) -> Iterator[bytes]:
    """Yield `blocks` with one bit of byte `at` flipped."""
    for block in blocks:
        if 0 <= at < len(block):
            block = block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]
        at -= len(block)
        yield block


def first(blocks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Yield no more than `length` bytes of `blocks`."""
    for block in blocks:
        if length <= 0:
            return
        yield block[:length]
        length -= len(block)


def in_steps(blocks: Iterable[bytes], step: int, pause: Callable[[], object]) -> Iterator[bytes]:
    """Yield `blocks`, with a `pause` before every `step` bytes."""
    left = 0
    for block in blocks:
        while block:
            if left == 0:
                pause()
                left = step
            part, block = block[:left], block[left:]
            left -= len(part)
            yield part

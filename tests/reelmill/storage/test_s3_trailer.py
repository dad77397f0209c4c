"""A part's framing is what the S3 user guide says: frames of one size, then a CRC-32 of what was in them."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from reelmill.storage.digests import crc32_text
from reelmill.storage.s3_trailer import Frames

FRAME = 1 << 20
SIZES = st.one_of(st.integers(0, 100), st.integers(FRAME - 2, FRAME + 2), st.integers(2 * FRAME - 1, 3 * FRAME))


def unframed(sent: bytes) -> tuple[list[bytes], bytes]:
    """Return the frames' contents, and what comes after the last."""
    found: list[bytes] = []
    while True:
        size, _, sent = sent.partition(b"\r\n")
        if not (count := int(size, 16)):
            return found, sent
        assert sent[count : count + 2] == b"\r\n"
        found.append(sent[:count])
        sent = sent[count + 2 :]


@given(SIZES, st.lists(st.integers(1, FRAME), max_size=20))
def test_what_comes_in_any_blocks_is_framed_alike(size: int, blocks: list[int]):
    content = memoryview(bytes(range(256)) * (size // 256 + 1))[:size]
    frames, sent, at = Frames(size), bytearray(), 0
    for block in (*blocks, size):
        for piece in frames.around(content[at : at + block]):
            sent += piece
        at = min(at + block, size)
    sent += frames.end(zlib.crc32(content))
    assert len(sent) == frames.framed_bytes
    contents, rest = unframed(bytes(sent))
    assert b"".join(contents) == content
    assert all(len(each) == FRAME for each in contents[:-1])
    assert rest == f"x-amz-checksum-crc32:{crc32_text(zlib.crc32(content))}\r\n\r\n".encode()

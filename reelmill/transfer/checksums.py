"""Digests of a whole object out of those of its parts, without reading it again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from reelmill.storage.digests import multipart_etag

_POLYNOMIAL = 0xEDB88320
_BITS = 32
Matrix = tuple[int, ...]
"""A linear map of 32-bit values over GF(2): the image of each bit."""


def combine_crc32(first: int, second: int, second_bytes: int) -> int:
    """Return the CRC-32 of two runs of bytes laid end to end, from that of each and the length of the second.

    Appending n zero bytes is a linear map of the CRC's register; the map for n is made of those for powers of two.
    """
    return _times(_zeros(second_bytes), first) ^ second


def fold_crc32(parts: Iterable[tuple[int, int]]) -> int:
    """Return the CRC-32 of an object, from those of its parts in order and their lengths in bytes."""
    whole = 0
    for crc, size_bytes in parts:
        whole = combine_crc32(whole, crc, size_bytes)
    return whole


def etag_of(md5s: list[str], *, of_parts: bool) -> str:
    """Return the ETag of an object with these MD5s of its parts, uploaded in parts or, when it is only one, whole."""
    return multipart_etag([bytes.fromhex(each) for each in md5s]) if of_parts else md5s[0]


@lru_cache(maxsize=64)
def _zeros(count: int) -> Matrix:
    """Return the map that appends `count` zero bytes."""
    result: Matrix = tuple(1 << bit for bit in range(_BITS))
    power = _one_byte()
    while count:
        if count & 1:
            result = _product(power, result)
        count >>= 1
        power = _product(power, power)
    return result


def _one_byte() -> Matrix:
    bit: Matrix = (_POLYNOMIAL, *(1 << n for n in range(_BITS - 1)))
    for _ in range(3):
        bit = _product(bit, bit)
    return bit


def _product(left: Matrix, right: Matrix) -> Matrix:
    return tuple(_times(left, each) for each in right)


def _times(matrix: Matrix, vector: int) -> int:
    result = 0
    for image in matrix:
        if vector & 1:
            result ^= image
        vector >>= 1
    return result

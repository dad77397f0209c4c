"""What is used of isal's replacement for zlib; its own stub leaves buffers untyped."""

from typing_extensions import Buffer

def crc32(data: Buffer, value: int = 0, /) -> int: ...

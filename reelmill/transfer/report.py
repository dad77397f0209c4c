"""What came of a transfer, and what each object's content was compared with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reelmill.cost.prices import Amount
from reelmill.frozen import Frozen

Proof = Literal["etag", "crc32", "read twice", "tls", "file", "store", "content"]
"""What a copy was compared with on the source's side.

`etag`, `crc32`: the digest that the source's store keeps of the whole object. `content`: the MD5 of a small object,
which the store keeps too. `read twice`: each range came the same two times. `tls`: the connection's own checks. `file`:
a file of this machine, unchanged to the end. `store`: one store copied by itself, and the source was the same after.
"""


class ObjectReport(Frozen):
    """One object that is at its destination, whole."""

    source: str
    destination: str
    size_bytes: int
    outcome: Literal["copied", "same already"]
    parts: int = 0
    part_bytes: int = 0
    kept_parts: int = Field(default=0, description="Parts that an earlier run had moved")
    by_store: bool = Field(default=False, description="Whether the store copied it by itself")
    etag: str = Field(default="", description="ETag of the copy, without quotes; empty for a file")
    crc32: str | None = Field(
        default=None, description="CRC-32 of the whole object, as S3 writes it; None where nobody read it"
    )
    proof: Proof | None = None
    read_again: bool = Field(default=False, description="Whether all of the copy was read again and compared")


class ObjectFailure(Frozen):
    """One object that was not copied, or a folder that could not be read, and why."""

    source: str
    destination: str
    code: str = Field(description="Code of the error, as in docs/errors.md")
    message: str


class TransferCost(Frozen):
    """What a transfer takes, as the price lists of object stores count it."""

    requests: int
    read_bytes: int = Field(description="Bytes read from buckets")
    written_bytes: int = Field(description="Bytes written to buckets")
    amount: Amount
    currency: str


class TransferReport(Frozen):
    """A transfer that has ended: every object is at its destination, but for those that failed alone."""

    source: str
    destination: str
    objects: tuple[ObjectReport, ...]
    copied: int
    copied_bytes: int
    moved_bytes: int = Field(description="Without the parts that an earlier run had moved")
    kept_parts: int
    wall_s: float
    bytes_per_s: float
    estimate: TransferCost
    cost: TransferCost
    warnings: tuple[str, ...] = ()
    failed: tuple[ObjectFailure, ...] = ()

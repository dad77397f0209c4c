"""Pieces of a transfer's work that any process can do alone: parts of one object, or a few small objects."""

from __future__ import annotations

from dataclasses import dataclass

from reelmill.progress import board
from reelmill.storage.s3_wire import Wire
from reelmill.transfer.copying import Begun, copy_parts
from reelmill.transfer.failing import OF_ONE_OBJECT, failure_of
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.ledger import Ledger, PartRecord
from reelmill.transfer.plan import ObjectPlan
from reelmill.transfer.report import ObjectFailure, ObjectReport
from reelmill.transfer.small import copy_small


@dataclass(frozen=True)
class PartBatch:
    """Parts of one object, copied one after another."""

    begun: Begun
    numbers: tuple[int, ...]

    @property
    def label(self) -> str:
        return f"parts {self.numbers[0]} to {self.numbers[-1]}"


@dataclass(frozen=True)
class SmallBatch:
    """Small objects, copied one after another."""

    objects: tuple[ObjectPlan, ...]

    @property
    def label(self) -> str:
        return f"{len(self.objects)} objects"


@dataclass(frozen=True)
class PartsDone:
    """Parts of the object of that name that have arrived, or why it can't be copied."""

    name: str
    records: tuple[PartRecord, ...]
    failure: ObjectFailure | None = None


@dataclass(frozen=True)
class SmallDone:
    """Small objects that are there, or failed, each with what there is to warn of."""

    outcomes: tuple[tuple[ObjectReport | ObjectFailure, str | None], ...]


Batch = PartBatch | SmallBatch
Done = PartsDone | SmallDone


def do_batch(batch: Batch, accepted: AcceptedTransfer, ledger: Ledger, attempt: str, *, is_retry: bool = False) -> Done:
    """Do one batch, in any process. When `is_retry`, without the parts that are noted.

    Raises as `copy_parts`; of many objects only what concerns more than one.
    """
    progress = board(attempt)
    if isinstance(batch, PartBatch):
        name, noted = batch.begun.name, ledger.parts(batch.begun.name) if is_retry else {}
        missing = tuple(number for number in batch.numbers if number not in noted)
        try:
            records = copy_parts(
                batch.begun, missing, ledger=ledger, attempt=attempt, bytes_per_s=accepted.bytes_per_s,
                on_bytes=lambda number, passed: progress.report(f"{name}/{number}", passed),
            )  # fmt: skip
        except OF_ONE_OBJECT as error:
            if not accepted.job.recursive:
                raise
            return PartsDone(name, (), failure_of(error, batch.begun.source.location, batch.begun.destination))
        return PartsDone(name, (*records, *(noted[number] for number in batch.numbers if number in noted)))
    with Wire() as wire:
        return SmallDone(tuple(_copy_small(each, accepted, wire, attempt) for each in batch.objects))


def _copy_small(
    planned: ObjectPlan, accepted: AcceptedTransfer, wire: Wire, attempt: str
) -> tuple[ObjectReport | ObjectFailure, str | None]:
    try:
        return copy_small(planned, accepted, wire, attempt)
    except OF_ONE_OBJECT as error:
        if not accepted.job.recursive:
            raise
        return failure_of(error, planned.source, planned.destination), None

"""Failures that concern one object of many: the others are copied all the same, and what failed is told in the end."""

from __future__ import annotations

from reelmill.errors import (
    InvalidKey,
    InvalidParameter,
    OutputCollision,
    ReelmillError,
    SourceArchived,
    SourceChanged,
    SourceNotFound,
    StoreAccessDenied,
    StoreConflict,
    TransferIncomplete,
    UploadGone,
    VerifyFailed,
    one_line,
)
from reelmill.storage.location import Location
from reelmill.transfer.report import ObjectFailure, TransferReport

OF_ONE_OBJECT = (
    InvalidKey, InvalidParameter, OutputCollision, SourceArchived, SourceChanged, SourceNotFound, StoreAccessDenied,
    StoreConflict, UploadGone, VerifyFailed,
)  # fmt: skip
"""What says nothing of the objects that are still to come. Whatever else is raised ends the whole transfer."""
MOST_DENIED = 100
"""So many refusals one after another are about the credentials, and not about the objects."""
_MOST_NAMED = 3


def failure_of(error: ReelmillError, source: Location, destination: Location) -> ObjectFailure:
    """Return what the report says of an object that was not copied."""
    return ObjectFailure(
        source=str(source), destination=str(destination), code=error.code, message=one_line(str(error))
    )


def refuse_incomplete(report: TransferReport) -> None:
    """Raise TransferIncomplete, which names the first few, when some objects were not copied."""
    if report.failed:
        named = [f"{each.source}: {each.code}: {each.message}" for each in report.failed[:_MOST_NAMED]]
        named += [f"and {left:,} more"] if (left := len(report.failed) - _MOST_NAMED) > 0 else []
        total = len(report.objects) + len(report.failed)
        raise TransferIncomplete(f"{len(report.failed):,} of {total:,} were not copied: {'; '.join(named)}")

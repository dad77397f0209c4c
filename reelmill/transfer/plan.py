"""What a transfer moves, and in how many parts: known before anything is moved."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from reelmill.errors import InvalidKey, OutputCollision, PathEscape, SourceNotFound, StoreAccessDenied
from reelmill.frozen import Frozen
from reelmill.settings import settings
from reelmill.storage.local_listing import files_below
from reelmill.storage.local_ranges import explained_file
from reelmill.storage.location import Location, S3Location, is_printable, refuse_escape
from reelmill.storage.s3_client import is_one_account
from reelmill.storage.s3_objects import objects_below
from reelmill.transfer.cost import REQUESTS_PER_LARGE, REQUESTS_PER_SMALL, cost_of
from reelmill.transfer.ends import SourceFile, look_at_source
from reelmill.transfer.failing import failure_of
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.parts import MIB, StreamRates, choose_part_bytes, count_parts
from reelmill.transfer.rates import measured_rate
from reelmill.transfer.report import ObjectFailure, TransferCost

SMALL_BYTES = 4 * MIB
"""Up to this size an object is one request, and the only thing whose whole content is in memory."""


class ObjectPlan(Frozen):
    """One object, where it goes, and in parts of which size. A small one is not cut."""

    source: Location
    destination: Location
    size_bytes: int
    part_bytes: int

    @property
    def is_small(self) -> bool:
        return self.size_bytes <= SMALL_BYTES

    @property
    def parts(self) -> int:
        return 1 if self.is_small else count_parts(self.size_bytes, self.part_bytes)


class TransferPlan(Frozen):
    """All objects of a transfer: the large ones first, since they take longest."""

    source: Location
    destination: Location
    by_store: bool
    """Whether both ends are in one store, which can copy by itself."""
    rates: StreamRates
    """What the parts were cut by."""
    objects: tuple[ObjectPlan, ...]
    estimate: TransferCost
    warnings: tuple[str, ...] = ()
    failed: tuple[ObjectFailure, ...] = ()
    """Folders that can't be read."""

    @cached_property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.objects)

    @cached_property
    def parts(self) -> int:
        return sum(each.parts for each in self.objects)

    @property
    def expected_s(self) -> float | None:
        """Return how long it would take at the rate that was measured, or is allowed; None where neither is known."""
        known = [each for each in (self.rates.measured, self.rates.allowed) if each is not None]
        return self.size_bytes / min(known) / min(self.rates.streams, self.parts) if known else None


def plan_transfer(accepted: AcceptedTransfer) -> TransferPlan:
    """Return what there is to move. Raises SourceNotFound, OutputCollision, PathEscape, StoreFailed, among others."""
    warnings, failed = list[str](), list[ObjectFailure]()
    allowed = accepted.bytes_per_s / accepted.streams if accepted.bytes_per_s else None
    rates = StreamRates(accepted.streams, measured_rate(accepted.source, accepted.destination), allowed)
    found = _below(accepted, rates, warnings, failed) if accepted.job.recursive else _single(accepted, rates)
    objects = sorted(found, key=lambda each: -each.size_bytes)
    if not objects:
        why = f": {failed[0].source}: {failed[0].message}" if failed else ""
        raise SourceNotFound(f"source: there is nothing below {accepted.source}{why}")
    taken: set[Location] = set()
    for each in objects:
        if each.destination in taken:
            raise OutputCollision(f"destination: two objects of {accepted.source} would be {each.destination}")
        taken.add(each.destination)
    by_store = in_one_store(accepted.source, accepted.destination)
    return TransferPlan(
        source=accepted.source, destination=accepted.destination, by_store=by_store, rates=rates,
        objects=tuple(objects), estimate=_estimate(accepted, objects, by_store), warnings=tuple(warnings),
        failed=tuple(failed),
    )  # fmt: skip


def in_one_store(source: Location, destination: Location) -> bool:
    """Whether one server has both, with the same credentials: the same store, or another name of its address."""
    return (
        isinstance(source, S3Location)
        and isinstance(destination, S3Location)
        and is_one_account(source.store, destination.store)
    )


def part_bytes_for(accepted: AcceptedTransfer, source: SourceFile, rates: StreamRates) -> int:
    """Return the size of parts for an object, now that it was looked at."""
    return choose_part_bytes(source.size_bytes, rates, wanted=accepted.part_bytes, of_source=source.part_bytes)


def _single(accepted: AcceptedTransfer, rates: StreamRates) -> Iterator[ObjectPlan]:
    source = look_at_source(accepted.source)
    part_bytes = SMALL_BYTES if source.size_bytes <= SMALL_BYTES else part_bytes_for(accepted, source, rates)
    yield ObjectPlan(
        source=source.location, destination=accepted.destination, size_bytes=source.size_bytes, part_bytes=part_bytes
    )


def _below(
    accepted: AcceptedTransfer, rates: StreamRates, warnings: list[str], failed: list[ObjectFailure]
) -> Iterator[ObjectPlan]:
    for location, name, size_bytes in _listed(accepted, warnings, failed):
        if name.endswith("/") and isinstance(accepted.destination, Path):
            if size_bytes:
                warnings.append(f"left out {location}: no file can have a name that ends in a slash")
            continue
        part_bytes = SMALL_BYTES
        if size_bytes > SMALL_BYTES:
            part_bytes = choose_part_bytes(size_bytes, rates, wanted=accepted.part_bytes)
        destination = _destination(accepted.destination, name)
        _refuse_escapes(location, destination)
        yield ObjectPlan(source=location, destination=destination, size_bytes=size_bytes, part_bytes=part_bytes)


def _listed(
    accepted: AcceptedTransfer, warnings: list[str], failed: list[ObjectFailure]
) -> Iterator[tuple[Location, str, int]]:
    """Yield each object below a prefix or a folder with its name from there on, and its size."""
    source = accepted.source
    if isinstance(source, S3Location):
        skipped = len(source.key) + 1 if source.key else 0
        for key, size_bytes, _ in objects_below(source):
            if key[skipped:]:
                yield S3Location(source.bucket, key, source.store), key[skipped:], size_bytes
        return
    with explained_file(source):
        if not source.is_dir():
            raise SourceNotFound(f"source: there is no folder {source}")
    for each in files_below(source):
        name = str(each.path.relative_to(source))
        if each.is_failure:
            error = StoreAccessDenied(f"it can't be read: {each.left_out}")
            failed.append(failure_of(error, each.path, accepted.destination / name))
        elif each.left_out:
            warnings.append(f"left out {each.path}: {each.left_out}")
        else:
            yield each.path, name, each.size_bytes


def _destination(folder: Location, name: str) -> Location:
    if not is_printable(name):
        raise InvalidKey(f"source: {name[:100]!r} has a control character, or isn't UTF-8")
    if isinstance(folder, Path) and (name.startswith("/") or ".." in PurePosixPath(name).parts):
        raise PathEscape(f"source: {name[:100]!r} would lead out of {folder}")
    return folder / name


def _refuse_escapes(source: Location, destination: Location) -> None:
    """Both roots hold for what is below a folder, too, where links may lead anywhere."""
    if isinstance(source, Path):
        refuse_escape(source, "source", settings().source_root)
    if isinstance(destination, Path):
        refuse_escape(destination.parent, "destination", settings().output_root)


def _estimate(accepted: AcceptedTransfer, objects: list[ObjectPlan], by_store: bool) -> TransferCost:
    requests = read = written = 0
    ends = (accepted.source, accepted.destination)
    in_buckets = sum(isinstance(each, S3Location) for each in ends)
    for each in objects:
        stays = by_store and not each.is_small
        if each.is_small:
            requests += REQUESTS_PER_SMALL
        else:
            requests += REQUESTS_PER_LARGE + each.parts * (1 if stays else in_buckets)
        read += each.size_bytes if isinstance(accepted.source, S3Location) and not stays else 0
        written += each.size_bytes if isinstance(accepted.destination, S3Location) and not stays else 0
        if accepted.job.verify == "full" and isinstance(accepted.destination, S3Location):
            read, requests = read + each.size_bytes * (2 if stays else 1), requests + each.parts
    return cost_of(requests, read, written)

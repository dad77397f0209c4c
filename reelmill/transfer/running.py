"""One attempt at a transfer: hands out work, takes in what is done, and ends each object as soon as it is whole."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from reelmill.errors import SourceChanged, StoreAccessDenied
from reelmill.media.tool_jobs import cancel_job, refuse_cancelled
from reelmill.progress import ProgressBoard, Snapshot, board, drop_board
from reelmill.storage.location import Location, S3Location, known_location
from reelmill.storage.s3_upload import Upload
from reelmill.storage.store import Holds, leaves_to_sweep
from reelmill.transfer.batch import Batch, Done, PartBatch, PartsDone, SmallBatch, do_batch
from reelmill.transfer.beginning import begin_object, discard
from reelmill.transfer.copying import Begun
from reelmill.transfer.cost import REQUESTS_PER_LARGE, REQUESTS_PER_SMALL, cost_of
from reelmill.transfer.ends import SourceFile
from reelmill.transfer.failing import MOST_DENIED, OF_ONE_OBJECT, failure_of
from reelmill.transfer.finishing import finish_object, proof_of
from reelmill.transfer.job import AcceptedTransfer
from reelmill.transfer.ledger import Ledger, PartRecord, object_name, open_ledger
from reelmill.transfer.pacing import drop_pacer
from reelmill.transfer.parts import batches, count_parts
from reelmill.transfer.plan import ObjectPlan, TransferPlan
from reelmill.transfer.rates import note_rate
from reelmill.transfer.report import ObjectFailure, ObjectReport, Proof, TransferReport

_LOOKS_EVERY_S = 0.5
_SMALL_BATCH = 32
_TELLING_BYTES = 64 << 20


Finish = Callable[[Begun, dict[int, PartRecord], Proof, AcceptedTransfer, str], ObjectReport]
"""What ends an object's copy: `finish_object`, or a task around it."""


@dataclass
class _Copy:
    """An object under way."""

    begun: Begun
    records: dict[int, PartRecord]
    kept: int

    @property
    def is_whole(self) -> bool:
        return len(self.records) == count_parts(self.begun.source.size_bytes, self.begun.part_bytes)


@dataclass
class Transfer:
    """What is left, under way and done. Not to be shared between threads: batches are, by `do_batch`."""

    accepted: AcceptedTransfer
    plan: TransferPlan
    ledger: Ledger
    holds: Holds
    attempt: str
    finish: Finish = finish_object
    reports: list[ObjectReport] = field(default_factory=list[ObjectReport])
    warnings: list[str] = field(default_factory=list[str])
    requests: int = 0
    again_bytes: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._large = deque(each for each in self.plan.objects if not each.is_small)
        self._small = deque(each for each in self.plan.objects if each.is_small)
        self._ready: deque[Batch] = deque()
        self._copies: dict[str, _Copy] = {}
        self._failed = {object_name(known_location(each.destination)): each for each in self.plan.failed}
        self._denied = 0
        self._arrived_s = self.started_s
        self.progress.begin(self.plan.size_bytes, self.plan.parts, step="copy", unit="bytes")
        self.warnings += self.plan.warnings

    @property
    def progress(self) -> ProgressBoard:
        return board(self.attempt)

    def next_batch(self) -> Batch | None:
        """Return what is to be done next; None when nothing is left, or nothing before a batch has come back."""
        while not self._ready and self._large:
            self._begin(self._large.popleft())
        if not self._ready and self._small:
            count = min(_SMALL_BATCH, -(-len(self._small) // self.accepted.streams))
            self._ready.append(SmallBatch(tuple(self._small.popleft() for _ in range(count))))
        return self._ready.popleft() if self._ready else None

    def take(self, done: Done) -> None:
        """Take in what a batch has done."""
        if isinstance(done, PartsDone):
            if done.failure is not None:
                self._fail(done.failure)
            else:
                self._take_parts(done.name, done.records)
            return
        for report, warning in done.outcomes:
            self.requests += REQUESTS_PER_SMALL
            if isinstance(report, ObjectFailure):
                self._fail(report)
                continue
            self._note(report, warning)
            self.progress.finish(report.destination, report.size_bytes, kept=report.outcome != "copied")

    @contextmanager
    def _failing_alone(self, source: Location, destination: Location) -> Generator[None]:
        """Let what concerns only this one of many objects end that one."""
        try:
            yield
        except OF_ONE_OBJECT as error:
            if not self.accepted.job.recursive:
                raise
            self._fail(failure_of(error, source, destination))

    def _fail(self, failure: ObjectFailure) -> None:
        name = object_name(known_location(failure.destination))
        if name in self._failed:  # another part of it came to the same
            return
        self._failed[name] = failure
        self._copies.pop(name, None)
        self._ready = deque(each for each in self._ready if not isinstance(each, PartBatch) or each.begun.name != name)
        self._denied = self._denied + 1 if failure.code == StoreAccessDenied.__name__ else 0
        if self._denied >= MOST_DENIED:
            raise StoreAccessDenied(f"{failure.message}; so were the {MOST_DENIED - 1} before it")

    def _begin(self, planned: ObjectPlan) -> None:
        with self._failing_alone(planned.source, planned.destination):
            self._begin_one(planned)

    def _begin_one(self, planned: ObjectPlan) -> None:
        refuse_cancelled(self.attempt)
        self.requests += REQUESTS_PER_LARGE
        start = begin_object(planned, self.accepted, self.plan.rates, self.ledger, self.attempt)
        if isinstance(start, SourceFile):
            self._note(
                ObjectReport(
                    source=str(planned.source), destination=str(planned.destination), size_bytes=start.size_bytes,
                    outcome="same already", read_again=self.accepted.job.verify == "full",
                ),
                None,
            )  # fmt: skip
            self.progress.finish(str(planned.destination), start.size_bytes, kept=True)
            return
        self.warnings += start.warnings
        copy = self._copies[start.begun.name] = _Copy(start.begun, dict(start.kept), len(start.kept))
        for record in start.kept.values():
            self.progress.finish(f"{start.begun.name}/{record.number}", record.size_bytes, kept=True)
        self._queue(copy)
        if copy.is_whole:
            self._finish(copy)

    def _queue(self, copy: _Copy) -> None:
        total = count_parts(copy.begun.source.size_bytes, copy.begun.part_bytes)
        missing = [number for number in range(1, total + 1) if number not in copy.records]
        self._ready.extend(PartBatch(copy.begun, numbers) for numbers in batches(missing, self.accepted.streams))

    def _take_parts(self, name: str, records: tuple[PartRecord, ...]) -> None:
        self._arrived_s = time.monotonic()
        if (copy := self._copies.get(name)) is None:  # another part of it failed meanwhile
            return
        for record in records:
            copy.records[record.number] = record
            self.requests += record.requests
            self.progress.finish(f"{name}/{record.number}", record.size_bytes)
        if copy.is_whole:
            with self._failing_alone(copy.begun.source.location, copy.begun.destination):
                self._finish(copy)

    def _finish(self, copy: _Copy) -> None:
        refuse_cancelled(self.attempt)
        proof = proof_of(copy.begun, copy.records)
        if proof is None:
            self._copy_again(copy)
            return
        report = self.finish(copy.begun, copy.records, proof, self.accepted, self.attempt)
        del self._copies[copy.begun.name]
        place = copy.begun.target.place
        self.ledger.forget(copy.begun.name, place.as_json() if isinstance(place, Upload) else str(place))
        self._note(report.model_copy(update={"kept_parts": copy.kept}), None)

    def _copy_again(self, copy: _Copy) -> None:
        """What came is not what the source's store has: nobody knows which part it is, so each is read twice now."""
        self.warnings.append(f"{copy.begun.source.location}: its digest differed, so that it was read again, and twice")
        self.again_bytes += copy.begun.source.size_bytes
        copy.begun, copy.records, copy.kept = replace(copy.begun, twice=True), {}, 0
        self.ledger.forget_parts(copy.begun.name)
        self._queue(copy)

    def _note(self, report: ObjectReport, warning: str | None) -> None:
        self.reports.append(report)
        self._denied = 0
        self.warnings += [warning] if warning else []

    def abandon(self, *, keep: bool) -> None:
        """End what is under way: with `keep` for the same transfer run again, else without leaving anything open.

        Of a source that was changed nothing is kept.
        """
        with leaves_to_sweep(f"what was begun for {self.accepted.destination}"):
            if not self.holds():  # it is another run's now, which goes on with it
                return
            if not keep:
                self.ledger.end_open()
                self.ledger.remove()
                return
            for name, failure in self._failed.items():
                beginning = self.ledger.begun(name) if failure.code == SourceChanged.__name__ else None
                if beginning is not None:
                    discard(beginning, known_location(failure.destination), self.ledger)

    @property
    def has_failures(self) -> bool:
        return bool(self._failed)

    @property
    def moved_bytes(self) -> int:
        """Return what was copied, without what an earlier run had moved."""
        copied = [each for each in self.reports if each.outcome == "copied"]
        return max(sum(each.size_bytes - each.kept_parts * each.part_bytes for each in copied), 0)

    def note_rate(self) -> None:
        """Note how fast each stream was, where enough was moved in parts, and nothing held it back."""
        streams = min(self.accepted.streams, self.plan.parts)
        is_telling = self.moved_bytes >= _TELLING_BYTES and not any(each.is_small for each in self.plan.objects)
        if is_telling and self.accepted.bytes_per_s is None and (moving_s := self._arrived_s - self.started_s) > 0:
            note_rate(self.plan.source, self.plan.destination, self.moved_bytes / moving_s / streams)

    def report(self) -> TransferReport:
        """Return what came of it, now that everything is done."""
        wall_s = max(time.monotonic() - self.started_s, 1e-3)
        copied, moved = [each for each in self.reports if each.outcome == "copied"], self.moved_bytes
        streamed = sum(each.size_bytes for each in copied if not each.by_store) + self.again_bytes
        twice = sum(each.size_bytes for each in copied if each.proof == "read twice")
        again = sum(each.size_bytes for each in self.reports if each.read_again)
        compared = again - sum(each.size_bytes for each in copied if each.read_again)
        read = streamed + twice + compared if isinstance(self.accepted.source, S3Location) else 0
        written = streamed if isinstance(self.accepted.destination, S3Location) else 0
        if isinstance(self.accepted.destination, S3Location):
            read += again
        return TransferReport(
            source=str(self.accepted.source), destination=str(self.accepted.destination),
            objects=tuple(sorted(self.reports, key=lambda each: each.destination)), copied=len(copied),
            copied_bytes=sum(each.size_bytes for each in copied), moved_bytes=moved,
            kept_parts=sum(each.kept_parts for each in copied), wall_s=round(wall_s, 3),
            bytes_per_s=round(moved / wall_s, 1), estimate=self.plan.estimate,
            cost=cost_of(self.requests, read, written), warnings=tuple(self.warnings),
            failed=tuple(sorted(self._failed.values(), key=lambda each: each.destination)),
        )  # fmt: skip


@contextmanager
def open_transfer(
    accepted: AcceptedTransfer,
    plan: TransferPlan,
    attempt: str,
    *,
    finish: Finish = finish_object,
    wait_s: float = 0.0,
) -> Generator[Transfer]:
    """Give a transfer to be driven for as long as the block runs. JobRunning when another run writes there.

    Whatever ends the block early, nothing of it stays open, unless the job says `keep_partial`; what it left is
    removed as well after a source that was changed.
    """
    on_lost = partial(cancel_job, attempt, "another run took this transfer over, or its lock could not be kept")
    with open_ledger(accepted.key, on_lost=on_lost, wait_s=wait_s) as (ledger, holds):
        transfer = Transfer(accepted, plan, ledger, holds, attempt, finish)
        try:
            yield transfer
            # Without failures what is left is what an earlier run began of objects that are gone since.
            transfer.abandon(keep=accepted.job.keep_partial and transfer.has_failures)
            transfer.note_rate()
        except BaseException as error:
            cancel_job(attempt)
            transfer.abandon(keep=accepted.job.keep_partial and not isinstance(error, SourceChanged))
            raise
        finally:
            drop_board(attempt)
            drop_pacer(attempt)


def run_here(
    accepted: AcceptedTransfer, plan: TransferPlan, attempt: str, on_progress: Callable[[Snapshot], None]
) -> TransferReport:
    """Do a whole transfer by the threads of this process. `on_progress` is called about twice a second."""
    with open_transfer(accepted, plan, attempt) as transfer:
        with closing(_by_threads(transfer, lambda: on_progress(transfer.progress.snapshot()))) as finished:
            for done in finished:
                transfer.take(done)
        on_progress(transfer.progress.snapshot())
        return transfer.report()


def _by_threads(transfer: Transfer, on_wait: Callable[[], None]) -> Generator[Done]:
    running: set[Future[Done]] = set()
    streams = transfer.accepted.streams
    with ThreadPoolExecutor(streams, thread_name_prefix="parts") as pool:
        try:
            while True:
                while len(running) < streams and (batch := transfer.next_batch()) is not None:
                    running.add(pool.submit(do_batch, batch, transfer.accepted, transfer.ledger, transfer.attempt))
                if not running:
                    return
                finished, running = wait(running, timeout=_LOOKS_EVERY_S, return_when=FIRST_COMPLETED)
                on_wait()
                for each in finished:
                    yield each.result()
        except BaseException:
            cancel_job(transfer.attempt)
            raise

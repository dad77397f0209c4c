"""Second tries of tasks that take far longer than their siblings: which task gets one, and which of its two wins."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from prefect.futures import PrefectFuture

from reelmill.attempts import part_of
from reelmill.errors import one_line
from reelmill.media.tool_jobs import cancel_job
from reelmill.planning.stragglers import RunningTask, worst_straggler
from reelmill.progress import drop_board, open_board
from reelmill.records import Record

Key = TypeVar("Key", bound=Hashable)


@runtime_checkable
class Elsewhere(Protocol):
    """A future of a task that runs elsewhere."""

    @property
    def was_lost(self) -> bool:
        """Whether nobody will ever know what became of the task."""
        ...

    @property
    def began_s(self) -> float | None:
        """When it was begun, in seconds of the monotonic clock; None of what has not, as far as is known."""
        ...


@dataclass(frozen=True)
class Mapped:
    """A task with siblings: those of its `kind`. It takes as long as it costs, in any unit, and gives records.

    `submit` is given the name of the try, a part of the attempt, so that one try can be cancelled and not the other.
    """

    label: str
    kind: Hashable
    cost: float
    submit: Callable[[str], PrefectFuture[Any]]


@dataclass(eq=False)
class Try(Generic[Key]):
    """One submission of a task. `other` runs beside it, and the first of the two that succeeds has `beaten` it."""

    key: Key
    submit: Callable[[], PrefectFuture[Any]]
    mapped: Mapped | None = None
    attempt: str = ""
    number: int = 1
    submitted_s: float = 0.0
    other: Try[Key] | None = None
    beaten: bool = False


class SecondTries(Generic[Key]):
    """Knows the pace of finished tasks of one attempt. With a `factor` of None there is no second try of anything."""

    def __init__(self, attempt: str, factor: float | None, say: Callable[[str], None]):
        self._attempt = attempt
        self._factor = factor
        self._say = say
        self._paces: defaultdict[Hashable, list[float]] = defaultdict(list)
        self._tried_again: set[Key] = set()

    def first(self, key: Key, mapped: Mapped) -> Try[Key]:
        return self._try(key, mapped, 1)

    def second(self, running: Mapping[Try[Key], PrefectFuture[Any]]) -> Try[Key] | None:
        """Return a second try of the worst straggler that has had none; None where there is none."""
        if self._factor is None:
            return None
        tasks = (
            RunningTask(each, each.mapped.kind, each.mapped.cost, took_s)
            for each, future in running.items()
            if each.mapped and each.key not in self._tried_again and (took_s := _running_s(each, future)) is not None
        )
        late = worst_straggler(tasks, self._paces, self._factor)
        if late is None or late.name.mapped is None:
            return None
        first, mapped = late.name, late.name.mapped
        self._tried_again.add(first.key)
        second = self._try(first.key, mapped, 2)
        open_board(second.attempt)  # of its own: what the two have done must not be mixed
        first.other, second.other = second, first
        self._say(f"{mapped.label} has taken {late.took_s:.0f} s, far longer than others: a second try of it begins")
        return second

    def is_answer(self, each: Try[Key], future: PrefectFuture[Any]) -> bool:
        """Whether what one try came to is what came of its task: not while another try may still do better.

        The first that succeeds is the answer, and what runs of the other is killed.
        """
        if self._factor is None or each.mapped is None:
            return True
        drop_board(each.attempt)
        if each.beaten:
            return False
        other, each.other = each.other, None
        took_s = _running_s(each, future)  # before it is asked for its result, which ends what is known of it
        error = _error(future)
        if error is None:
            self._note_pace(each.mapped, took_s, future)
        if other is not None:
            self._settle(each, other, each.mapped, error)
        return other is None or error is None

    def _settle(self, each: Try[Key], other: Try[Key], mapped: Mapped, error: Exception | None) -> None:
        """Let the other try go on where this one failed, or else kill it."""
        other.other = None
        if error is not None:
            self._say(f"One try of {mapped.label} failed, the other goes on: {one_line(str(error))}")
            return
        other.beaten = True
        self._say(f"{mapped.label}: its {'first' if each.number == 1 else 'second'} try was first")
        cancel_job(other.attempt, f"another try of {mapped.label} was first")

    def _try(self, key: Key, mapped: Mapped, number: int) -> Try[Key]:
        attempt = part_of(self._attempt, part_of(mapped.label, str(number)))
        return Try(key, partial(mapped.submit, attempt), mapped, attempt, number)

    def _note_pace(self, mapped: Mapped, took_s: float | None, future: PrefectFuture[Any]) -> None:
        """Note how long it took, unless there was nothing to do: an earlier run has kept what it would have made."""
        made: Record | Sequence[Record] = future.result()
        records = (made,) if isinstance(made, Record) else made
        if took_s is not None and mapped.cost > 0 and not any(record.reused for record in records):
            self._paces[mapped.kind].append(took_s / mapped.cost)


def _running_s(each: Try[Any], future: PrefectFuture[Any]) -> float | None:
    """Return for how many seconds a try has been at work; None where it waits for a worker, as far as is known."""
    began_s = future.began_s if isinstance(future, Elsewhere) else each.submitted_s
    return None if began_s is None else time.monotonic() - began_s


def _error(future: PrefectFuture[Any]) -> Exception | None:
    """Return what a finished task failed with, None where it succeeded."""
    try:
        future.result()
    except Exception as error:
        return error
    return None

"""Which requests to an object store go wrong, and how: by a seed, so that a run can be had again, or by a script."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args
from urllib.parse import parse_qsl

Kind = Literal["500", "503", "reset", "truncate", "flip", "lost_reply", "slow", "error_in_200"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Of the query, what says which part of an object or a listing is asked for, and is the same in every run.
_STABLE_VALUES = {"list-type", "partNumber", "prefix", "delimiter", "max-keys", "max-parts", "max-uploads"}
# Of the query, what leaves a GET a GET of an object's content.
_CONTENT_PARAMETERS = ("partNumber", "response-", "versionId", "X-Amz-", "x-id")
_SEED_BYTES = 8


@dataclass
class ProxiedRequest:
    """One request as it came in; `status` and `fault` are set before the client can see any of the answer.

    `status` is what the client is told, or would have been; None where the store gave no answer.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """By lower-case name, without the authorization."""
    status: int | None = None
    fault: Kind | None = None
    """What was done to it: a fault that its answer has no room for, such as a flip in an empty body, is none."""

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def is_copy(self) -> bool:
        """Whether the store itself is to copy an object, or a range of one."""
        return self.method == "PUT" and "x-amz-copy-source" in self.headers

    @property
    def is_complete(self) -> bool:
        """Whether it ends a multipart upload."""
        return self.method == "POST" and "uploadId" in self.parameters

    @property
    def is_content(self) -> bool:
        """Whether a flipped bit in it, or in its answer, is one in an object."""
        if self.method == "PUT":
            return self.headers.get("content-length") != "0" and not self.is_copy
        named = self.path.strip("/").count("/") > 0
        return self.method == "GET" and named and all(each.startswith(_CONTENT_PARAMETERS) for each in self.parameters)


@dataclass(frozen=True)
class Fault:
    kind: Kind
    where: float = 0.5
    """How far into the body it strikes: from 0 to less than 1."""


FaultPolicy = Callable[[ProxiedRequest], Fault | Kind | None]


def request_class(request: ProxiedRequest) -> str:
    """Return what a request has in common with its own retries, and with itself in another run.

    That is method, path, range and query, without the values that a store or a clock makes up: upload ids, versions,
    markers, signatures.
    """
    query = sorted((name, value if name in _STABLE_VALUES else "") for name, value in request.parameters.items())
    return f"{request.method} {request.path} {request.headers.get('range', '')} {query}"


class Faults:
    """Strikes a `rate` of the requests with one of `kinds`, never the same request more than `most_in_a_row` times.

    The n-th request of a class has the same fate in every run with the same seed, whatever other threads do meanwhile.
    Paths that differ from run to run, be it by the bucket, need a `classify` of their own.
    """

    def __init__(
        self,
        seed: int,
        rate: float,
        kinds: Sequence[Kind] = KINDS,
        *,
        most_in_a_row: int = 2,
        classify: Callable[[ProxiedRequest], str] = request_class,
    ):
        self._seed, self._rate, self._kinds = seed, rate, tuple(kinds)
        self._most_in_a_row, self._classify = most_in_a_row, classify
        self._lock = threading.Lock()
        self._seen: defaultdict[str, int] = defaultdict(int)
        self._in_a_row: defaultdict[str, int] = defaultdict(int)

    def __call__(self, request: ProxiedRequest) -> Fault | None:
        fitting: list[Kind] = [kind for kind in self._kinds if fits(kind, request)]
        name = self._classify(request)
        with self._lock:
            self._seen[name] += 1
            struck, which, where = _draws(f"{self._seed} {self._seen[name]} {name}")
            if not fitting or struck >= self._rate or self._in_a_row[name] >= self._most_in_a_row:
                self._in_a_row[name] = 0
                return None
            self._in_a_row[name] += 1
        return Fault(fitting[int(which * len(fitting))], where)


def fits(kind: Kind, request: ProxiedRequest) -> bool:
    """Return whether `kind` makes sense for `request`: every kind does, but for those about bodies it may not have."""
    if kind == "truncate":
        return request.method == "GET"
    if kind == "flip":
        return request.is_content
    if kind == "error_in_200":
        return request.is_copy or request.is_complete
    return True


def _draws(name: str) -> tuple[float, float, float]:
    """Return three numbers from 0 to less than 1 that depend on `name` alone."""
    digest = blake2b(name.encode(), digest_size=3 * _SEED_BYTES).digest()
    numbers = [int.from_bytes(digest[at : at + _SEED_BYTES]) >> 11 for at in range(0, len(digest), _SEED_BYTES)]
    first, second, third = (number / (1 << 53) for number in numbers)
    return first, second, third

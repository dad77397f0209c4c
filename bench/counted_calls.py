"""Counts what this process asks of a Prefect server and of object stores."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

_lock = threading.Lock()


def count_calls() -> Counter[str]:
    """Return what is counted from now on: `prefect request`, `prefect event`, and `store GET` and the like."""
    from botocore.httpsession import URLLib3Session
    from httpx import AsyncClient
    from httpx import Client as SyncClient
    from prefect.events.clients import PrefectEventsClient

    calls: Counter[str] = Counter()

    def count(what: str) -> None:
        with _lock:
            calls[what] += 1

    ask, ask_later, emit, send = SyncClient.send, AsyncClient.send, PrefectEventsClient.emit, URLLib3Session.send

    def counted_ask(self: Any, *given: Any, **options: Any) -> Any:
        count("prefect request")
        return ask(self, *given, **options)

    async def counted_ask_later(self: Any, *given: Any, **options: Any) -> Any:
        count("prefect request")
        return await ask_later(self, *given, **options)

    async def counted_emit(self: Any, *given: Any, **options: Any) -> Any:
        count("prefect event")
        return await emit(self, *given, **options)

    def counted_send(self: Any, request: Any) -> Any:
        count(f"store {request.method}")
        return send(self, request)

    SyncClient.send, AsyncClient.send = counted_ask, counted_ask_later
    PrefectEventsClient.emit, URLLib3Session.send = counted_emit, counted_send
    return calls

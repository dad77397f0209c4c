"""Servers that all processes of a test run share: one of each kind, started when it is first asked for.

They belong to the process that was started by hand, which under pytest-xdist hands out tests to others: it outlives
them, and answers them at a socket.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from multiprocessing.managers import BaseManager
from threading import Event, Lock, Thread
from typing import Any

Kinds = Mapping[str, Callable[[], AbstractContextManager[Any]]]


class SharedServers:
    """Starts servers, each in a thread that lasts as long as it: programs may die with the thread they began in."""

    def __init__(self, kinds: Kinds):
        self._kinds, self._over, self._lock = kinds, Event(), Lock()
        self._servers: dict[str, Future[Any]] = {}
        self._threads: list[Thread] = []

    def get(self, kind: str) -> Any:
        """Return the server of this kind, once it is ready. Raises what its start failed with, each time."""
        with self._lock:
            if kind not in self._servers:
                self._servers[kind] = Future()
                self._threads.append(Thread(target=self._run, args=(kind, self._servers[kind])))
                self._threads[-1].start()
        return self._servers[kind].result()

    def _run(self, kind: str, found: Future[Any]) -> None:
        try:
            with self._kinds[kind]() as server:
                found.set_result(server)
                self._over.wait()
        except Exception as error:
            if found.done():
                raise
            found.set_exception(error)

    def stop(self) -> None:
        self._over.set()
        for each in self._threads:
            each.join()


class _Door(BaseManager):
    """Where other processes ask. What they ask for comes to them pickled."""

    servers: Callable[[], Any]


def serve(servers: SharedServers) -> tuple[str, bytes]:
    """Let other processes ask for servers from now on, by the address and the key that this returns."""
    _Door.register("servers", callable=lambda: servers, exposed=["get"])
    key = secrets.token_bytes(16)
    door = _Door(authkey=key).get_server()
    Thread(target=door.serve_forever, daemon=True).start()
    return str(door.address), key


def servers_at(address: str, key: bytes) -> Any:
    """Return what stands for the servers of another process: it has their `get`."""
    _Door.register("servers", exposed=["get"])
    door = _Door(address, key)
    door.connect()
    return door.servers()

"""`reelmill intake`: takes in what is uploaded and what messages ask for, until it is told to end."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from cli.prefect_server import refuse_without_server
from reelmill.errors import InvalidParameter
from reelmill.intake.folder_watch import watch
from reelmill.intake.push import push_endpoint
from reelmill.intake.queue import poll
from reelmill.intake.receiving import handler
from reelmill.intake.rules import inboxes
from reelmill.settings import settings
from reelmill.storage.queue import Queue

READY = "takes in uploads and messages"
_ENDS_WITHIN_S = 5.0


def intake() -> int:
    """Start a job for each upload: folders are watched, a queue is polled, and notifications are taken by HTTP.

    What of it is done the REELMILL_INTAKE_ settings say. ^C ends it.
    """
    refuse_nothing_to_take_in()
    refuse_without_server()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Prefect reads its settings when it is imported.
    from tasks.taking_in import bury_and_tell, start_and_log, start_transfer_and_log

    wanted = settings()
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    handle = handler(start_and_log, start_transfer_and_log)
    failures: list[BaseException] = []
    with ExitStack() as running:
        running.callback(stop.set)
        if wanted.intake_token is not None:
            print(f"taking notifications at {running.enter_context(push_endpoint(handle, bury_and_tell))}", flush=True)
        workers: list[tuple[str, Callable[[], None]]] = [
            (f"watching {inbox}", partial(watch, inbox, start_and_log, stop))
            for inbox in inboxes()
            if isinstance(inbox, Path)
        ]
        if wanted.intake_queue_url:
            queue = Queue(wanted.intake_queue_url)
            workers.append((f"polling {queue.url}", partial(poll, queue, handle, stop, bury_and_tell)))
        for what, work in workers:
            print(what, flush=True)
            thread = threading.Thread(target=_run, args=(work, stop, failures), name=what, daemon=True)
            thread.start()
            running.callback(thread.join, timeout=_ENDS_WITHIN_S)
            running.callback(stop.set)
        print(READY, flush=True)
        stop.wait()
    if failures:
        raise failures[0]
    return 0


def takes_anything_in() -> bool:
    """Whether the settings name something that `reelmill intake` would take uploads or messages from."""
    wanted = settings()
    folders = any(isinstance(each, Path) for each in inboxes())
    return bool(folders or wanted.intake_queue_url or wanted.intake_token)


def refuse_nothing_to_take_in() -> None:
    if not takes_anything_in():
        raise InvalidParameter(
            "there is nothing to take in: set REELMILL_INTAKE_INBOX to a folder, REELMILL_INTAKE_QUEUE_URL, "
            "or REELMILL_INTAKE_TOKEN"
        )


def _run(work: Callable[[], None], stop: threading.Event, failures: list[BaseException]) -> None:
    try:
        work()
    except BaseException as error:
        failures.append(error)
        stop.set()

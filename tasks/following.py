"""The steps that follow a job: the operator's hooks, and callbacks to whoever waits for it."""

from __future__ import annotations

import threading
import time
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from reelmill.errors import CallbackFailed, CallbackNotAllowed, ReelmillError
from reelmill.hooks.callbacks import check_callback, message, send
from reelmill.hooks.post_process import load_hook, note_done, pending_hooks, promise_hooks, run_hook
from reelmill.manifest import FILE_NAME, Manifest
from reelmill.preparing import AcceptedJob
from reelmill.progress import Snapshot
from reelmill.settings import settings
from reelmill.storage.location import Location
from tasks.reporting import unwatch, watch
from tasks.retrying import RETRY


@task(name="hook", task_run_name="hook-{name}", cache_policy=NO_CACHE, **RETRY)
def follow_hook(name: str, manifest: Manifest, output: Location) -> None:
    """Run one of the operator's hooks."""
    run_hook(name, manifest, output)


@task(name="callback", task_run_name="callback-{told[event]}", cache_policy=NO_CACHE, **RETRY)
def send_callback(url: str, told: dict[str, Any]) -> None:
    """Send one message."""
    send(url, told)


class Followers:
    """What one run of a job owes to others. Raises InvalidParameter, CallbackNotAllowed before anything is done."""

    def __init__(self, accepted: AcceptedJob, attempt: str):
        self._accepted = accepted
        self._attempt = attempt
        self._url = accepted.job.callback_url or settings().callback_url
        self._told_s = time.monotonic()
        self._telling: threading.Thread | None = None
        for name in settings().post_process:
            load_hook(name)
        if self._url is not None:
            check_callback(self._url)
            watch(self._progress)

    def promise(self) -> None:
        """Note what will be owed, before the outputs are published."""
        promise_hooks(self._accepted.key, self._attempt)

    def finish(self, manifest: Manifest) -> Manifest:
        """Run the hooks that are pending for a published result, tell of it, and return its manifest.

        Raises HookFailed, CallbackFailed. The result stays; another run of the job does only what is left.
        """
        key, retries = self._accepted.key, settings().retries
        left = pending_hooks(key, manifest.attempt)
        while left:
            follow_hook.with_options(retries=retries)(left[0], manifest, self._accepted.output)
            left = left[1:]
            note_done(key, manifest.attempt, left)
        if self._url is not None:
            self._settle()
            address = str(self._accepted.output / FILE_NAME)
            told = self._message("completed", manifest.attempt, manifest=address, error=None)
            send_callback.with_options(retries=retries)(self._url, told)
        return manifest

    def fail(self, error: BaseException) -> None:
        """Tell why there is no result, once where the run was interrupted. That this fails is only logged."""
        if self._url is None or isinstance(error, CallbackFailed):
            return
        self._settle()
        code = error.code if isinstance(error, ReelmillError) else type(error).__name__
        told = self._message("failed", self._attempt, manifest=None, error={"code": code, "message": str(error)})
        try:
            if isinstance(error, Exception):
                send_callback.with_options(retries=settings().retries)(self._url, told)
            else:
                send(self._url, told)
        except (CallbackFailed, CallbackNotAllowed) as failure:
            get_run_logger().warning("%s; nobody was told that the job failed", failure)

    def close(self) -> None:
        """End it: nothing is told any more."""
        if self._url is not None:
            unwatch(self._progress)

    def _progress(self, snapshot: Snapshot) -> None:
        """Tell where the job stands, now and then, in a thread of its own: a slow receiver holds nothing up."""
        busy = self._telling is not None and self._telling.is_alive()
        if busy or time.monotonic() - self._told_s < settings().callback_every_s:
            return
        self._told_s = time.monotonic()
        standing = {"share": round(snapshot.share, 4), "frames": snapshot.done, "of": snapshot.total}
        told = self._message("progress", f"{self._attempt} {snapshot.done}", progress=standing)
        self._telling = threading.Thread(target=self._tell_quietly, args=(told,), daemon=True)
        self._telling.start()

    def _tell_quietly(self, told: dict[str, Any]) -> None:
        assert self._url is not None
        try:
            send(self._url, told)
        except (CallbackFailed, CallbackNotAllowed):
            return  # the next one says more, and the last one is sent again until it is answered

    def _settle(self) -> None:
        """Wait for a message that is under way, so that the last one comes last."""
        if self._telling is not None:
            self._telling.join()

    def _message(self, event: Any, about: str, **content: Any) -> dict[str, Any]:
        run = flow_run.id
        return message(
            event, job_key=self._accepted.key, about=about, run=str(run) if run else None,
            source=str(self._accepted.source.location), output=str(self._accepted.output), **content,
        )  # fmt: skip

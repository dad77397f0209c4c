"""The operator's hooks: found by path or by entry point, and owed until they were run."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from reelmill.errors import InvalidParameter
from reelmill.hooks import post_process
from reelmill.hooks.post_process import load_hook, note_done, pending_hooks, promise_hooks
from reelmill.settings import settings
from tests.live_jobs import files_below


def test_a_hook_is_found_by_its_path():
    assert load_hook("os.path:join").__name__ == "join"


def test_a_hook_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch):
    installed = EntryPoints([EntryPoint("catalogue", "os.path:join", post_process.GROUP)])
    monkeypatch.setattr(post_process, "entry_points", lambda group: installed.select(group=group))
    assert load_hook("catalogue").__name__ == "join"


@pytest.mark.parametrize("name", ["nowhere.at_all:function", "os.path:nothing", "no-such-entry-point", "os:sep", ":"])
def test_a_hook_that_is_not_there_is_said(name: str):
    with pytest.raises(InvalidParameter, match="REELMILL_POST_PROCESS"):
        load_hook(name)


def test_a_hook_is_owed_for_one_attempt_until_it_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REELMILL_POST_PROCESS", "os:getcwd, os:getpid")
    settings.cache_clear()
    assert pending_hooks("key", "first") == ()
    promise_hooks("key", "first")
    assert pending_hooks("key", "first") == ("os:getcwd", "os:getpid")
    assert pending_hooks("key", "other") == pending_hooks("other", "first") == ()
    note_done("key", "first", ("os:getpid",))
    assert pending_hooks("key", "first") == ("os:getpid",)
    note_done("key", "first", ())
    assert pending_hooks("key", "first") == ()
    assert files_below(tmp_path / "reelmill-work") == []

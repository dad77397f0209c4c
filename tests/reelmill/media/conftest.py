"""What the tests of the one door to other processes share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.tool_runs import InThread, Tools, run


@pytest.fixture
def tools() -> Iterator[Tools]:
    """List the processes below this one that a test started. It must leave none."""
    before = psutil.Process().children(recursive=True)

    def started() -> list[psutil.Process]:
        return [process for process in psutil.Process().children(recursive=True) if process not in before]

    yield started
    assert started() == []


@pytest.fixture
def in_thread() -> Iterator[InThread]:
    """Start a run in a thread."""
    with ThreadPoolExecutor() as threads:
        yield lambda *args, **kwargs: threads.submit(run, *args, **kwargs)

"""The one door to other processes: cancelling, and that nothing it started outlives the wait for it."""

import ctypes
import sys
import threading
import time
import uuid
from pathlib import Path
from subprocess import PIPE, Popen

import psutil
import pytest

from reelmill.errors import JobCancelled
from reelmill.media import tool
from reelmill.media.tool import Progress, cancel_job, refuse_cancelled
from tests.live_jobs import wait_until
from tests.tool_runs import ENDLESS, InThread, Tools, python, run

pytestmark = pytest.mark.usefixtures("tools")


@pytest.fixture
def job_key() -> str:
    """A key of the test's own: a job that was cancelled stays so for as long as the process lives."""
    return uuid.uuid4().hex


# Cancelling


def test_cancel_kills_the_tool_and_what_it_started(job_key: str, tools: Tools, in_thread: InThread):
    running = in_thread(["sh", "-c", "sleep 60 & (sleep 60; true) & wait"], job_key=job_key)
    wait_until(lambda: len(tools()) == 4)
    began = time.monotonic()
    cancel_job(job_key)
    with pytest.raises(JobCancelled):
        running.result(5)
    wait_until(lambda: not tools())
    assert time.monotonic() - began < 2


def test_a_cancelled_job_starts_nothing_any_more(job_key: str):
    refuse_cancelled(job_key)
    cancel_job(job_key)
    for _ in range(2):
        with pytest.raises(JobCancelled):
            refuse_cancelled(job_key)
        with pytest.raises(JobCancelled):
            run(python("pass"), job_key=job_key)
    refuse_cancelled("another")
    run(python("pass"), job_key="another")


def test_cancel_reaches_one_job_only(job_key: str, tools: Tools, in_thread: InThread):
    running = [in_thread(ENDLESS, job_key=job_key) for _ in range(2)]
    wait_until(lambda: len(tools()) == 2)
    spared = in_thread(python("time.sleep(3)"), job_key="another")
    wait_until(lambda: len(tools()) == 3)
    cancel_job(job_key)
    for future in running:
        with pytest.raises(JobCancelled):
            future.result(20)
    assert spared.result(20).wall_s > 2.9


def test_cancel_kills_the_tool_of_a_thread_that_is_busy_elsewhere(job_key: str, tools: Tools):
    def cancel_and_stay(progress: Progress) -> None:
        cancel_job(job_key)
        wait_until(lambda: all(process.status() == psutil.STATUS_ZOMBIE for process in tools()), within_s=2)

    with pytest.raises(JobCancelled):
        run(ENDLESS, job_key=job_key, on_progress=cancel_and_stay)


def test_cancel_in_the_middle_of_starts_leaves_nothing(job_key: str, in_thread: InThread):
    for number in range(15):
        key = f"{job_key} {number}"
        running = [in_thread(["sleep", "60"], job_key=key) for _ in range(3)]
        time.sleep(0.003)
        cancel_job(key)
        for future in running:
            with pytest.raises(JobCancelled):
                future.result(3)


# Nothing outlives its wait


def test_what_a_finished_tool_left_running_is_killed(tools: Tools):
    began = time.monotonic()
    assert run(["sh", "-c", "sleep 60 & echo ready"], capture_stdout=True).stdout == b"ready\n"
    assert time.monotonic() - began < 2
    wait_until(lambda: not tools(), within_s=2)


def test_an_error_of_the_listener_ends_the_tool():
    def fail(progress: Progress) -> None:
        raise LookupError("listener")

    with pytest.raises(LookupError):
        run(ENDLESS, on_progress=fail)


def test_an_exception_thrown_into_the_waiting_thread_ends_the_tool():
    class TimedOut(BaseException):
        pass

    caught: list[BaseException] = []

    def wait() -> None:
        try:
            run(["sleep", "60"])
        except TimedOut as error:
            caught.append(error)

    for delay_s in [0.002, 0.004, 0.006, 0.008, 0.01, 0.02, 0.3]:
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(delay_s)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimedOut))
        thread.join(2)
        assert not thread.is_alive()
    assert len(caught) == 7


def test_kill_9_of_the_process_kills_its_tool():
    code = f"from reelmill.media.tool import run_tool; run_tool({ENDLESS!r}, job_key='', stall_timeout_s=60)"
    with Popen([sys.executable, "-c", code], cwd=Path(tool.__file__).parents[2], stdout=PIPE) as parent:
        process = psutil.Process(parent.pid)
        wait_until(lambda: any(child.name().startswith("ffmpeg") for child in process.children()))
        ffmpeg = process.children()[0]
        parent.kill()
        wait_until(lambda: not ffmpeg.is_running() or ffmpeg.status() == psutil.STATUS_ZOMBIE, within_s=2)


def test_many_threads_at_once_keep_their_runs_apart(in_thread: InThread):
    running = [in_thread(python(f"os.write(1, b'{n}' * 50_000)"), capture_stdout=True) for n in range(24)]
    assert [done.result(10).stdout for done in running] == [f"{n}".encode() * 50_000 for n in range(24)]


def test_runs_leave_no_open_files():
    before = psutil.Process().num_fds()
    for _ in range(20):
        run(["true"])
    assert psutil.Process().num_fds() < before + 10  # other threads may open some

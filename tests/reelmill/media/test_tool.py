"""The one door to other processes: what it reports, how it fails, and what a tool is given."""

import os
import pickle
import signal
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from reelmill.errors import ToolFailed, ToolKilled, ToolMissing, ToolStalled
from reelmill.media import tool, tool_watch
from reelmill.media.tool import Progress
from reelmill.settings import settings
from tests.ffmpeg_tool import FFMPEG
from tests.live_jobs import wait_until
from tests.tool_runs import ENDLESS, QUIET, InThread, Tools, clip, python, run

pytestmark = pytest.mark.usefixtures("tools")

# What a run reports


def test_progress_ends_at_the_number_of_frames_and_the_run_tells_its_cost():
    seen: list[Progress] = []
    done = run(clip(500, "-f", "null", "-"), on_progress=seen.append)
    assert (seen[-1].frames, seen[-1].out_time_us) == (500, 20_000_000)
    assert seen[-1].speed is None or seen[-1].speed > 0
    assert done.cpu_s > 0
    assert done.wall_s > 0
    assert (done.messages, done.message_count, done.stdout) == ((), 0, b"")


@pytest.mark.parametrize("exit_code", [0, 3])
def test_cpu_is_told_while_it_runs_and_in_the_end_also_of_a_failure(exit_code: int):
    so_far: list[float] = []
    ends: list[tuple[float, float]] = []
    busy = python(f"began = time.process_time()\nwhile time.process_time() - began < 0.6: pass\nsys.exit({exit_code})")
    with pytest.raises(ToolFailed) if exit_code else nullcontext():
        run(busy, on_cpu=so_far.append, on_end=lambda *took: ends.append(took))
    [(cpu_s, wall_s)] = ends
    assert so_far == sorted(so_far)
    assert 0.1 < so_far[-1] <= cpu_s + 0.02
    assert 0.6 <= cpu_s <= wall_s + 0.05


def test_not_available_is_none_and_no_advance_is_still_reported():
    report = "frame=0\nout_time_us=N/A\nspeed=N/A\nprogress=continue\n"
    seen: list[Progress] = []
    run(python(f"print({report + report!r})"), on_progress=seen.append)
    assert seen == [Progress(0, None, None)] * 2


def test_reports_cut_anywhere_between_two_reads_are_whole():
    code = r"[(os.write(1, bytes([b])), time.sleep(0.001)) for b in b'frame=7\nspeed= 1.5x\nprogress=end\n']"
    seen: list[Progress] = []
    run(python(code), on_progress=seen.append)
    assert seen == [Progress(7, None, 1.5)]


def test_peak_memory_is_the_tools_and_not_that_of_who_started_it():
    ours = b"x" * (300 << 20)
    done = run(python("x = b'x' * (40 << 20); time.sleep(0.5)"))
    assert len(ours) > done.max_rss_bytes > 40 << 20


def test_captured_stdout_is_every_byte(tmp_path: Path):
    argv = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "99", "-pix_fmt", "gray"]
    run([*argv, "-f", "rawvideo", str(tmp_path / "file")])
    done = run([*argv, "-f", "rawvideo", "-"], capture_stdout=True)
    assert len(done.stdout) == 64 * 64 * 99
    assert done.stdout == (tmp_path / "file").read_bytes()


def test_damage_in_a_run_that_ends_well_is_in_its_messages(tmp_path: Path):
    path = tmp_path / "damaged.ts"
    run(clip(50, "-c:v", "libx264", "-g", "5", str(path)))
    video = bytearray(path.read_bytes())
    video[len(video) // 2 :: 97] = b"\xa5" * len(video[len(video) // 2 :: 97])
    path.write_bytes(video)
    done = run([*QUIET, "-i", str(path), "-f", "null", "-"])
    assert done.message_count >= len(done.messages) > 0
    assert all("[error] " in message for message in done.messages)


def test_messages_are_counted_all_and_kept_fifty_of():
    levels = [
        "[warning] w",
        "[error] e",
        "[h264 @ 0x5f] [fatal] f",
        "[a,b @ 0x1] [b#0:0 @ 0x2] [panic] p",
        "[info] [error]",
    ]
    done = run(python(f"[print(line, file=sys.stderr) for line in {levels!r} * 20]"))
    assert done.message_count == 60
    assert done.messages == tuple((levels[1:4] * 20)[:50])


def test_ten_megabytes_of_stderr_neither_block_nor_pile_up():
    with pytest.raises(ToolFailed) as failed:
        run(python("[os.write(2, b'x' * 99_999 + b'\\n') for _ in range(105)]; os.write(2, b'the end'); sys.exit(3)"))
    assert failed.value.stderr_tail.endswith("\nthe end")
    assert len(failed.value.stderr_tail) < 20 * 501


# How a run fails


def test_a_failure_carries_its_evidence_through_pickle(tmp_path: Path):
    with pytest.raises(ToolFailed, match=r"ffmpeg ended with code \d+: .*No such file") as failed:
        run([*QUIET, "-i", str(tmp_path / "none.mp4"), "-f", "null", "-"])
    again = pickle.loads(pickle.dumps(failed.value))
    assert (type(again), str(again), again.argv) == (ToolFailed, str(failed.value), failed.value.argv)


def test_stderr_can_not_steer_a_terminal():
    with pytest.raises(ToolFailed) as failed:
        run(python(r"print('\x1b[2Jred\x07', file=sys.stderr); sys.exit(1)"))
    assert failed.value.stderr_tail == "[2Jred"


def test_an_executable_that_is_not_there_or_none_is_missing(tmp_path: Path):
    script = tmp_path / "tool"
    for argv in ([str(script)], ["no-such-tool"]):
        with pytest.raises(ToolMissing, match="No such file"):
            run(argv)
    script.write_text("no script")
    with pytest.raises(ToolMissing, match="Permission denied"):
        run([str(script)])
    script.chmod(0o755)
    with pytest.raises(ToolMissing, match="Exec format error"):
        run([str(script)])


def test_a_folder_that_is_not_there_may_be_tried_again(tmp_path: Path):
    with pytest.raises(ToolFailed, match="No such file or directory"):
        run(python("pass"), cwd=tmp_path / "gone")


def test_a_tool_runs_in_its_folder(tmp_path: Path):
    assert run(python("print(os.getcwd())"), cwd=tmp_path, capture_stdout=True).stdout.decode().strip() == str(tmp_path)


def test_a_signal_from_elsewhere_is_told_apart(tools: Tools, in_thread: InThread):
    running = in_thread(ENDLESS)
    wait_until(tools)
    tools()[0].kill()
    with pytest.raises(ToolKilled, match="killed by signal 9"):
        running.result(5)


def test_a_status_that_somebody_else_took_is_a_failure(tools: Tools):
    def take(progress: Progress) -> None:
        process = tools()[0]
        process.kill()
        os.waitpid(process.pid, 0)

    with pytest.raises(ToolFailed, match="ended with code 255"):
        run(ENDLESS, on_progress=take)


def test_a_file_larger_than_allowed_ends_the_tool(tmp_path: Path):
    path = tmp_path / "large"
    with pytest.raises(ToolFailed) as failed:
        run(clip(100_000, "-c:v", "rawvideo", "-f", "nut", str(path)), max_file_bytes=1_000_000)
    assert failed.value.tool_exit_code == -signal.SIGXFSZ or "File too large" in failed.value.stderr_tail
    assert path.stat().st_size <= 1_000_000


# Stalls


@pytest.mark.parametrize("capture_stdout", [True, False])
def test_silence_without_work_is_a_stall(capture_stdout: bool):
    with pytest.raises(ToolStalled, match=r"made no progress and was killed: \[error\] last words"):
        run(
            python("print('[error] last words', file=sys.stderr, flush=True); time.sleep(60)"),
            stall_timeout_s=0.4,
            capture_stdout=capture_stdout,
        )


def test_a_stopped_ffmpeg_is_a_stall(tools: Tools):
    def stop(progress: Progress) -> None:
        if progress.frames:
            tools()[0].send_signal(signal.SIGSTOP)

    with pytest.raises(ToolStalled):
        run(ENDLESS, stall_timeout_s=0.8, on_progress=stop)


def test_reports_that_never_change_are_a_stall():
    with pytest.raises(ToolStalled):
        run(
            python("[(print('frame=1\\nprogress=continue', flush=True), time.sleep(0.1)) for _ in range(600)]"),
            stall_timeout_s=0.6,
        )


def test_a_silent_tool_at_work_has_not_stalled():
    run(
        python("end = time.process_time() + 1; all(iter(lambda: time.process_time() < end, False))"),
        stall_timeout_s=0.3,
    )


def test_work_without_an_end_is_a_stall_at_last(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tool_watch, "_BUSY_WINDOWS", 3)
    began = time.monotonic()
    with pytest.raises(ToolStalled):
        run(python("all(iter(lambda: True, False))"), stall_timeout_s=0.3)
    assert time.monotonic() - began > 4 * 0.3


# What a tool is given


def test_a_tool_has_no_stdin_no_credentials_and_its_own_group(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", "REELMILL_CATALOG"):
        monkeypatch.setenv(name, "canary")
    code = "print(sys.stdin.read(), 'canary' in os.environ.values(), os.getpgid(0) == os.getpid())"
    assert run(python(code), capture_stdout=True).stdout.split() == [b"False", b"True"]


def test_niceness_holds_for_the_whole_group_and_never_favours_a_tool():
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    code = "time.sleep(0.2); print(os.getpriority(os.PRIO_PROCESS, 0))"
    assert run(python(code), niceness=ours + 3, capture_stdout=True).stdout.strip() == f"{ours + 3}".encode()
    assert run(python(code), niceness=ours - 1, capture_stdout=True).stdout.strip() == f"{ours}".encode()


# Which ffmpeg


def fake_ffmpeg(path: Path, monkeypatch: pytest.MonkeyPatch, first_line: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{first_line}'\necho configuration: 5.0\n")
    path.chmod(0o755)
    monkeypatch.setattr(tool, "settings", lambda: settings().model_copy(update={"ffmpeg": path}))


def test_the_ffmpeg_of_the_lock_file_is_new_enough():
    assert tool.ffmpeg_path() == FFMPEG
    assert int(tool.ffmpeg_version().lstrip("n").partition(".")[0]) >= 6


@pytest.mark.parametrize(
    "version",
    ["6.0", "n9.0.2-17-g2a571b6068-20260930", "7.1.1-1ubuntu1", "N-109421-g9adf02247c", "git-2026-01-31-3c5e2d"],
)
def test_releases_since_6_and_snapshots_are_accepted(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake_ffmpeg(tmp_path / "ffmpeg", monkeypatch, f"ffmpeg version {version} Copyright (c) the FFmpeg developers")
    assert tool.ffmpeg_version() == version


@pytest.mark.parametrize(
    ("first_line", "why"),
    [
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright", "is ffmpeg 5.1.9-0.deb12u1, the oldest that works is 6.0"),
        ("ffmpeg version n4.4 Copyright", "is ffmpeg n4.4"),
        ("ImageMagick 7.1", "is not ffmpeg: it calls itself 'ImageMagick 7.1'"),
        ("", "is not ffmpeg"),
    ],
)
def test_older_releases_and_other_programs_are_refused(
    first_line: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fake_ffmpeg(tmp_path / "ffmpeg", monkeypatch, first_line)
    with pytest.raises(ToolMissing, match=why):
        tool.ffmpeg_version()


def test_an_ffmpeg_that_is_not_there_or_not_executable_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "ffmpeg"
    monkeypatch.setattr(tool, "settings", lambda: settings().model_copy(update={"ffmpeg": path}))
    with pytest.raises(ToolMissing, match="no executable ffmpeg at"):
        tool.ffmpeg_path()
    path.touch(0o644)
    with pytest.raises(ToolMissing, match="no executable ffmpeg at"):
        tool.ffmpeg_path()

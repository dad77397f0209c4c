"""The command as a user has it: what it prints, what it exits with, and what is left when it is killed."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest

from cli.main import main
from reelmill.manifest import Manifest, read_manifest
from reelmill.settings import settings
from reelmill.storage.opening import open_store
from tests.conftest import Set
from tests.ffmpeg_tool import FFMPEG, frame_times, run_ffmpeg
from tests.live_jobs import FRAME_RATE, LoggedTool, alive_with, files_below, make_clip, use_tool, wait_until
from tests.subtitle_files import srt_file

ROOT = Path(__file__).parents[2]
SECONDS = 12
FRAMES = SECONDS * FRAME_RATE
NO_SERVER = "http://127.0.0.1:9/api"
GONE_WITHIN_S = 10
SLOW_PROFILE = """\
version: 1
name: slow
video: {codec: h264, preset: veryslow}
"""


@dataclass(frozen=True)
class Command:
    """Runs `reelmill` in `folder`, with this process's settings, against one Prefect server."""

    folder: Path
    server: str

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start it as the leader of a process group of its own."""
        environment = os.environ | {"PREFECT_API_URL": self.server, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *args], cwd=self.folder, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def __call__(self, *args: str, exit_code: int = 0) -> tuple[str, str]:
        """Run it to its end and return its stdout and stderr."""
        code, stdout, stderr = self.run(*args)
        assert code == exit_code, f"exit code {code}\n{stdout}\n{stderr}"
        assert "Traceback" not in stderr
        return stdout, stderr

    def run(self, *args: str) -> tuple[int, str, str]:
        """Run it to its end, whatever that is, and return its exit code, stdout and stderr."""
        with self.start(*args) as process:
            stdout, stderr = process.communicate(timeout=240)
        return process.returncode, stdout, stderr

    def error(self, *args: str, exit_code: int = 2) -> tuple[str, str]:
        """Run it to the error that it must end with, in one line, and return the error's code and message."""
        _, stderr = self(*args, exit_code=exit_code)
        lines = stderr.splitlines()
        found = re.fullmatch(r"error: (\w+): (.+)", lines[-1])
        assert found
        assert exit_code != 2 or len(lines) == 1
        return found[1], found[2]


class CommandHere(Command):
    """Runs it in this process, for what ends before any server is asked: starting one takes longer than that."""

    def run(self, *args: str) -> tuple[int, str, str]:
        stdout, stderr = StringIO(), StringIO()
        given = patch.object(sys, "argv", ["reelmill", *args])
        with chdir(self.folder), given, redirect_stdout(stdout), redirect_stderr(stderr), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Cyclopts application invoked without tokens")
            with pytest.raises(SystemExit) as ended:
                main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, stdout.getvalue(), stderr.getvalue()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SECONDS)


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "short.mp4", seconds=2, size="64x64")


@pytest.fixture
def offline(tmp_path: Path) -> Command:
    """The command where no Prefect server answers."""
    return Command(tmp_path, NO_SERVER)


@pytest.fixture
def here(tmp_path: Path) -> Command:
    return CommandHere(tmp_path, NO_SERVER)


@pytest.fixture
def reelmill(tmp_path: Path, prefect_server: str) -> Command:
    return Command(tmp_path, prefect_server)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoggedTool:
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    return tool


def assert_nothing_written(tmp_path: Path) -> None:
    assert [each.name for each in tmp_path.iterdir() if each.name != "tool"] == []


# What is printed


@pytest.mark.end_to_end
def test_json_is_the_manifest_of_what_was_made(reelmill: Command, short_clip: Path, tmp_path: Path):
    stdout, _ = reelmill("transcode", str(short_clip), "-f", "mp4", "-f", "mkv", "--json")
    output = tmp_path / "short.reelmill"
    assert Manifest.model_validate_json(stdout) == read_manifest(open_store(output))
    assert set(files_below(output)) == {"manifest.json", "short.mp4", "short.mkv"}
    assert len(frame_times(output / "short.mkv")) == 2 * FRAME_RATE


@pytest.mark.end_to_end
def test_finished_job_needs_no_server_and_says_so(
    reelmill: Command, offline: Command, short_clip: Path, tool: LoggedTool
):
    shown, _ = reelmill("transcode", str(short_clip))
    assert "short.mp4" in shown
    assert "50" in shown
    assert len(tool.encodes()) == 1
    tool.forget()
    again, stderr = offline("transcode", str(short_clip))
    assert (again, stderr) == (shown, "finished already: nothing was encoded\n")
    assert [call for call in tool.calls() if call != "-version"] == []


def test_dry_run_prints_the_plan_and_every_command_and_writes_nothing(here: Command, clip: Path, tmp_path: Path):
    stdout, stderr = here("transcode", str(clip), "-f", "mp4", "-f", "flv", "--segment-seconds", "4", "--dry-run")
    assert stderr == ""
    assert "Renditions" in stdout
    assert "h264-180p" in stdout
    lines = stdout.splitlines()
    commands = {name.removeprefix("# "): shlex.split(line) for name, line in pairwise(lines) if name.startswith("# ")}
    encodes = {f"encode-h264-180p-{number:05d}" for number in range(3)}
    assert set(commands) == {"track-aac-audio-1", *encodes, "merge-mp4", "merge-flv"}
    assert {argv[0] for argv in commands.values()} == {FFMPEG}
    assert commands["merge-flv"][-1] == f"file:{tmp_path}/clip.reelmill/clip.flv".replace(f"{tmp_path}/", "")
    assert_nothing_written(tmp_path)


def test_clip_may_begin_with_its_hyphen(here: Command, short_clip: Path):
    appended = ("--append", str(short_clip), "--append-clip", "-", "--append", str(short_clip), "--append-clip", "1.5-")
    stdout, _ = here("plan", str(short_clip), "--clip", "-0:01", *appended, "--json")
    assert json.loads(stdout)["source_frames"] == 25 + 50 + 12


def test_plan_shows_brackets_in_a_name_as_they_stand(here: Command, short_clip: Path):
    stdout, _ = here("plan", str(short_clip), "--name", "talk [intro] [bold]")
    assert "talk [intro] [bold].mp4" in stdout


def test_dry_run_shows_what_is_laid_over_the_picture(here: Command, clip: Path, tmp_path: Path):
    image, lines = tmp_path / "logo.png", srt_file(tmp_path, ("00:00:01,000", "00:00:02,000", "Hello"))
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=8x8", "-frames:v", "1", image)
    laid = ("--watermark", str(image), "--burn-subtitles", str(lines))
    stdout, _ = here("transcode", str(clip), *laid, "--dry-run", "--json")
    plan = json.loads(stdout)
    argv = next(each["argv"] for each in plan["commands"] if each["task"] == "encode-h264-180p-00000")
    graph = argv[argv.index("-filter_complex") + 1]
    assert f"file:{image}" in argv
    assert graph.index("overlay=") < graph.index("ass=filename=")
    assert "burned into the picture: lines.srt, lines: 1" in plan["reasons"]


def test_command_of_a_dry_run_encodes_what_it_says(here: Command, clip: Path, tmp_path: Path):
    stdout, _ = here("transcode", str(clip), "--segment-seconds", "4", "--dry-run", "--json")
    plan = json.loads(stdout)
    assert [each["task"] for each in plan["commands"]][:2] == ["track-aac-audio-1", "encode-h264-180p-00000"]
    argv = plan["commands"][2]["argv"]
    piece = Path(argv[-1].removeprefix("file:"))
    piece.parent.mkdir(parents=True)
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
    assert len(frame_times(piece)) == 4 * FRAME_RATE


def test_version_and_help_are_printed(offline: Command, here: Command):
    import reelmill

    assert offline("--version") == (f"{reelmill.__version__}\n", "")
    for args in (("--help",), ("transcode", "--help"), ("profiles", "--help")):
        stdout, stderr = here(*args)
        assert stdout.startswith("Usage: reelmill")
        assert stderr == ""


# Errors


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("missing.mp4",), "SourceNotFound"),
        (("file:///etc/passwd",), "UriSchemeNotAllowed"),
        (("{clip}", "--workers", "0"), "InvalidParameter"),
        (("{clip}", "--segment-seconds", "nan"), "InvalidParameter"),
        (("{clip}", "--name", "../../x"), "PathEscape"),
        (("{clip}", "-f", "mp4", "-f", "mp4"), "OutputCollision"),
        (("{clip}", "-o", "{folder}"), "OutputCollision"),
        (("{clip}", "-p", "nobody"), "InvalidProfile"),
        (("{clip}", "-p", "/etc/hostname"), "InvalidProfile"),
        (("{clip}", "-o", "/proc/x"), "StoreAccessDenied"),
        (("{clip}", "-o", "/etc/hostname/x"), "StoreAccessDenied"),
        (("{clip}", "-p", ""), "InvalidParameter"),
        (("{clip}", "-o", ""), "InvalidParameter"),
        (("{clip}", "--watermark-text", ""), "InvalidParameter"),
        (("/etc/hostname", "--name", "x"), "MediaUnreadable"),
    ],
)
def test_refusal_is_one_line_and_exit_code_2(
    args: tuple[str, ...], code: str, here: Command, short_clip: Path, tmp_path: Path
):
    given = [each.format(clip=short_clip, folder=short_clip.parent) for each in args]
    assert here.error("transcode", *given)[0] == code
    assert_nothing_written(tmp_path)


def test_error_is_json_too_when_asked(here: Command):
    stdout, stderr = here("transcode", "missing.mp4", "--json", exit_code=2)
    error = json.loads(stdout)["error"]
    assert error["code"] == "SourceNotFound"
    assert stderr == f"error: SourceNotFound: {error['message']}\n"


@pytest.mark.parametrize(
    "args", [("--nope",), ("clip.mp4", "--format", "exe"), ("clip.mp4", "--damage", "shrug"), ()], ids=str
)
def test_command_line_that_cannot_be_read_ends_in_an_error(args: tuple[str, ...], here: Command, tmp_path: Path):
    code, stdout, stderr = here.run("transcode", *args)
    assert code == 2
    assert "Traceback" not in stderr
    assert stdout == ""
    assert_nothing_written(tmp_path)


def test_name_with_a_newline_is_told_in_one_line(here: Command):
    code, message = here.error("transcode", "a\nb.mp4")
    assert code == "InvalidUri"
    assert "a" in message


@pytest.mark.end_to_end
def test_output_that_is_not_what_was_planned_is_exit_code_4(
    reelmill: Command, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An ffmpeg that leaves frames out when it joins, and says that all is well."""
    tool = tmp_path / "ffmpeg"
    tool.write_text(
        '#!/bin/bash\ncase "$*" in *"-f concat"*) set -- "${@:1:$#-1}" -frames:v 10 "${@: -1}";; esac\n'
        f'exec {shlex.quote(FFMPEG)} "$@"\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("REELMILL_FFMPEG", str(tool))
    code, message = reelmill.error("transcode", str(short_clip), exit_code=4)
    assert code == "VerifyFailed"
    assert "frames: 10 of 50" in message
    assert not (tmp_path / "short.reelmill").exists()


# Killed, interrupted, started twice


@contextmanager
def at_work(reelmill: Command, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and go on when at least two pieces are recorded and ffmpeg is at work on the next."""
    with reelmill.start(*args) as process:
        try:
            wait_until(
                lambda: process.poll() is not None or (piece_records() > 1 and alive_with(settings().work_dir)), 120
            )
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            process.kill()


def piece_records() -> int:
    """Count the records of pieces that are complete."""
    records = Path(settings().work_dir).glob("jobs/*/records/*.json")
    return sum(b"parameter_sets" in each.read_bytes() for each in records)


def assert_nothing_visible(output: Path) -> None:
    visible = [each.name for each in output.iterdir() if not each.name.startswith(".")] if output.exists() else []
    assert visible == []


@pytest.fixture
def slow_job(clip: Path, tmp_path: Path) -> list[str]:
    """A job of 12 pieces, each of which takes a while."""
    (tmp_path / "tool").mkdir(exist_ok=True)
    profile = tmp_path / "tool" / "slow.yaml"
    profile.write_text(SLOW_PROFILE)
    return ["transcode", str(clip), "-f", "mp4", "-f", "flv", "-p", str(profile), "-o", "out", "--segment-seconds", "1"]


@pytest.mark.end_to_end
def test_killed_run_leaves_no_ffmpeg_and_the_next_one_goes_on_from_there(
    reelmill: Command, slow_job: list[str], tool: LoggedTool, tmp_path: Path
):
    with at_work(reelmill, *slow_job, "--workers", "2") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        wait_until(lambda: not alive_with(tmp_path), GONE_WITHIN_S, "every ffmpeg of the run to end")
    kept = piece_records()
    assert 2 <= kept < SECONDS
    assert_nothing_visible(tmp_path / "out")
    tool.forget()

    stdout, _ = reelmill(*slow_job, "--json")
    manifest = Manifest.model_validate_json(stdout)
    assert manifest.renditions[0].reused_segments >= kept
    assert len(tool.encodes()) == SECONDS - manifest.renditions[0].reused_segments
    assert {each.frames for each in manifest.outputs} == {FRAMES}
    assert set(files_below(tmp_path / "out")) == {"manifest.json", "clip.mp4", "clip.flv"}
    assert [each for each in (tmp_path / "out").iterdir() if each.is_dir()] == []
    assert files_below(Path(settings().work_dir)) == []
    tool.forget()

    again, _ = reelmill(*slow_job, "--json")
    assert Manifest.model_validate_json(again) == manifest
    assert tool.encodes() == tool.tracks() == []


@pytest.mark.end_to_end
@pytest.mark.parametrize("fan_out", ["threads", "dask"])
def test_interrupted_run_ends_with_130_and_the_next_one_goes_on_from_there(
    reelmill: Command, slow_job: list[str], tool: LoggedTool, tmp_path: Path, fan_out: str, set_to: Set
):
    set_to(fan_out=fan_out, dask_maximum=2)
    with at_work(reelmill, *slow_job, "--workers", "2") as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, stderr = process.communicate(timeout=GONE_WITHIN_S * (1 if fan_out == "threads" else 3))
        assert alive_with(tmp_path) == []
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1].startswith("error: JobCancelled: interrupted")
    assert fan_out == "dask" or "Traceback" not in stderr  # a worker that is just being started prints one
    assert not (tmp_path / "out").exists()
    kept = piece_records()
    tool.forget()
    set_to(fan_out="threads")

    stdout, _ = reelmill(*slow_job, "--json")
    manifest = Manifest.model_validate_json(stdout)
    assert manifest.renditions[0].reused_segments >= kept >= 2
    assert len(tool.encodes()) == SECONDS - manifest.renditions[0].reused_segments
    assert {each.frames for each in manifest.outputs} == {FRAMES}


@pytest.mark.end_to_end
def test_terminated_run_leaves_no_ffmpeg(reelmill: Command, slow_job: list[str], tmp_path: Path):
    with at_work(reelmill, *slow_job, "--workers", "2") as process:
        process.terminate()
        process.wait(GONE_WITHIN_S)
        wait_until(lambda: not alive_with(tmp_path), GONE_WITHIN_S, "every ffmpeg of the run to end")
    assert process.returncode != 0
    assert_nothing_visible(tmp_path / "out")


@pytest.mark.end_to_end
def test_second_run_of_a_job_that_is_running_is_refused(reelmill: Command, short_clip: Path, tool: LoggedTool):
    job = ("transcode", str(short_clip), "--json")
    with tool.holding() as go, reelmill.start(*job) as process:
        try:
            wait_until(tool.encodes, 60, "the first run to encode")
            assert reelmill.error(*job, "--workers", "3")[0] == "JobRunning"
            assert process.poll() is None
            go()
            stdout, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert Manifest.model_validate_json(stdout).outputs[0].frames == 2 * FRAME_RATE
    assert len(tool.encodes()) == 1


# Profiles


def test_profiles_are_listed(here: Command):
    stdout, _ = here("profiles", "list")
    assert [name for name in ("web-720p", "web-1080p", "audio-podcast", "small-av1") if name not in stdout] == []


def test_shown_profile_can_be_saved_and_used(here: Command, tmp_path: Path):
    stdout, _ = here("profiles", "show", "web-720p")
    (tmp_path / "mine.yaml").write_text(stdout)
    assert here("profiles", "show", "mine.yaml")[0] == stdout
    assert here("profiles", "validate", "mine.yaml") == ("mine.yaml: web-720p is valid\n", "")


def test_bad_profile_is_one_line_and_exit_code_2(here: Command, tmp_path: Path):
    (tmp_path / "good.yaml").write_text("version: 1\nname: good\n")
    (tmp_path / "bad.yaml").write_text("version: 1\nname: bad\nvideo: {crf: 999}\n")
    code, message = here.error("profiles", "validate", "good.yaml", "bad.yaml")
    assert (code, message) == ("InvalidProfile", "bad.yaml: video.crf: 999 is not allowed; allowed: 0 to 51")
    assert here.error("profiles", "validate", "missing.yaml")[0] == "InvalidProfile"
    assert here.error("profiles", "show", "nobody")[0] == "InvalidProfile"

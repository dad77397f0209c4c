"""The `reelmill` command: finds the command that is meant, and tells what went wrong in one line.

A command's module is loaded when the command is called: a transfer has no use for what encodes video.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
from typing import NoReturn

from cyclopts import App
from pydantic import ValidationError

import reelmill
from reelmill.errors import InvalidParameter, ReelmillError, one_line
from reelmill.settings import Settings, settings

gc.set_threshold(50_000)  # what is loaded stays: looking through it again and again costs a tenth of the start
app = App(
    name="reelmill",
    help="One video in, every format out, encoded in parallel, and proof that nothing was lost.",
    version=reelmill.__version__,
    suppress_keyboard_interrupt=False,  # `main` tells it
)
for _path in (
    "transcode:transcode", "transcode:plan", "profiles:app", "submit:submit", "transfer:transfer", "jobs:app",
    "catalog:app", "intake:intake", "clean:clean", "service:up", "service:down", "service:status",
    "worker:worker",
):  # fmt: skip
    _module, _, _what = _path.partition(":")
    app.command(f"cli.{_path}", name=_module if _what == "app" else _what)
_INTERRUPTED = 128 + signal.SIGINT
_UNREAD = 128 + signal.SIGPIPE


def main() -> NoReturn:
    """Run the command line and end with its exit code; in silence when who reads it, as `head`, has gone."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_unread():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left in its buffer
        code = _UNREAD
    sys.exit(code)


def _run() -> int:
    """Run the command line; errors that were expected are one line and a stable exit code, which comes back."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        list(map(app.__getitem__, app))  # loaded, each has its line of help
    try:
        if settings().s3_credentials_block or any(each.credentials_block for each in settings().stores.values()):
            from cli.prefect_server import use_server

            use_server()
            from tasks import s3_credentials as s3_credentials  # loads Prefect, and lets the block be loaded
        code = app(result_action="return_value") or 0
    except ReelmillError as error:
        _report(error.code, str(error))
        code = error.exit_code
    except ValidationError as error:
        _report(InvalidParameter.__name__, _explained(error))
        code = InvalidParameter.exit_code
    except KeyboardInterrupt:
        _report("JobCancelled", "interrupted; what is kept of it, the same command takes up again")
        code = _INTERRUPTED
    return code


def _is_unread() -> bool:
    """Whether standard output is a pipe that nobody reads any more: another one may have broken."""
    state = select.poll()
    state.register(sys.stdout, 0)  # what is wrong with it is told unasked
    return bool(state.poll(0))


def _explained(error: ValidationError) -> str:
    if error.title != Settings.__name__:
        from reelmill.job import TranscodeJob
        from reelmill.profiles.problems import explain

        return explain(error, TranscodeJob)
    prefix = Settings.model_config.get("env_prefix", "")
    return "; ".join(f"{prefix}{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())


def _report(code: str, message: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"code": code, "message": message}}))
    print(f"error: {code}: {one_line(message)}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Make docs/errors.md from the tree of errors.

Run as a module it prints the page.
"""

from __future__ import annotations

import inspect
import sys

from reelmill.errors import ReelmillError

_INTRODUCTION = """\
# Errors

An error that was expected is one line on standard error, and one of the exit codes below:

    error: MediaTruncated: holiday.mkv ends after 4.0 of 37.0 s; `damage: salvage` takes what is there

The word after `error:` is the code, and stays what it is. It is the same in the terminal, in the JSON of `--json` and
in a manifest's warnings. From Python it is the name of the exception's class, in `reelmill.errors`.

*Retried* means that the task that failed is tried again by itself, after 1, 4 and 15 seconds, give or take. A
`SegmentInexact` is not: the source is planned again, in the end uncut ([how](architecture.md#a-damaged-source)). Before
a request to an object store counts as failed it was made `REELMILL_S3_ATTEMPTS` times.

Whatever the error, no manifest is written, so nothing counts as finished. Pieces that were finished are kept for the
next run of the same job where unfinished work is in a folder; in a bucket only when `REELMILL_KEEP_UNFINISHED` says so.
After `MediaDamaged` and `SourceChanged` nothing is kept, since no later run could use it.

What to do about errors of buckets: [object storage](object-storage.md#errors).

| Code | Kind of | Meaning | Exit code | Retried |
| --- | --- | --- | --- | --- |
"""

_OTHER_EXIT_CODES = """\

Exit codes that no error above has:

| Exit code | Meaning |
| --- | --- |
| 0 | Everything asked for is there, checked; or help was shown, or a plan printed |
| 1 | An error nobody expected: a Python traceback says where |
| 2 | Also a command line that can't be read, such as an unknown option |
"""


def errors_reference() -> str:
    """Return the text of docs/errors.md."""
    kinds = [kind for kind in ReelmillError.tree() if kind.__module__ == ReelmillError.__module__]
    return _INTRODUCTION + "".join(map(_row, kinds)) + _OTHER_EXIT_CODES


def _row(kind: type[ReelmillError]) -> str:
    above = "" if kind is ReelmillError else f"`{kind.__mro__[1].__name__}`"
    meaning = " ".join((inspect.getdoc(kind) or "").split()).replace("|", "\\|")
    retried = "yes" if kind.retryable else "no"
    return f"| `{kind.__name__}` | {above} | {meaning} | {kind.exit_code} | {retried} |\n"


if __name__ == "__main__":
    sys.stdout.write(errors_reference())

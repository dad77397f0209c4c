"""Finds the Prefect server a run reports to. To be called before Prefect is imported."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

_LOCAL_API = "http://127.0.0.1:4200/api"
_ANSWERS_WITHIN_S = 0.5


def use_prefect(*, verbose: bool) -> None:
    """Choose the server: the configured one, else the one on this machine, else a temporary one for this run."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    if "PREFECT_API_URL" in os.environ:
        return
    if _answers(_LOCAL_API):
        os.environ["PREFECT_API_URL"] = _LOCAL_API
    elif not _profile_names_a_server():
        print(
            "no Prefect server is up: starting one for this run takes some ten seconds "
            "(`prefect server start` leaves one running)",
            file=sys.stderr,
        )


def _answers(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=_ANSWERS_WITHIN_S) as answer:
            return answer.status == 200 and answer.read(16).strip() == b"true"
    except (urllib.error.URLError, OSError):
        return False


def _profile_names_a_server() -> bool:
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None

"""What the catalog knows, as `reelmill jobs` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from reelmill.catalog.reading import attempts_named, latest_jobs
from reelmill.catalog.tables import Job
from reelmill.cost.prices import amount_of, off_percent
from reelmill.cost.report import cost_text


def catalogued_jobs(states: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Return the latest jobs in these states, or in any, told as those of a server are. Raises CatalogFailed."""
    return [told_job(each) for each in latest_jobs(states, limit)]


def catalogued_attempts(name: str) -> list[dict[str, Any]]:
    """Return the attempts of a run, by its id or how it begins, with what they made. Raises CatalogFailed."""
    return [told_job(each) | _told_results(each) for each in attempts_named(name)]


def told_job(job: Job) -> dict[str, Any]:
    """Return what is told of a job in a list. One that no server was told of goes by the name of its attempt."""
    return {
        "run": job.run or job.attempt,
        "state": job.state.capitalize(),
        "source": job.source.location or job.source.file_name,
        "output": job.output,
        "queue": None,
        "began": local_time(job.began),
        "took_s": round(job.wall_s or 0.0, 1),
        "error": {"code": job.error.code, "message": job.error.message} if job.error else None,
    }


def _told_results(job: Job) -> dict[str, Any]:
    outputs = [
        {"format": each.format, "file_name": each.file_name, "size_bytes": each.size_bytes, "sha256": each.sha256,
         "duration_s": each.duration_s, "frames": each.frames, "cost": _amount(each.cost_nanos)}
        for each in job.outputs
    ]  # fmt: skip
    renditions = [
        {"id": each.id, "codec": each.codec, "segments": each.segments, "frames": each.frames,
         "cpu_s": each.cpu_s, "wall_s": each.wall_s, "cost": _amount(each.cost_nanos)}
        for each in job.renditions
    ]  # fmt: skip
    return {"attempt": job.attempt, "profile": job.profile, "cost": _told_cost(job),
            "outputs": outputs, "renditions": renditions}  # fmt: skip


def _told_cost(job: Job) -> dict[str, Any] | None:
    """Return what an attempt cost beside what was expected, which is null of one without a result; None if unknown."""
    if job.cost_nanos is None or job.currency is None or job.billed_cpu_s is None:
        return None
    off = None if job.estimated_nanos is None else off_percent(job.estimated_nanos, job.cost_nanos)
    return {
        "currency": job.currency, "amount": _amount(job.cost_nanos), "estimated": _amount(job.estimated_nanos),
        "off_percent": off, "cpu_s": job.billed_cpu_s, "estimated_cpu_s": job.estimated_cpu_s,
        "text": cost_text(job.currency, job.cost_nanos, job.billed_cpu_s, job.estimated_nanos, job.estimated_cpu_s),
    }  # fmt: skip


def _amount(nanos: int | None) -> str | None:
    return None if nanos is None else f"{amount_of(nanos):f}"


def result_lines(attempt: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what an attempt made as lines for people: a name, and what is said of it."""
    cost = [("cost", attempt["cost"]["text"])] if attempt["cost"] else []
    outputs = [("made", f"{each['file_name']}, {each['size_bytes']:,} bytes") for each in attempt["outputs"]]
    renditions = [
        ("encoded", f"{each['id']}, {_pieces(each['segments'])}, {each['cpu_s']:.1f} CPU seconds")
        for each in attempt["renditions"]
    ]
    return [*outputs, *renditions, *cost]


def _pieces(segments: int) -> str:
    return "copied" if not segments else "1 segment" if segments == 1 else f"{segments} segments"


def local_time(when: datetime) -> str:
    """Return a moment by this machine's clock, to the second."""
    return when.replace(tzinfo=when.tzinfo or UTC).astimezone().isoformat(" ", "seconds")[:19]

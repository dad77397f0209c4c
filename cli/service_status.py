"""What of `reelmill up` is up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cli.service_home import POOL, ask, is_deployed, is_healthy, online_workers, running_service
from reelmill.intake.dead_letters import count_dead_letters
from reelmill.intake.rules import dead_letter_location

_STATES = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Status:
    """`up` is whether jobs can be started: the server answers, has the deployment, and a worker is online."""

    up: bool = False
    server: bool = False
    ui: str | None = None
    api: str | None = None
    deployed: bool = False
    workers: list[str] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        if self.ui is None:
            yield "down: `reelmill up` starts it"
            return
        yield f"{'up' if self.up else 'not ready'}: {self.ui}"
        yield f"server: {'answers' if self.server else 'does not answer'}"
        yield f"worker: {', '.join(self.workers) or 'none is online'}"
        if not self.deployed:
            yield "deployments: none"
        yield f"runs: {', '.join(f'{count} {state}' for state, count in self.runs.items()) or 'none'}"
        if self.dead_letters:
            yield f"dead letters: {self.dead_letters}, in {dead_letter_location()}"


def service_status() -> Status:
    """Ask the server that `reelmill up` started or found."""
    service = running_service()
    if service is None:
        return Status()
    api = service.api
    if not is_healthy(api):
        return Status(ui=service.ui, api=api)
    workers, deployed = online_workers(api), is_deployed(api)
    counts = {state: ask(api, "/flow_runs/count", _runs_in(state)) or 0 for state in _STATES}
    return Status(
        up=service.ready and bool(workers) and deployed, server=True, ui=service.ui, api=api, deployed=deployed,
        workers=workers, dead_letters=count_dead_letters(),
        runs={state.lower(): count for state, count in counts.items() if count},
    )  # fmt: skip


def _runs_in(state: str) -> dict[str, object]:
    return {"flow_runs": {"state": {"type": {"any_": [state]}}}, "work_pools": {"name": {"any_": [POOL]}}}

"""A transfer as a flow: batches of parts as tasks, progress and report as artifacts, and resumed like any other."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows.transfer_object import transfer_object
from reelmill.errors import StoreFailed, TransferIncomplete
from reelmill.storage.location import S3Location
from reelmill.transfer import running
from reelmill.transfer.job import TransferJob
from reelmill.transfer.ledger import PartRecord
from reelmill.transfer.report import TransferReport
from tests.two_store_fixtures import far, other_ministack, s3_clients, source, stores
from tests.two_stores import MIB, Stores, noise

__all__ = ["far", "other_ministack", "s3_clients", "source", "stores"]
pytestmark = pytest.mark.end_to_end

PART = 5 * MIB
CONTENT = noise(4 * PART + 1)


def run(job: TransferJob) -> tuple[TransferReport, dict[str, Any]]:
    """Run the flow and return its report, and the artifacts of its run by key."""
    state: Any = transfer_object(job, return_state=True)
    report = state.result()
    with get_client(sync_client=True) as client:
        mine = ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id])
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=mine))
    return report, {each.key or "": each for each in found}


def test_prefix_is_copied_with_progress_and_report(
    stores: Stores, source: S3Location, far: S3Location, prefect_server: str
):
    content = {"big": CONTENT, **{f"small/{n}": noise(n, n) for n in range(5)}}
    for key, body in content.items():
        stores.put(source / f"in/{key}", body, part_bytes=PART if key == "big" else None)
    job = TransferJob(source=str(source / "in"), destination=str(far / "out"), recursive=True, concurrency=3)
    report, artifacts = run(job)
    assert report.copied == 6
    assert all(stores.content(far / f"out/{key}") == body for key, body in content.items())
    assert artifacts["progress"].data == 100.0
    assert f"{len(CONTENT) + 10:,} of {len(CONTENT) + 10:,} bytes" in artifacts["progress"].description
    assert "6 of 6 objects copied" in artifacts["transfer"].description
    assert stores.uploads(far) == []


def test_batch_that_fails_is_tried_again_without_what_has_arrived(
    stores: Stores, source: S3Location, far: S3Location, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    stores.put(source / "a", CONTENT, part_bytes=PART)
    note, noted = running.Ledger.note_part, list[int]()

    def fail_once(self: Any, name: str, record: PartRecord) -> None:
        noted.append(record.number)
        note(self, name, record)
        if len(noted) == 3:
            raise StoreFailed("once")

    monkeypatch.setattr(running.Ledger, "note_part", fail_once)
    monkeypatch.setattr(running, "batches", lambda numbers, streams: [tuple(numbers)])
    report, _ = run(TransferJob(source=str(source / "a"), destination=str(far / "b")))
    assert noted == [1, 2, 3, 4, 5]
    assert report.objects[0].parts == 5
    assert stores.content(far / "b") == CONTENT


def test_failed_flow_leaves_no_upload(
    stores: Stores,
    source: S3Location,
    far: S3Location,
    prefect_server: str,
    set_to: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    def fail(self: Any, name: str, record: PartRecord) -> None:
        raise StoreFailed("always")

    set_to(retries=0)
    stores.put(source / "a", CONTENT, part_bytes=PART)
    monkeypatch.setattr(running.Ledger, "note_part", fail)
    with pytest.raises(StoreFailed):
        run(TransferJob(source=str(source / "a"), destination=str(far / "b")))
    assert stores.uploads(far) == []
    assert stores.content(far / "b") is None


def test_flow_that_could_not_copy_one_of_many_copies_the_others_and_fails(
    stores: Stores, source: S3Location, far: S3Location, prefect_server: str
):
    for key, body in {"big": CONTENT, "small": b"x", "other": b"y"}.items():
        stores.put(source / key, body)
    for key in ("big", "small"):
        stores.put(far / key, b"theirs")
    state: Any = transfer_object(
        TransferJob(source=str(source), destination=str(far), recursive=True), return_state=True
    )
    with pytest.raises(TransferIncomplete, match="2 of 3 were not copied"):
        state.result()
    assert stores.content(far / "other") == b"y"

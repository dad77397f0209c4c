"""The whole job through Prefect: every format from one encode, resumed where it stopped, published all or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import Artifact, TaskRun
from prefect.client.schemas.sorting import TaskRunSort

from reelmill.errors import JobRunning, OutputCollision, SourceChanged, VerifyFailed
from reelmill.job import TranscodeJob
from reelmill.manifest import Manifest, read_manifest
from reelmill.planning.plan import Plan
from reelmill.preparing import accept_job, refuse_outdated
from reelmill.settings import settings
from reelmill.storage.opening import open_store
from reelmill.workspace import open_workspace
from tests.ffmpeg_tool import frame_times
from tests.live_jobs import FRAME_RATE, LoggedTool, alive_with, files_below, make_clip, use_tool
from tests.pipeline import prepare_job

pytestmark = pytest.mark.slow

SECONDS, SEGMENT_S = 12, 2
FRAMES, SEGMENTS = SECONDS * FRAME_RATE, SECONDS // SEGMENT_S
RENDITION = "h264-180p"
SERVER_IS_LATE_S = 90
"""Task runs reach the server some time after the run has ended."""


@dataclass(frozen=True)
class Finished:
    """A run that came to its end, and what it ran."""

    job: TranscodeJob
    manifest: Manifest
    output: Path
    work: Path
    flow_run_id: UUID
    calls: list[str]
    encodes: list[str]


def run_job(job: TranscodeJob) -> tuple[Manifest, UUID]:
    from flows.transcode_video import transcode_video

    state: Any = transcode_video(job, return_state=True)
    return state.result(), state.state_details.flow_run_id


def marks_of(job: TranscodeJob) -> list[str]:
    """Return, for each segment, what is in the command that encodes it and in no other."""
    (rendition,) = prepare_job(job).plan.video
    ends = ["" if each.end is None else f"end_pts={each.end}:" for each in rendition.segments]
    return [f"trim={end}start_pts={each.start}[" for end, each in zip(ends, rendition.segments, strict=True)]


def encoded_segments(job: TranscodeJob, tool: LoggedTool) -> list[int]:
    """Return which segments were encoded, each as often as it was."""
    marks = marks_of(job)
    return sorted(number for call in tool.encodes() for number, mark in enumerate(marks) if mark in call)


def records() -> tuple[dict[int, Path], list[Path]]:
    """Return the records of the pieces in the work folder, by segment, and those of the tracks."""
    pieces, tracks = {}, []
    for path in Path(settings().work_dir).glob("jobs/*/records/*.json"):
        record = json.loads(path.read_bytes())
        if "segment" in record:
            pieces[record["segment"]] = path
        else:
            tracks.append(path)
    return pieces, tracks


def made_by(record: Path) -> Path:
    """Return the piece or the track that a record is of."""
    return record.parents[1] / "pieces" / json.loads(record.read_bytes())["file_name"]


def task_runs(flow_run_id: UUID, names: set[str]) -> dict[str, TaskRun]:
    """Return the task runs of a flow run by name, as soon as the server has these, all of them ended."""
    began = time.monotonic()
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    while True:
        with get_client(sync_client=True) as client:
            runs = client.read_task_runs(flow_run_filter=wanted, sort=TaskRunSort.ID_DESC, limit=200)
        found = {each.name: each for each in runs}
        ended = {name for name, each in found.items() if each.state is not None and each.state.is_final()}
        if names <= ended:
            return found
        assert time.monotonic() - began < SERVER_IS_LATE_S, f"missing: {names - ended}"
        time.sleep(0.2)


def artifacts(flow_run_id: UUID) -> dict[str | None, Artifact]:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        answer = client.request(
            "POST", "/artifacts/filter", json={"artifacts": wanted.model_dump(mode="json", exclude_unset=True)}
        )
    return {each.key: each for each in map(Artifact.model_validate, answer.json())}


def encode_names() -> set[str]:
    return {f"encode-{RENDITION}-{number:05d}" for number in range(SEGMENTS)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SECONDS)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoggedTool:
    tool = LoggedTool(tmp_path / "tool")
    use_tool(tool, monkeypatch)
    return tool


@pytest.fixture(scope="module")
def finished(clip: Path, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run to three formats, that tests look at and don't change."""
    folder = tmp_path_factory.mktemp("finished")
    work, output, tool = folder / "work", folder / "out", LoggedTool(folder / "tool")
    job = TranscodeJob(
        source=str(clip), formats=("mp4", "flv", "mkv"), output=str(output), segment_s=SEGMENT_S, workers=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELMILL_WORK_DIR", str(work))
        use_tool(tool, patch)
        manifest, flow_run_id = run_job(job)
    settings.cache_clear()
    return Finished(job, manifest, output, work, flow_run_id, tool.calls(), tool.encodes())


@pytest.fixture
def job(clip: Path, tmp_path: Path, prefect_server: str) -> TranscodeJob:
    return TranscodeJob(source=str(clip), output=str(tmp_path / "out"), segment_s=SEGMENT_S, workers=2)


# What comes of a job


def test_every_format_is_made_from_one_encode_of_the_video(finished: Finished):
    video = [each for each in finished.manifest.renditions if each.kind == "video"]
    assert [(each.id, each.segments, each.frames, each.reused_segments) for each in video] == [
        (RENDITION, SEGMENTS, FRAMES, 0)
    ]
    assert [each.kind for each in finished.manifest.renditions] == ["video", "audio"]
    assert len(finished.encodes) == SEGMENTS


def test_every_output_has_every_frame_of_the_source(finished: Finished, clip: Path):
    pictures = {each.format: frame_times(finished.output / each.file_name) for each in finished.manifest.outputs}
    source_s = [round(pts / (FRAME_RATE * 512), 2) for pts, _ in frame_times(clip)]
    assert list(pictures) == ["mp4", "flv", "mkv"]
    assert {len(each) for each in pictures.values()} == {FRAMES} == {len(source_s)}
    assert len({tuple(md5 for _, md5 in each) for each in pictures.values()}) == 1
    assert all(check.passed for output in finished.manifest.outputs for check in output.checks)


def test_manifest_is_written_beside_the_outputs(finished: Finished):
    assert read_manifest(open_store(finished.output)) == finished.manifest
    assert set(files_below(finished.output)) == {"manifest.json", "clip.mp4", "clip.flv", "clip.mkv"}


def test_nothing_of_a_finished_job_is_left_to_work_on(finished: Finished):
    assert files_below(finished.work) == []
    assert [each for each in finished.work.rglob("*") if each.name == finished.manifest.job_key] == []
    assert alive_with(finished.work) == []


def test_each_step_is_a_task_run_with_a_name_that_tells_it(finished: Finished):
    names = encode_names() | {"track-aac-audio-1", "merge-mp4", "merge-flv", "merge-mkv"}
    found = task_runs(finished.flow_run_id, names)
    others = {name.rpartition("-")[0] for name in found if name not in names}
    assert others == {"probe", "post-process", "publish", "catalog"}
    assert {each.run_count for each in found.values()} == {1}


def test_progress_ends_at_all_of_it_in_the_artifact(finished: Finished):
    progress = artifacts(finished.flow_run_id)["progress"]
    assert progress.type == "progress"
    assert progress.data == 100
    assert f"{FRAMES} of {FRAMES} frames" in (progress.description or "")


def test_outputs_are_a_table_in_the_artifacts(finished: Finished):
    table = artifacts(finished.flow_run_id)["outputs"]
    assert table.type == "table"
    for output in finished.manifest.outputs:
        assert output.file_name in str(table.data)
        assert output.sha256 in str(table.data)


def test_finished_job_is_not_encoded_again(finished: Finished, tool: LoggedTool):
    again, flow_run_id = run_job(finished.job)
    assert again == finished.manifest
    assert [call for call in tool.calls() if call != "-version"] == []
    assert task_runs(flow_run_id, set()).keys().isdisjoint(encode_names())


# What fails in between


def test_encoder_that_is_killed_is_tried_again_and_no_other(job: TranscodeJob, tool: LoggedTool):
    tool.kill_once(marks_of(job)[3])
    manifest, flow_run_id = run_job(job)
    assert manifest.outputs[0].frames == FRAMES
    assert encoded_segments(job, tool) == [0, 1, 2, 3, 3, *range(4, SEGMENTS)]
    runs = {name: each.run_count for name, each in task_runs(flow_run_id, encode_names()).items()}
    assert {name for name, count in runs.items() if count != 1} == {f"encode-{RENDITION}-00003"}
    assert runs[f"encode-{RENDITION}-00003"] == 2


def without_its_last_piece(merge: Callable[..., Any]) -> Callable[..., Any]:
    def merge_less(plan: Plan, output: Any, *, pieces: dict[str, list[Any]], **others: Any) -> Any:
        short = [each.model_copy(update={"segments": each.segments[:-1]}) for each in plan.video]
        last = max(each.number for each in plan.video[0].segments)
        less = {name: [each for each in mine if each.segment != last] for name, mine in pieces.items()}
        return merge(plan.model_copy(update={"video": tuple(short)}), output, pieces=less, **others)

    return merge_less


def test_output_that_is_not_what_was_planned_is_not_published(
    job: TranscodeJob, tool: LoggedTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tasks import transcoding

    with monkeypatch.context() as patch:
        patch.setattr(transcoding, "merge_files", without_its_last_piece(transcoding.merge_files))
        with pytest.raises(VerifyFailed, match=f"frames: {FRAMES - SEGMENT_S * FRAME_RATE} of {FRAMES}"):
            run_job(job)
    assert not (tmp_path / "out").exists()
    assert alive_with(tmp_path) == []
    tool.forget()
    manifest, _ = run_job(job)
    assert tool.encodes() == tool.tracks() == []
    assert manifest.renditions[0].reused_segments == SEGMENTS


def stop_before_merging(job: TranscodeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the job until everything is encoded and nothing is merged."""
    from tasks import transcoding

    def fail(*_: Any, **__: Any) -> None:
        raise VerifyFailed("as if")

    with monkeypatch.context() as patch:
        patch.setattr(transcoding, "merge_files", fail)
        with pytest.raises(VerifyFailed, match="as if"):
            run_job(job)


def test_only_pieces_that_were_harmed_between_two_runs_are_made_again(
    job: TranscodeJob, tool: LoggedTool, monkeypatch: pytest.MonkeyPatch
):
    stop_before_merging(job, monkeypatch)
    pieces, (track,) = records()
    flip_a_byte(made_by(pieces[1]))
    made_by(pieces[2]).unlink()
    made_by(track).write_bytes(made_by(track).read_bytes()[:-10])
    tool.forget()
    manifest, _ = run_job(job)
    assert encoded_segments(job, tool) == [1, 2]
    assert len(tool.tracks()) == 1
    assert manifest.renditions[0].reused_segments == SEGMENTS - 2
    assert manifest.outputs[0].frames == FRAMES


def test_record_that_a_kill_cut_off_counts_as_none(
    job: TranscodeJob, tool: LoggedTool, monkeypatch: pytest.MonkeyPatch
):
    stop_before_merging(job, monkeypatch)
    pieces, _ = records()
    pieces[2].write_bytes(b"")
    pieces[3].write_bytes(pieces[3].read_bytes()[: pieces[3].stat().st_size // 2])
    tool.forget()
    manifest, _ = run_job(job)
    assert encoded_segments(job, tool) == [2, 3]
    assert tool.tracks() == []
    assert manifest.renditions[0].reused_segments == SEGMENTS - 2


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_job_goes_on_with_other_workers_by_the_plan_it_began_with(
    job: TranscodeJob, tool: LoggedTool, monkeypatch: pytest.MonkeyPatch
):
    unbound = job.model_copy(update={"segment_s": None})
    with monkeypatch.context() as patch:
        patch.setenv("REELMILL_SEGMENT_S", "4")
        patch.setattr("reelmill.planning.segments.SHORTEST_USEFUL_S", 2)
        settings.cache_clear()
        stop_before_merging(unbound, monkeypatch)
    made = len(tool.encodes())
    assert made > 1
    settings.cache_clear()
    tool.forget()
    manifest, _ = run_job(unbound.model_copy(update={"workers": 1}))
    assert tool.encodes() == []
    assert manifest.renditions[0].reused_segments == made


# Others


def test_job_that_runs_elsewhere_is_refused_and_leaves_no_folder(job: TranscodeJob, tool: LoggedTool, tmp_path: Path):
    with open_workspace(prepare_job(job).plan.job_key), pytest.raises(JobRunning):
        run_job(job)
    assert tool.encodes() == []
    assert not (tmp_path / "out").exists()


def test_job_whose_output_is_taken_encodes_nothing(job: TranscodeJob, tool: LoggedTool, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip.mp4").write_text("holiday")
    with pytest.raises(OutputCollision):
        run_job(job)
    assert tool.encodes() == tool.tracks() == []
    assert (tmp_path / "out" / "clip.mp4").read_text() == "holiday"
    assert files_below(Path(settings().work_dir)) == []


def test_a_newer_source_of_the_same_name_replaces_the_result_where_that_is_wanted(
    job: TranscodeJob, clip: Path, tmp_path: Path, prefect_server: str
):
    first, _ = run_job(job)
    newer = make_clip(tmp_path / clip.name, seconds=2)
    again = job.model_copy(update={"source": str(newer)})
    with pytest.raises(OutputCollision):
        run_job(again)
    second, _ = run_job(again.model_copy(update={"replace": True}))
    assert second.outputs[0].frames != first.outputs[0].frames
    assert len(frame_times(tmp_path / "out" / second.outputs[0].file_name)) == second.outputs[0].frames


def test_a_result_does_not_give_way_to_that_of_an_older_source(job: TranscodeJob, tmp_path: Path):
    source = make_clip(tmp_path / "upload.mp4", seconds=1)
    accepted = accept_job(job.model_copy(update={"source": str(source), "replace": True}))
    refuse_outdated(accepted)
    make_clip(source, seconds=2)
    with pytest.raises(SourceChanged, match="was replaced while the job ran"):
        refuse_outdated(accepted)

"""Joins pieces and tracks into one output, by stream copy, in the plan's order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from reelmill.cost.speeds import mux_of
from reelmill.encoding.mux_commands import join_list_text, metadata_text, mux_argv
from reelmill.encoding.running import run_ffmpeg
from reelmill.errors import VerifyFailed
from reelmill.media.tool import ToolRun, ffmpeg_path
from reelmill.planning.plan import OutputPlan, Plan, VideoRendition
from reelmill.records import PieceRecord, TrackRecord, refuse_foreign_parameters
from reelmill.storage.pinning import opened
from reelmill.workspace import Workspace


def merge_output(
    plan: Plan,
    output: OutputPlan,
    *,
    pieces: Mapping[str, list[PieceRecord]],
    tracks: Mapping[str, TrackRecord],
    workspace: Workspace,
    out: Path,
    attempt: str,
) -> ToolRun:
    """Write the output file to `out` from what is in the workspace.

    `pieces` has the records of each video rendition, `tracks` those of the audio and subtitle renditions. Raises
    VerifyFailed when a piece is missing, doubled or foreign, ToolFailed when ffmpeg can't join them, StoreFailed.
    """
    with ExitStack() as open_files:
        folder = open_files.enter_context(workspace.folder())
        video = plan.rendition(output.video) if output.video else None
        join_list = media = None
        if video is not None and video.segments:
            join_list = folder / f"{output.format}.ffconcat"
            join_list.write_text(join_list_text(video, fetch_pieces(output, video, pieces, workspace, folder)))
        elif video is not None:
            media = open_files.enter_context(opened(plan.source.pinned))
        metadata = folder / f"{output.format}.ffmetadata"
        metadata.write_text(metadata_text(plan.source))
        made = [(plan.track(each), workspace.fetch(tracks[each], folder)) for each in output.tracks]
        argv = mux_argv(
            ffmpeg_path(), plan.source, media, output,
            video=video, join_list=join_list, tracks=made, metadata=metadata, out=out,
        )  # fmt: skip
        return run_ffmpeg(argv, attempt=attempt, work=mux_of(output.label))


def fetch_pieces(
    output: OutputPlan,
    video: VideoRendition,
    pieces: Mapping[str, list[PieceRecord]],
    workspace: Workspace,
    folder: Path,
) -> list[Path]:
    """Return the pieces of a rendition as files of this machine, in the plan's order.

    Raises VerifyFailed when one is missing, doubled or foreign, SegmentInexact, StoreFailed.
    """
    records = sorted(pieces[video.id], key=lambda record: record.segment)
    if [record.segment for record in records] != [segment.number for segment in video.segments]:
        raise VerifyFailed(f"{output.file_name}: the pieces of {video.id} are not those of the plan")
    refuse_foreign_parameters(records)
    return [workspace.fetch(record, folder) for record in records]

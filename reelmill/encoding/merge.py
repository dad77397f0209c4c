"""Joins pieces and tracks into one output, by stream copy, in the plan's order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reelmill.encoding.commands import join_list_text, metadata_text, mux_argv
from reelmill.encoding.records import PieceRecord, TrackRecord, refuse_foreign_parameters
from reelmill.errors import VerifyFailed
from reelmill.media.tool import ToolRun, ffmpeg_path, run_tool
from reelmill.planning.plan import OutputPlan, Plan
from reelmill.settings import settings


def merge_output(
    plan: Plan,
    output: OutputPlan,
    *,
    pieces: Mapping[str, list[PieceRecord]],
    tracks: Mapping[str, TrackRecord],
    folder: Path,
    out: Path,
    attempt: str,
) -> ToolRun:
    """Write the output file to `out` from the working files in `folder`.

    `pieces` has the records of each video rendition, `tracks` those of the audio and subtitle renditions. Raises
    VerifyFailed when a piece is missing, doubled or foreign, ToolFailed when ffmpeg can't join them.
    """
    video = plan.rendition(output.video) if output.video else None
    join_list = None
    if video is not None and video.segments:
        records = sorted(pieces[video.id], key=lambda record: record.segment)
        if [record.segment for record in records] != [segment.number for segment in video.segments]:
            raise VerifyFailed(f"{output.file_name}: the pieces of {video.id} are not those of the plan")
        refuse_foreign_parameters(records)
        join_list = folder / f"{video.id}.ffconcat"
        join_list.write_text(join_list_text(video, [folder / record.file_name for record in records]))
    metadata = folder / f"{output.format}.ffmetadata"
    metadata.write_text(metadata_text(plan.source))
    made = [(plan.track(each), folder / tracks[each].file_name) for each in output.tracks]
    argv = mux_argv(
        ffmpeg_path(), plan.source, output, video=video, join_list=join_list, tracks=made, metadata=metadata, out=out
    )
    return run_tool(argv, job_key=attempt, stall_timeout_s=settings().stall_timeout_s, niceness=settings().niceness)

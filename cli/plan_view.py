"""Prints a plan: what would be encoded, why, and with which commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reelmill.outline import commands_of
from reelmill.planning.plan import Plan, VideoRendition
from reelmill.settings import settings
from reelmill.storage.location import Location
from reelmill.workspace import work_location


def plan_as_json(plan: Plan, output: Location) -> dict[str, Any]:
    """Return the plan and its commands as JSON values."""
    commands = [{"task": name, "argv": argv} for name, argv in commands_of(plan, *_folders(plan, output))]
    return {**plan.model_dump(mode="json"), "commands": commands}


def print_plan(console: Console, plan: Plan, output: Location) -> None:
    """Print the plan as tables, then every command, ready to be pasted into a shell."""
    source = plan.source
    frames = "no video" if plan.source_frames is None else f"{plan.source_frames:,} frames"
    console.print(f"[bold]{escape(source.name)}[/bold]: {source.demuxer}, {float(source.duration_s):.3f} s, {frames}")
    video = sum(each.codec != "copy" for each in plan.video)
    encoded = sum(not each.copies for each in plan.tracks if each.kind == "audio")
    console.print(
        f"{video} video and {encoded} audio renditions are encoded, in {len(plan.order)} video tasks; "
        f"{len(plan.outputs)} outputs are muxed"
    )
    console.print(_renditions(plan))
    console.print(_outputs(plan))
    for reason in plan.reasons:
        console.print(f"- {reason}", highlight=False, markup=False)
    for warning in plan.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}", highlight=False)
    for name, argv in commands_of(plan, *_folders(plan, output)):
        console.print(f"\n[dim]# {name}[/dim]", highlight=False)
        console.print(shlex.join(argv), highlight=False, markup=False, emoji=False, soft_wrap=True)


def _renditions(plan: Plan) -> Table:
    table = Table("rendition", "codec", "picture or sound", "quality", "segments", "frames", title="Renditions")
    for each in plan.video:
        picture = f"{each.width + each.pad[0]}x{each.height + each.pad[1]} {each.pixel_format}"
        segments = str(len(each.segments)) if each.segments else "copied"
        table.add_row(each.id, each.codec, picture, _quality(each), segments, f"{each.frames:,}")
    for track in plan.tracks:
        quality = (
            "copied" if track.copies else f"{track.bitrate_bps // 1000} kb/s" if track.bitrate_bps else "converted"
        )
        table.add_row(track.id, track.codec, track.language or "", quality, "whole", "")
    return table


def _quality(video: VideoRendition) -> str:
    if video.codec == "copy":
        return "copied"
    rate = f"CRF {video.crf:g}" if video.crf is not None else f"{(video.bitrate_bps or 0) // 1000} kb/s"
    return rate if video.preset is None else f"{rate}, preset {video.preset}"


def _outputs(plan: Plan) -> Table:
    table = Table("output", "made of", "left out", title="Outputs")
    for each in plan.outputs:
        left_out = "\n".join(f"{item.what}: {item.reason}" for item in each.left_out)
        table.add_row(each.public_name, ", ".join((*each.videos, *each.tracks)), left_out)
    for pictures in plan.pictures.sets if plan.pictures else ():
        table.add_row(pictures.public_name, f"{len(pictures.frames)} frames of the source", "")
    return table


def _folders(plan: Plan, output: Location) -> tuple[Path, Path]:
    """Return the folders of this machine that ffmpeg writes pieces and outputs to."""
    work, job = work_location(), f"job-{plan.job_key}"
    pieces = work / "jobs" / plan.job_key / "pieces" if isinstance(work, Path) else settings().scratch_dir / job
    return pieces, output if isinstance(output, Path) else settings().scratch_dir / job / "outputs"

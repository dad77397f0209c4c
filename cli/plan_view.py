"""Prints a plan: what would be encoded, why, and with which commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reelmill.cost.estimate import Estimate
from reelmill.cost.prices import amount_of, money_text, seconds_of
from reelmill.cost.speeds import KnownFrom
from reelmill.outline import commands_of
from reelmill.planning.plan import Plan, VideoRendition
from reelmill.settings import settings
from reelmill.storage.location import Location
from reelmill.storage.working import work_location

_KNOWN_FROM: dict[KnownFrom, str] = {
    "measured": "measured", "elsewhere": "measured on another CPU", "defaults": "default, never measured",
}  # fmt: skip


def plan_as_json(plan: Plan, output: Location, estimate: Estimate) -> dict[str, Any]:
    """Return the plan, its commands, and what it is expected to cost as JSON values."""
    commands = [{"task": name, "argv": argv} for name, argv in commands_of(plan, *_folders(plan, output))]
    return {**plan.model_dump(mode="json"), "commands": commands, "estimate": _estimate_as_json(estimate)}


def print_plan(console: Console, plan: Plan, estimate: Estimate) -> None:
    """Print the plan as tables, and what it is expected to cost."""
    source = plan.source
    frames = "no video" if plan.source_frames is None else f"{plan.source_frames:,} frames"
    length = f"{float(source.used_s):.3f} s"
    if source.clip is not None:
        length += f" from {float(source.clip.start_s):.3f} s on"
    console.print(Text.assemble((source.name, "bold"), f": {source.demuxer}, {length}, {frames}"))
    video = sum(each.codec != "copy" for each in plan.video)
    encoded = sum(not each.copies for each in plan.tracks if each.kind == "audio")
    console.print(
        f"{video} video and {encoded} audio renditions are encoded, in {len(plan.order)} video tasks; "
        f"{len(plan.outputs)} outputs are muxed"
    )
    console.print(_renditions(plan))
    console.print(_outputs(plan))
    for reason in plan.reasons:
        console.print(f"- {reason}")
    for warning in plan.warnings:
        console.print(Text.assemble(("warning:", "yellow"), f" {warning}"))
    _print_estimate(console, estimate)


def print_commands(console: Console, plan: Plan, output: Location) -> None:
    """Print every command, ready to be pasted into a shell."""
    for name, argv in commands_of(plan, *_folders(plan, output)):
        console.print(f"\n# {name}", style="dim")
        console.print(shlex.join(argv), soft_wrap=True)


def _print_estimate(console: Console, estimate: Estimate) -> None:
    prices = estimate.prices
    table = Table("work", "CPU seconds", "cost", "speed", title="Expected cost")
    for each in estimate.lines:
        cost = money_text(each.nanos, prices.currency) if prices.are_set else ""
        table.add_row(each.work, f"{seconds_of(each.cpu_tenths):,.1f}", cost, _KNOWN_FROM[each.known_from])
    console.print(table)
    seconds = f"{seconds_of(estimate.cpu_tenths):,.1f} CPU seconds"
    if prices.are_set:
        moved = f", {estimate.moved_bytes / 1e9:,.3f} GB moved" if estimate.moved_bytes else ""
        stored = f", {estimate.stored_bytes / 1e9:,.3f} GB stored"
        total = f"{money_text(estimate.nanos, prices.currency)} for {seconds}{moved}{stored}"
    else:
        total = f"{seconds}; no price is set"
    console.print(f"expected: {total}")
    if estimate.by_defaults:
        console.print(Text.assemble(("no measured speed:", "yellow"), f" {', '.join(estimate.by_defaults)}"))


def _estimate_as_json(estimate: Estimate) -> dict[str, Any]:
    return {
        **estimate.model_dump(mode="json"), "amount": f"{amount_of(estimate.nanos):f}",
        "cpu_s": seconds_of(estimate.cpu_tenths), "by_defaults": list(estimate.by_defaults),
    }  # fmt: skip


def _renditions(plan: Plan) -> Table:
    table = Table("rendition", "codec", "picture or sound", "quality", "segments", "frames", title="Renditions")
    for each in plan.video:
        picture = f"{each.size[0]}x{each.size[1]} {each.pixel_format}"
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

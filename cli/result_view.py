"""Prints what came of a job."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reelmill.manifest import FILE_NAME, Manifest
from reelmill.storage.location import Location


def print_result(console: Console, manifest: Manifest, output: Location) -> None:
    """Print the outputs, what was checked, what was left out, and where everything is."""
    table = Table("file", "codecs", "frames", "seconds", "size", "checked")
    for each in manifest.outputs:
        frames = "" if each.frames is None else f"{each.frames:,}"
        codecs = ", ".join(stream.codec for stream in each.streams)
        checks = ", ".join(check.name for check in each.checks)
        table.add_row(each.file_name, codecs, frames, f"{each.duration_s:.3f}", _size(each.size_bytes), checks)
    console.print(table)
    for each in manifest.pictures:
        count = "1 picture" if len(each.times_s) == 1 else f"{len(each.times_s)} pictures"
        files = f" in {len(each.files)} files" if each.files else ""
        name = f"{each.file_name}/" if each.files else each.file_name
        console.print(f"{name}: {count}{files}, {_size(each.size_bytes)}")
    for rendition in manifest.renditions:
        if rendition.kind == "video" and rendition.segments:
            pieces = "1 segment" if rendition.segments == 1 else f"{rendition.segments} segments"
            kept = f", {rendition.reused_segments} kept from before" if rendition.reused_segments else ""
            console.print(
                f"{rendition.id}: {rendition.frames:,} frames in {pieces}{kept}, {rendition.cpu_s:.1f} CPU seconds",
            )
    for each in manifest.quality:
        console.print(
            f"{each.rendition}: VMAF {each.vmaf:.1f}, SSIM {each.ssim:.4f}, PSNR {each.psnr_db:.1f} dB; "
            f"worst VMAF {each.worst_vmaf:.1f} in segment {each.worst_segment} from {each.worst_start_s:.1f} s",
        )
    if manifest.cost.runs:
        console.print(f"cost: {manifest.cost.text}")
    for each in manifest.outputs:
        for item in each.left_out:
            console.print(f"left out of {each.file_name}: {item.what} ({item.reason})")
    for reason in manifest.reasons:
        console.print(f"- {reason}")
    for warning in manifest.warnings:
        console.print(Text.assemble(("warning:", "yellow"), f" {warning}"))
    console.print(f"results in {output}, what was checked in {output / FILE_NAME}", soft_wrap=True)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:,.1f} kB"

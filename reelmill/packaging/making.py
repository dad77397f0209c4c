"""Makes a package: a folder with the segments of every rendition, and the playlists and the manifest that name them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from reelmill.cost.speeds import mux_of
from reelmill.encoding.argv import Argv
from reelmill.encoding.merge import fetch_pieces
from reelmill.encoding.mux_commands import first_frame_s, join_list_text
from reelmill.encoding.running import run_ffmpeg
from reelmill.errors import ToolFailed
from reelmill.media.tool import ffmpeg_path
from reelmill.packaging import dash, hls
from reelmill.packaging.commands import audio_argv, subtitles_argv, video_argv
from reelmill.packaging.fragments import cut_into_segments
from reelmill.packaging.package import SUBTITLES_FILE, Package, describe
from reelmill.packaging.packaged import Packaged, lay_out
from reelmill.planning.plan import OutputPlan, Plan, VideoRendition
from reelmill.records import PieceRecord, TrackRecord
from reelmill.workspace import Workspace

WRITTEN = "written.part"
"""Name of the file that ffmpeg writes a rendition to, in the rendition's folder."""


@dataclass(frozen=True)
class Made:
    """A package in its folder. `start_s` is where its times count from, since the start of the source's container."""

    package: Package
    start_s: Fraction


def make_package(
    plan: Plan,
    output: OutputPlan,
    *,
    pieces: Mapping[str, list[PieceRecord]],
    tracks: Mapping[str, TrackRecord],
    workspace: Workspace,
    out: Path,
    attempt: str,
) -> Made:
    """Write the package into the folder `out`, which is made anew, from what is in the workspace.

    Raises VerifyFailed when a piece is missing, doubled or foreign, ToolFailed where ffmpeg fails, StoreFailed.
    """
    assert output.package is not None
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    videos = [plan.rendition(each) for each in output.package.rungs]
    audio = [plan.track(each) for each in output.tracks if plan.track(each).kind == "audio"]
    subtitles = [plan.track(each) for each in output.tracks if plan.track(each).kind == "subtitle"]
    start_s = _start_s(plan, videos, [tracks[each.id] for each in audio])
    cutter = _Cutter(output, out, attempt, segment_starts_s(plan, videos, start_s))
    with workspace.folder() as folder:
        packaged: dict[str, Packaged] = {}
        for video in videos:
            join_list = folder / f"{video.id}.ffconcat"
            join_list.write_text(join_list_text(video, fetch_pieces(output, video, pieces, workspace, folder)))
            packaged[video.id] = cutter.cut(
                video.id, first_frame_s(plan.source, video) - start_s,
                lambda whole, video=video, join_list=join_list: video_argv(ffmpeg_path(), video, join_list, whole),
            )  # fmt: skip
        for track in audio:
            sound, begins_s = workspace.fetch(tracks[track.id], folder), Fraction(tracks[track.id].start_s)
            packaged[track.id] = cutter.cut(
                track.id, begins_s - start_s,
                lambda whole, track=track, sound=sound, begins_s=begins_s: audio_argv(
                    ffmpeg_path(), sound, begins_s, track.language, whole
                ),
            )  # fmt: skip
        for track in subtitles:
            (out / track.id).mkdir()
            text = workspace.fetch(tracks[track.id], folder)
            run_ffmpeg(
                subtitles_argv(ffmpeg_path(), text, start_s, out / track.id / SUBTITLES_FILE),
                attempt=attempt,
                work=mux_of(output.label),
            )
    package = describe(
        plan.source, output.package,
        [(each, packaged[each.id]) for each in videos], [(each, packaged[each.id]) for each in audio], subtitles,
    )  # fmt: skip
    for name, text in texts_of(package, output):
        (out / name).write_text(text, encoding="utf-8")
    return Made(package, start_s)


def texts_of(package: Package, output: OutputPlan) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each playlist and of the manifest; what players are given comes last."""
    assert output.package is not None
    if "hls" in output.package.formats:
        for each in package.renditions:
            yield f"{each.id}/{hls.PLAYLIST}", hls.media_playlist(each)
        for video in package.videos:
            yield f"{video.packaged.id}/{hls.KEYFRAMES}", hls.keyframes_playlist(video.packaged)
        for subtitles in package.subtitles:
            yield f"{subtitles.id}/{hls.PLAYLIST}", hls.subtitles_playlist(package.duration_s)
        yield hls.MASTER, hls.master_playlist(package)
    if "dash" in output.package.formats:
        yield dash.MANIFEST, dash.dash_manifest(package)


def _start_s(plan: Plan, videos: Sequence[VideoRendition], audio: Sequence[TrackRecord]) -> Fraction:
    """Return when the first frame or sample is shown, since the start of the source's container."""
    firsts = [first_frame_s(plan.source, each) for each in videos]
    return min([*firsts, *(Fraction(each.start_s) for each in audio)])


def segment_starts_s(plan: Plan, videos: Sequence[VideoRendition], start_s: Fraction) -> tuple[Fraction, ...]:
    """Return when the segments of every rendition are to start, in the package's time; those of sound alone from 0."""
    if not videos:
        return (Fraction(0),)
    video = videos[0]
    first_s, times = first_frame_s(plan.source, video) - start_s, video.keyframes
    return tuple(first_s + (each - times[0]) * video.time_base for each in times)


@dataclass(frozen=True)
class _Cutter:
    output: OutputPlan
    out: Path
    attempt: str
    starts_s: tuple[Fraction, ...]

    def cut(self, name: str, origin_s: Fraction, argv: Callable[[Path], Argv]) -> Packaged:
        """Have ffmpeg write the rendition as one fragmented file, and lay its segments out in its folder."""
        assert self.output.package is not None
        folder = self.out / name
        folder.mkdir()
        written, whole = folder / WRITTEN, folder / "whole.part"
        command = argv(written)
        run_ffmpeg(command, attempt=self.attempt, work=mux_of(self.output.label))
        try:
            media = cut_into_segments(
                written, whole,
                starts_s=self.starts_s, origin_s=origin_s, longest_s=self.output.package.segment_s,
            )  # fmt: skip
        except ValueError as error:
            raise ToolFailed(command, 0, f"what it wrote can't be cut into segments: {error}") from error
        written.unlink()
        return lay_out(media, folder, file_per_segment=self.output.package.file_per_segment)

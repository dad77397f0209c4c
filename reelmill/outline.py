"""Every ffmpeg command of a plan, in the order of work, before any of it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

from reelmill.encoding.commands import Piece, encode_argv
from reelmill.encoding.mux_commands import mux_argv
from reelmill.encoding.overlaid import Overlaid, drawn_in
from reelmill.encoding.pieces import piece_key
from reelmill.encoding.track_commands import track_argv
from reelmill.encoding.whole_tracks import file_ending, track_key
from reelmill.media.fonts import font_file
from reelmill.media.source import Source
from reelmill.media.tool import ffmpeg_path
from reelmill.packaging.commands import audio_argv, subtitles_argv, video_argv
from reelmill.packaging.making import WRITTEN
from reelmill.packaging.package import SUBTITLES_FILE
from reelmill.pictures.commands import pictures_argv, preview_argv, stills_argv
from reelmill.planning.picture_plan import PicturesPlan
from reelmill.planning.plan import OutputPlan, Plan, VideoRendition
from reelmill.settings import settings
from reelmill.storage.location import Location, known_location
from reelmill.storage.readable import Loopback, Readable


def commands_of(plan: Plan, work: Path, output: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the argv of each run; working files lie in `work`, outputs in `output`.

    A source in a bucket stands for the address on this machine under which ffmpeg will find it.
    """
    tool, source, media = ffmpeg_path(), plan.source, _media_of(plan.source)
    made = {track.id: work / f"{track_key(plan.sources, track)}.{file_ending(track)}" for track in plan.tracks}
    for track in plan.tracks:
        argv = track_argv(tool, plan.sources, [_media_of(each) for each in plan.sources], track, made[track.id])
        yield f"track-{track.id}", argv
    for task in plan.order:
        own, encodes = plan.encodes_of(task)
        pieces = [
            Piece(each, work / f"{piece_key(own, each)}.mp4", _overlaid(each.rendition, work)) for each in encodes
        ]
        argv = encode_argv(
            tool, own, _media_of(own), pieces, threads=plan.encoder_threads, max_pixels=settings().max_pixels
        )  # fmt: skip
        yield f"encode-{task.label}", argv
    for each in plan.outputs:
        if each.package is not None:
            yield from _package_commands(tool, plan, each, made, work, output / each.file_name)
            continue
        video = plan.rendition(each.video) if each.video else None
        join_list = work / f"{each.format}.ffconcat" if video and video.segments else None
        argv = mux_argv(
            tool, source, media, each, video=video, join_list=join_list,
            tracks=[(plan.track(name), made[name]) for name in each.tracks],
            metadata=work / f"{each.format}.ffmetadata", out=output / each.file_name,
        )  # fmt: skip
        yield f"merge-{each.format}", argv
    if plan.pictures is not None:
        yield from _picture_commands(tool, plan.source, media, plan.pictures, work, output)


def _overlaid(rendition: VideoRendition, work: Path) -> Overlaid:
    """Return where what is laid over the picture will be: images where they are, subtitles among the working files."""
    images = [each.image.pinned for each in rendition.overlays if each.image is not None]
    drawn = drawn_in(work) if rendition.subtitles is not None else None
    return Overlaid(tuple(_media(each.location) for each in images), font_file(), drawn)


def _media_of(source: Source) -> Readable:
    return _media(known_location(source.location))


def _media(location: Location) -> Readable:
    return location if isinstance(location, Path) else Loopback(str(location), location.name)


def _picture_commands(
    tool: str, source: Source, media: Readable, pictures: PicturesPlan, work: Path, output: Path
) -> Iterator[tuple[str, list[str]]]:
    """Yield the runs that take stills, and those that make pictures of them; choosing a poster is another one."""
    for stills in pictures.stills:
        for span in stills.spans:
            sets = [pictures.set_of(kind) for kind in span.frames]
            argv = stills_argv(
                tool, source, media, pictures.look, span, sets, max_pixels=settings().max_pixels, folder=work
            )
            yield f"stills-{stills.number:05d}", argv
    for each in pictures.sets:
        make = preview_argv if each.kind == "preview" else pictures_argv
        yield f"pictures-{each.kind}", make(tool, each, work / each.kind, output / each.file_name)


def _package_commands(
    tool: str, plan: Plan, output: OutputPlan, made: Mapping[str, Path], work: Path, folder: Path
) -> Iterator[tuple[str, list[str]]]:
    """Yield the runs for a package whose tracks start with the source: when they do is known once they are made."""
    for name in output.videos:
        join_list = work / f"{name}.ffconcat"
        yield f"package-{name}", video_argv(tool, plan.rendition(name), join_list, folder / name / WRITTEN)
    for track in map(plan.track, output.tracks):
        if track.kind == "audio":
            argv = audio_argv(tool, made[track.id], Fraction(0), track.language, folder / track.id / WRITTEN)
        else:
            argv = subtitles_argv(tool, made[track.id], Fraction(0), folder / track.id / SUBTITLES_FILE)
        yield f"package-{track.id}", argv

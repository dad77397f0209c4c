"""Builds the argv that joins pieces and tracks into an output, and the texts that it reads. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from reelmill.encoding.argv import QUIET, Argv, address_of, seconds
from reelmill.formats import FORMATS
from reelmill.media.containers import demuxer_whitelist
from reelmill.media.source import Source
from reelmill.planning.plan import OutputPlan, TrackRendition, VideoRendition
from reelmill.storage.readable import Readable

QUICKTIME_LANGUAGES = {
    "deu": "ger", "nld": "dut", "zho": "chi", "ell": "gre", "isl": "ice", "ron": "rum", "ces": "cze", "slk": "slo",
    "fas": "per", "hye": "arm", "kat": "geo", "mya": "bur", "msa": "may", "sqi": "alb", "bod": "tib", "mkd": "mac",
    "eus": "baq", "cym": "wel",
}  # fmt: skip
"""ISO 639-2 has two codes for some languages; QuickTime knows them by the bibliographic one only."""


def mux_argv(
    tool: str,
    source: Source,
    media: Readable | None,
    output: OutputPlan,
    *,
    video: VideoRendition | None,
    join_list: Path | None,
    tracks: Sequence[tuple[TrackRendition, Path]],
    metadata: Path,
    out: Path,
) -> Argv:
    """Join the pieces and the tracks into one output, packets untouched.

    `join_list` is the list of `join_list_text`; without it the video is copied from the source, `media`. All times
    count from the start of the source's container or of the clip: what started late there starts late in the output.
    """
    container = FORMATS[output.format]
    inputs: list[str] = []
    if video is not None and join_list is not None:
        inputs += [
            "-itsoffset",
            seconds(first_frame_s(source, video)),
            "-f",
            "concat",
            "-safe",
            "0",
            "-protocol_whitelist",
            "file",
        ]
        inputs += ["-i", f"file:{join_list}"]
    elif video is not None and media is not None:
        url, protocols = address_of(media)
        inputs += ["-itsoffset", seconds(-source.zero_s), "-f", source.demuxer, "-protocol_whitelist", protocols]
        inputs += ["-format_whitelist", demuxer_whitelist(source.demuxer), "-i", url]
    for track, path in tracks:
        demuxer = "mov" if track.container == "mp4" else "matroska"
        inputs += ["-f", demuxer, "-protocol_whitelist", "file", "-i", f"file:{path}"]
    first_track = 0 if video is None else 1
    last = first_track + len(tracks)
    inputs += ["-f", "ffmetadata", "-i", f"file:{metadata}"]
    maps: list[str] = []
    if video is not None:
        maps += ["-map", "0:v:0" if join_list is not None else f"0:{video.stream_index}"]
    for number in range(first_track, last):
        maps += ["-map", f"{number}:0"]
    options = ["-map_metadata", str(last), "-map_chapters", str(last), "-c", "copy"]
    if video is not None:
        options += ["-video_track_timescale", str(video.time_base.denominator)]
        options += ["-tag:v", "hvc1"] if video.codec == "hevc" and container.name in ("mp4", "mov") else []
    if output.avi_frame_rate is not None:
        options += ["-r", str(output.avi_frame_rate)]
    options += _labels(source, [track for track, _ in tracks], container.muxer, has_video=video is not None)
    options += [word for name, value in container.muxer_options.items() for word in (f"-{name}", value)]
    copy_times = [] if container.is_audio_only else ["-copyts"]
    return [tool, *QUIET, *copy_times, *inputs, *maps, *options, "-f", container.muxer, f"file:{out}"]


def _labels(source: Source, tracks: Sequence[TrackRendition], muxer: str, *, has_video: bool) -> Iterable[str]:
    """Yield language, title and dispositions of each stream."""
    labelled: list[tuple[str, str | None, str | None, tuple[str, ...]]] = []
    if has_video and source.video is not None:
        labelled.append(("v:0", source.video.language, source.video.title, source.video.dispositions))
    for kind in ("audio", "subtitle"):
        mine = [track for track in tracks if track.kind == kind]
        for number, track in enumerate(mine):
            labelled.append((f"{kind[0]}:{number}", track.language, track.title, track.dispositions))
    for where, language, title, dispositions in labelled:
        if language:
            known_as = QUICKTIME_LANGUAGES.get(language, language) if muxer == "mov" else language
            yield from (f"-metadata:s:{where}", f"language={known_as}")
        if title:
            yield from (f"-metadata:s:{where}", f"title={title}")
        yield from (f"-disposition:{where}", "+".join(dispositions) or "0")


def first_frame_s(source: Source, video: VideoRendition) -> Fraction:
    """Return the time of the first frame, counted from the start of the source's container or of the clip."""
    assert source.video is not None
    return video.first_pts * source.video.time_base - source.zero_s


def join_list_text(rendition: VideoRendition, pieces: Sequence[Path]) -> str:
    """Return the ffconcat list of the pieces, in the plan's order.

    Each duration is the exact length of its range, rounded so that the running total is never off by more than half a
    microsecond. Piece names are ours: generated, with nothing that needs quoting.
    """
    lines = ["ffconcat version 1.0"]
    first, total_us = rendition.segments[0].start, 0
    last = rendition.segments[-1]
    for segment, piece in zip(rendition.segments, pieces, strict=True):
        lines += [f"file '{piece.name}'", "inpoint 0"]
        if segment.end is not None and segment is not last:
            reached_us = round((segment.end - first) * rendition.time_base * 1_000_000)
            lines.append(f"duration {seconds(Fraction(reached_us - total_us, 1_000_000))}")
            total_us = reached_us
    return "\n".join(lines) + "\n"


def metadata_text(source: Source) -> str:
    """Return the source's tags and chapters in ffmpeg's ffmetadata format (`ffmpeg -f ffmetadata`)."""
    lines = [";FFMETADATA1", *(f"{_escaped(key)}={_escaped(value)}" for key, value in source.tags.items())]
    for chapter in source.chapters:
        start_us, end_us = (round((each - source.zero_s) * 1_000_000) for each in (chapter.start_s, chapter.end_s))
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000", f"START={max(start_us, 0)}", f"END={max(end_us, 0)}"]
        lines += [f"title={_escaped(chapter.title)}"] if chapter.title else []
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(f"\\{each}" if each in "=;#\\\n" else each for each in text)

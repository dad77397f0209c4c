"""Makes subtitles of a file, or of a track of the source, ready to be drawn: ffmpeg turns either into ASS."""

from __future__ import annotations

from collections.abc import Sequence

from reelmill.encoding.running import run_ffmpeg
from reelmill.encoding.track_commands import subtitles_argv
from reelmill.errors import InvalidWatermark, ToolFailed, ToolKilled, ToolStalled, one_line
from reelmill.media.source import Source, SubtitleStream
from reelmill.media.subtitle_files import MOST_BYTES, subtitle_demuxer_of, text_of
from reelmill.media.subtitles import Subtitles, subtitles_of_script
from reelmill.media.tool import ffmpeg_path
from reelmill.planning.tracks import name_of
from reelmill.storage.location import Location
from reelmill.storage.pinning import opened, pin


def read_subtitles(location: Location, *, attempt: str) -> Subtitles:
    """Return the subtitles in a file.

    Raises FormatNotAllowed for what is none, InvalidWatermark for what can't be shown, SourceNotFound, SourceChanged,
    StoreFailed.
    """
    pinned = pin(location)
    if pinned.size_bytes > MOST_BYTES:
        raise InvalidWatermark(f"{location.name}: {pinned.size_bytes:,} bytes are more than {MOST_BYTES:,}")
    with opened(pinned) as media:
        with media.open("rb") as file:
            text = text_of(file.read(), location.name)
        demuxer = subtitle_demuxer_of(text, location.name)
        script = _script(subtitles_argv(ffmpeg_path(), media, demuxer), location.name, attempt)
    return subtitles_of_script(script, location.name, styled=demuxer == "ass")


def extract_subtitles(source: Source, track: SubtitleStream, *, attempt: str) -> Subtitles:
    """Return the subtitles of a text track. The whole source is read. Raises as `read_subtitles`, and ToolFailed."""
    name = name_of("subtitles", track)
    with opened(source.pinned) as media:
        argv = subtitles_argv(ffmpeg_path(), media, source.demuxer, track.index, source.start_s)
        script = _script(argv, name, attempt)
    return subtitles_of_script(script, name, styled=track.codec in ("ass", "ssa"))


def _script(argv: Sequence[str], name: str, attempt: str) -> str:
    try:
        run = run_ffmpeg(argv, attempt=attempt, work="subtitles", capture_stdout=True)
    except (ToolStalled, ToolKilled):
        raise
    except ToolFailed as error:
        reason = one_line(error.stderr_tail.strip().rsplit("\n", 1)[-1])
        raise InvalidWatermark(f"{name} can't be read: {reason}") from error
    if len(run.stdout) >= MOST_BYTES:
        raise InvalidWatermark(f"{name} has more than {MOST_BYTES:,} bytes of text")
    return run.stdout.decode(errors="replace")

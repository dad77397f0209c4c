"""Builds the argv that makes an audio or subtitle track whole, of one source or of several. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from reelmill.encoding.argv import QUIET, Argv, media_input, seconds, source_input, whole_argv
from reelmill.media.source import Source
from reelmill.media.subtitle_files import MOST_BYTES
from reelmill.planning.plan import TrackRendition
from reelmill.profiles.encoders import AUDIO_ENCODERS
from reelmill.storage.readable import Readable

_PACKETS_AHEAD = 8
"""That are read of an input before they are wanted: what ffmpeg does by itself."""
_SUBTITLE_ENCODERS = {"mov_text": "mov_text", "subrip": "subrip", "ass": "ass", "webvtt": "webvtt"}


def track_argv(
    tool: str, sources: Sequence[Source], media: Sequence[Readable], track: TrackRendition, out: Path
) -> Argv:
    """Make one audio or subtitle track whole, of one source or of several that are joined.

    A source that lacks it gives silence.
    """
    stream = _joined_sound(sources, media, track) if track.sounds else _sound_or_text(sources[0], media[0], track)
    kept: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "vn": None, "dn": None, "format": track.container}
    if track.container == "mp4":
        kept["strict"] = "unofficial"  # MP3 at 8 kHz: only a working file
    if sources[0].clip and track.kind == "subtitle":
        kept["bsf:s"] = _cut_cues(sources[0].clip.length_s)
    return whole_argv(tool, ffmpeg.output(stream, f"file:{out}", **kept, **_track_codec(track)))


def _joined_sound(sources: Sequence[Source], media: Sequence[Readable], track: TrackRendition) -> Any:
    """Return the node that gives what each source has, one after the other, each filled up to its length."""
    rate, layout = track.joined_rate_hz, track.joined_layout
    heard: list[Any] = []
    for number, (source, readable, sound) in enumerate(zip(sources, media, track.sounds, strict=True)):
        if sound.stream_index is None:
            silence = ffmpeg.input(f"anullsrc=r={rate}:cl={layout}", f="lavfi")["a:0"]
            heard.append(silence.filter("atrim", end=seconds(sound.length_s or Fraction(0))))
            continue
        mine = track.model_copy(update={"stream_index": sound.stream_index, "layouts": None, "fills_gaps": True})
        # Equal inputs would become one node of the graph; a source that is there twice must be read twice.
        stream = _sound_or_text(source, readable, mine, thread_queue_size=_PACKETS_AHEAD + number)
        stream = stream.filter("aformat", sample_fmts="fltp", sample_rates=rate, channel_layouts=layout)
        if sound.length_s is not None:
            length_s = seconds(sound.length_s)
            stream = stream.filter("apad", whole_dur=length_s).filter("atrim", end=length_s)
        heard.append(stream.filter("asetpts", expr="N/SR/TB"))
    joined = ffmpeg.filter(heard, "concat", n=len(heard), v=0, a=1)
    return joined.filter("aformat", channel_layouts=track.layouts) if track.layouts else joined


def _sound_or_text(source: Source, media: Readable, track: TrackRendition, **options: Any) -> Any:
    """Return the node that gives a track, with times that count from the start of the source's container.

    Of a clip they count from its start: sound is cut to the sample, and a subtitle that is shown there is cut to it.
    """
    options |= {"copyts": None}
    if source.zero_s:
        options["itsoffset"] = seconds(-source.zero_s)
    stream: Any = source_input(source, media, **options)[str(track.stream_index)]
    length_s = source.clip.length_s if source.clip else None
    if source.clip and track.kind == "audio":
        stream = stream.filter("atrim", start=0, **({} if length_s is None else {"end": seconds(length_s)}))
    if track.layouts:
        stream = stream.filter("aformat", channel_layouts=track.layouts)
    if track.fills_gaps:
        stream = stream.filter("aresample", **{"async": 1, "first_pts": 0})
    return stream


def subtitles_argv(
    tool: str, media: Readable, demuxer: str, stream_index: int = 0, start_s: Fraction = Fraction(0)
) -> Argv:
    """Print a track of text as an ASS script, with times that count from `start_s`."""
    options: dict[str, Any] = {"copyts": None} | ({"itsoffset": seconds(-start_s)} if start_s else {})
    stream = media_input(media, demuxer, **options)[str(stream_index)]
    output = ffmpeg.output(stream, "pipe:1", format="ass", fs=MOST_BYTES, map_metadata=-1, **{"c:s": "ass"})
    return [tool, *QUIET[:6], *ffmpeg.get_args(output)]


def _cut_cues(length_s: Fraction | None) -> str:
    """Return the bitstream filters that keep what is shown from 0 to `length_s`, and end it there."""
    late, end = "", "PTS+DURATION"
    if length_s is not None:
        late, end = f"+gte(pts*tb,{seconds(length_s)})", f"min({end},{seconds(length_s)}/TB)"
    words = {"drop": f"lte(pts+d,0){late}"}, {
        "pts": "max(PTS,0)", "dts": "max(PTS,0)", "duration": f"{end}-max(PTS,0)",
    }  # fmt: skip
    kept, cut = (":".join(f"{name}={value}" for name, value in each.items()).replace(",", "\\,") for each in words)
    return f"noise={kept},setts={cut}"


def _track_codec(track: TrackRendition) -> dict[str, Any]:
    if track.kind == "subtitle":
        return {"c:s": "copy" if track.copies else _SUBTITLE_ENCODERS[track.codec]}
    if track.copies:
        return {"c:a": "copy"}
    options: dict[str, Any] = {"c:a": AUDIO_ENCODERS[track.codec].encoder, "b:a": track.bitrate_bps}
    if track.channels is not None:
        options["ac"] = track.channels
    if track.sample_rate_hz is not None:
        options["ar"] = track.sample_rate_hz
    return options

"""Which audio, subtitles and other things of a source go into a format, as what, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from reelmill.errors import InvalidProfile, NoAudioStream
from reelmill.formats import Format
from reelmill.media.source import AudioStream, Source, Stream, SubtitleStream
from reelmill.planning.clip import refuse_copied_clip
from reelmill.planning.plan import LeftOut, TrackRendition
from reelmill.profiles.encoders import AUDIO_ENCODERS, CONTAINER_SAMPLE_RATES
from reelmill.profiles.profile import Profile, codec_for

_LAYOUTS = "mono|stereo|3.0|5.0|5.1|6.1|7.1"
_MP4_AUDIO = ("aac", "mp3", "opus", "ac3", "eac3", "alac", "flac")
_AUDIO_COST_S = 0.002
"""CPU seconds that encoding one second of one channel takes, about (AAC, one core)."""


def audio_tracks(source: Source, format: Format, profile: Profile) -> tuple[list[TrackRendition], list[LeftOut]]:
    """Return the audio renditions of a format in the source's order, and the tracks it can't hold."""
    if not source.audio:
        if format.is_audio_only:
            raise NoAudioStream(f"{source.name} has no audio for {format.name}")
        return [], []
    kept = source.audio if format.many_audio else (_first_choice(source.audio),)
    left_out = [
        LeftOut(what=name_of("audio track", track), reason=f"{format.name} holds one audio track")
        for track in source.audio
        if track not in kept
    ]
    return [_audio_rendition(source, track, format, profile) for track in kept], left_out


def _first_choice(tracks: tuple[AudioStream, ...]) -> AudioStream:
    return next((track for track in tracks if "default" in track.dispositions), tracks[0])


def _audio_rendition(source: Source, track: AudioStream, format: Format, profile: Profile) -> TrackRendition:
    codec = codec_for(format.name, profile)[1]
    wanted = profile.audio
    late = track.start_s is not None and track.start_s - source.zero_s > Fraction(1, 1000)
    must_fill = late and not format.audio_times
    if codec == "copy":
        refuse_copied_clip(source, profile, "audio")
    may_copy = profile.copy_when_fits and source.clip is None
    copies = codec == "copy" or (may_copy and _already_fits(track, codec, profile) and not must_fill)
    if codec == "copy" and track.codec not in format.audio_codecs:
        held = ", ".join(format.audio_codecs)
        raise InvalidProfile(
            f"profile {profile.name}: audio.codec: copy keeps {track.codec}, which {format.name} can't hold; "
            f"allowed: {held}"
        )
    codec = track.codec if copies else codec
    common: dict[str, Any] = {
        "kind": "audio",
        "stream_index": track.index,
        "codec": codec,
        "copies": copies,
        "container": "mp4" if codec in _MP4_AUDIO else "matroska",
        "language": track.language,
        "title": track.title,
        "dispositions": track.dispositions,
        "cost": 0.0 if copies else float(source.used_s) * track.channels * _AUDIO_COST_S,
    }
    if copies:
        return TrackRendition(id=f"copy-audio-{track.index}", **common)
    encoder = AUDIO_ENCODERS[codec]
    channels = min(wanted.channels or track.channels, encoder.max_channels)
    rate = wanted.sample_rate_hz or _container_rate(format.name, codec, track.sample_rate_hz)
    bitrate = wanted.bitrate_bps or encoder.default_bitrate_per_channel_bps * channels
    low, high = encoder.bitrate_range_bps(channels)
    return TrackRendition(
        id=f"{codec}-audio-{track.index}",
        bitrate_bps=max(low, min(bitrate, high)),
        channels=channels if channels != track.channels else None,
        layouts=_LAYOUTS if channels > 2 else None,
        sample_rate_hz=rate,
        fills_gaps=not format.audio_times,
        **common,
    )


def _already_fits(track: AudioStream, codec: str, profile: Profile) -> bool:
    wanted = profile.audio
    return (
        track.codec == codec
        and wanted.channels in (None, track.channels)
        and wanted.sample_rate_hz in (None, track.sample_rate_hz)
        and wanted.bitrate_bps is None
    )


def _container_rate(format: str, codec: str, rate_hz: int) -> int | None:
    """Return the nearest allowed rate at or above the track's own where it can't be kept; None where it can."""
    encoder_rates = AUDIO_ENCODERS[codec].sample_rates
    allowed = CONTAINER_SAMPLE_RATES.get((format, codec), encoder_rates)
    if rate_hz in allowed:
        return None
    return min((rate for rate in allowed if rate >= rate_hz), default=max(allowed))


def subtitle_tracks(source: Source, format: Format) -> tuple[list[TrackRendition], list[LeftOut]]:
    """Return the subtitle renditions of a format: copied where it holds them, text converted where it must be."""
    kept: list[TrackRendition] = []
    left_out: list[LeftOut] = []
    for track in source.subtitles:
        codec = track.codec if track.codec in format.subtitle_codecs else None
        if codec is None and track.is_text:
            codec = format.text_subtitles_as
        if codec is None:
            kind = "text" if track.is_text else "bitmap"
            left_out.append(
                LeftOut(what=name_of("subtitles", track), reason=f"{format.name} holds no {kind} subtitles")
            )
        elif track.start_pts is None or track.end_pts is None:
            left_out.append(LeftOut(what=name_of("subtitles", track), reason="the track is empty"))
        else:
            kept.append(_subtitle_rendition(track, codec))
    return kept, left_out


def _subtitle_rendition(track: SubtitleStream, codec: str) -> TrackRendition:
    return TrackRendition(
        id=f"{codec}-subtitles-{track.index}",
        kind="subtitle",
        stream_index=track.index,
        codec=codec,
        copies=codec == track.codec,
        container="mp4" if codec == "mov_text" else "matroska",
        language=track.language,
        title=track.title,
        dispositions=track.dispositions,
    )


def other_left_out(source: Source, format: Format) -> Iterator[LeftOut]:
    """Yield what no output holds: data, attachments, cover art, further video; and chapters where there are none."""
    audio_only = f"{format.name} is audio only"
    if source.video and format.is_audio_only:
        yield LeftOut(what=name_of(f"video {source.video.codec}", source.video), reason=audio_only)
    for video in source.more_video:
        reason = audio_only if format.is_audio_only else "one video stream is encoded"
        yield LeftOut(what=name_of(f"video {video.codec}", video), reason=reason)
    for other in source.others:
        yield LeftOut(what=f"{other.kind} stream {other.index}", reason="only video, audio and text are carried over")
    if source.chapters and not format.chapters:
        yield LeftOut(what=f"{len(source.chapters)} chapters", reason=f"{format.name} holds none")
    if source.video and not format.is_audio_only and "dolby_vision" in source.video.hdr:
        yield LeftOut(what="Dolby Vision metadata", reason="it does not survive encoding; its base layer does")


def name_of(what: str, stream: Stream) -> str:
    """Name a stream of the source by its kind, number and language."""
    return f"{what} {stream.index}" + (f" ({stream.language})" if stream.language else "")

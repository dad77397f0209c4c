"""Writes HLS playlists (RFC 8216 and its second edition, draft-pantos-hls-rfc8216bis)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from reelmill.packaging.package import SUBTITLES_FILE, AudioOffer, Package, SubtitlesOffer, TrackOffer, VideoOffer
from reelmill.packaging.packaged import Packaged, Part

MASTER = "master.m3u8"
PLAYLIST = "playlist.m3u8"
KEYFRAMES = "keyframes.m3u8"
_VERSION = 7
"""The first that knows fragmented MP4."""


def master_playlist(package: Package) -> str:
    """Return the text of the playlist that players are given."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [_audio_media(each) for each in package.audio] if package.videos else []
    lines += [_subtitles_media(each) for each in package.subtitles]
    for video in package.videos:
        lines += [_attributes("EXT-X-STREAM-INF", _variant(package, video)), _uri(video.packaged, PLAYLIST)]
    for video in package.videos:
        lines.append(_attributes("EXT-X-I-FRAME-STREAM-INF", _keyframes(video)))
    if not package.videos:
        for audio in package.audio:
            lines += [_attributes("EXT-X-STREAM-INF", _sound(audio)), _uri(audio.packaged, PLAYLIST)]
    return "\n".join(lines) + "\n"


def _uri(packaged: Packaged, file_name: str) -> str:
    return f"{packaged.id}/{file_name}"


def _variant(package: Package, video: VideoOffer) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a rung. Rates are those of the rung together with the largest track of sound."""
    sounds = [each.packaged for each in package.audio]
    picture = video.packaged
    yield "BANDWIDTH", str(picture.peak_bps + max((each.peak_bps for each in sounds), default=0))
    yield "AVERAGE-BANDWIDTH", str(picture.average_bps + max((each.average_bps for each in sounds), default=0))
    yield "CODECS", _quoted(",".join(dict.fromkeys(each.media.codecs for each in (picture, *sounds))))
    yield "RESOLUTION", f"{video.shown_width}x{video.height}"
    if video.frame_rate is not None:
        yield "FRAME-RATE", f"{float(video.frame_rate):.3f}"
    yield "VIDEO-RANGE", video.video_range
    if package.audio:
        yield "AUDIO", _quoted("audio")
    if package.subtitles:
        yield "SUBTITLES", _quoted("subtitles")
    yield "CLOSED-CAPTIONS", "NONE"


def _keyframes(video: VideoOffer) -> Iterator[tuple[str, str]]:
    yield "BANDWIDTH", str(video.packaged.keyframes_peak_bps)
    yield "CODECS", _quoted(video.packaged.media.codecs)
    yield "RESOLUTION", f"{video.shown_width}x{video.height}"
    yield "VIDEO-RANGE", video.video_range
    yield "URI", _quoted(_uri(video.packaged, KEYFRAMES))


def _sound(audio: AudioOffer) -> Iterator[tuple[str, str]]:
    yield "BANDWIDTH", str(audio.packaged.peak_bps)
    yield "AVERAGE-BANDWIDTH", str(audio.packaged.average_bps)
    yield "CODECS", _quoted(audio.packaged.media.codecs)


def _audio_media(audio: AudioOffer) -> str:
    return _media("AUDIO", "audio", audio, audio.packaged.id, (("CHANNELS", _quoted(str(audio.channels))),))


def _subtitles_media(subtitles: SubtitlesOffer) -> str:
    forced = (("FORCED", "YES"),) if subtitles.is_forced else ()
    return _media("SUBTITLES", "subtitles", subtitles, subtitles.id, forced)


def _media(kind: str, group: str, track: TrackOffer, folder: str, more: Iterable[tuple[str, str]]) -> str:
    language = (("LANGUAGE", _quoted(track.language)),) if track.language else ()
    return _attributes(
        "EXT-X-MEDIA",
        (
            ("TYPE", kind), ("GROUP-ID", _quoted(group)), *language, ("NAME", _quoted(track.name)),
            ("DEFAULT", _yes(track.is_default)), ("AUTOSELECT", _yes(track.is_automatic or track.is_default)), *more,
            ("URI", _quoted(f"{folder}/{PLAYLIST}")),
        ),
    )  # fmt: skip


def _attributes(tag: str, attributes: Iterable[tuple[str, str]]) -> str:
    return f"#{tag}:" + ",".join(f"{name}={value}" for name, value in attributes)


def _quoted(text: str) -> str:
    return f'"{text}"'


def _yes(truth: bool) -> str:
    return "YES" if truth else "NO"


def media_playlist(packaged: Packaged) -> str:
    """Return the text of the playlist of one rendition."""
    lines = [*_head(packaged), _map(packaged)]
    for duration, part in zip(_rounded(packaged.durations_s), packaged.parts, strict=True):
        lines += [f"#EXTINF:{duration},", *_byte_range(packaged, part), part.file_name]
    return "\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n"


def keyframes_playlist(packaged: Packaged) -> str:
    """Return the text of the playlist of the first frame of every segment, for winding and for previews."""
    lines = [*_head(packaged), "#EXT-X-I-FRAMES-ONLY", _map(packaged)]
    segments = zip(_rounded(packaged.durations_s), packaged.parts, packaged.media.segments, strict=True)
    for duration, part, segment in segments:
        lines += [f"#EXTINF:{duration},", f"#EXT-X-BYTERANGE:{segment.key_bytes}@{part.offset}", part.file_name]
    return "\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n"


def subtitles_playlist(duration_s: Fraction) -> str:
    """Return the text of the playlist of a track of text, which is one segment."""
    [duration] = _rounded((duration_s,))
    lines = [
        "#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", f"#EXT-X-TARGETDURATION:{max(1, int(duration_s + Fraction(1, 2)))}",
        "#EXT-X-PLAYLIST-TYPE:VOD", f"#EXTINF:{duration},", SUBTITLES_FILE, "#EXT-X-ENDLIST",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _head(packaged: Packaged) -> list[str]:
    return [
        "#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", f"#EXT-X-TARGETDURATION:{packaged.target_s}",
        "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-INDEPENDENT-SEGMENTS",
    ]  # fmt: skip


def _map(packaged: Packaged) -> str:
    init = packaged.init
    where = "" if packaged.file_per_segment else f',BYTERANGE="{init.size_bytes}@{init.offset}"'
    return f'#EXT-X-MAP:URI="{init.file_name}"{where}'


def _byte_range(packaged: Packaged, part: Part) -> list[str]:
    return [] if packaged.file_per_segment else [f"#EXT-X-BYTERANGE:{part.size_bytes}@{part.offset}"]


def _rounded(durations_s: Iterable[Fraction]) -> Iterator[str]:
    """Yield durations in microseconds, as decimal seconds, so that their sum is never off by more than half of one."""
    total, reached_us = Fraction(0), 0
    for each in durations_s:
        total += each
        micros = round(total * 1_000_000) - reached_us
        reached_us += micros
        yield f"{micros // 1_000_000}.{micros % 1_000_000:06d}"

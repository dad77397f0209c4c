"""What a package offers to a player, described once for both playlists and manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from reelmill.media.source import Source
from reelmill.packaging.languages import language_name, language_tag
from reelmill.packaging.packaged import Packaged
from reelmill.planning.plan import PackagePlan, TrackRendition, VideoRendition

VideoRange = Literal["SDR", "HLG", "PQ"]
_TRANSFERS: dict[int, VideoRange] = {16: "PQ", 18: "HLG"}
"""Of ISO/IEC 23091-2."""
SUBTITLES_FILE = "subtitles.vtt"


@dataclass(frozen=True)
class VideoOffer:
    """One rung. Sizes in pixels, as coded."""

    packaged: Packaged
    width: int
    height: int
    sample_aspect_ratio: Fraction
    frame_rate: Fraction | None
    video_range: VideoRange

    @property
    def shown_width(self) -> int:
        """Return the width at which its lines have the picture's shape."""
        return round(self.width * self.sample_aspect_ratio)


@dataclass(frozen=True)
class TrackOffer:
    """What a track is called. `is_automatic` where a player may choose it by its language, without being told."""

    language: str | None
    """BCP 47."""
    name: str
    is_default: bool
    is_automatic: bool


@dataclass(frozen=True)
class AudioOffer(TrackOffer):
    """One track of sound."""

    packaged: Packaged
    channels: int
    sample_rate_hz: int


@dataclass(frozen=True)
class SubtitlesOffer(TrackOffer):
    """One track of text, whole in one file of the folder `id`."""

    id: str
    is_forced: bool


@dataclass(frozen=True)
class Package:
    """Everything a player can choose from; the rungs from the largest to the smallest."""

    videos: tuple[VideoOffer, ...]
    audio: tuple[AudioOffer, ...]
    subtitles: tuple[SubtitlesOffer, ...]
    file_per_segment: bool

    @property
    def renditions(self) -> tuple[Packaged, ...]:
        return tuple(each.packaged for each in (*self.videos, *self.audio))

    @property
    def duration_s(self) -> Fraction:
        """Return when the last frame or sample ends, counted from where players start to count."""
        return max(each.end_s for each in self.renditions)


def describe(
    source: Source,
    package: PackagePlan,
    videos: Sequence[tuple[VideoRendition, Packaged]],
    audio: Sequence[tuple[TrackRendition, Packaged]],
    subtitles: Sequence[TrackRendition],
) -> Package:
    """Return the package that the renditions make."""
    colour = source.video.colour.transfer if source.video else 2
    return Package(
        videos=tuple(
            VideoOffer(
                packaged, *each.size, each.sample_aspect_ratio,
                package.frame_rate,
                "SDR" if each.tone_map or "10" not in each.pixel_format else _TRANSFERS.get(colour, "SDR"),
            )
            for each, packaged in videos
        ),
        audio=tuple(_audio_offers(source, package, audio)),
        subtitles=tuple(_subtitles_offers(subtitles)),
        file_per_segment=package.file_per_segment,
    )  # fmt: skip


def _audio_offers(
    source: Source, package: PackagePlan, audio: Sequence[tuple[TrackRendition, Packaged]]
) -> Iterator[AudioOffer]:
    names, first = _names(each for each, _ in audio), _first_of_language(each for each, _ in audio)
    for (track, packaged), name in zip(audio, names, strict=True):
        stream = next(each for each in source.audio if each.index == track.stream_index)
        yield AudioOffer(
            language_tag(track.language), name, track.id == package.default_audio, track.id in first, packaged,
            track.channels or stream.channels, track.sample_rate_hz or stream.sample_rate_hz,
        )  # fmt: skip


def _subtitles_offers(tracks: Sequence[TrackRendition]) -> Iterator[SubtitlesOffer]:
    default = next((each.id for each in tracks if "default" in each.dispositions), None)
    first = _first_of_language(tracks)
    for track, name in zip(tracks, _names(tracks), strict=True):
        yield SubtitlesOffer(
            language_tag(track.language), name, track.id == default, track.id in first, track.id,
            "forced" in track.dispositions,
        )  # fmt: skip


def _first_of_language(tracks: Iterable[TrackRendition]) -> set[str]:
    return set({each.language: each.id for each in reversed([*tracks])}.values())


def _names(tracks: Iterable[TrackRendition]) -> list[str]:
    """Return a name for each track, no two alike."""
    names: list[str] = []
    for number, track in enumerate(tracks, start=1):
        name = track.title or language_name(track.language) or f"Track {number}"
        name = name.replace('"', "'").replace("\n", " ").replace("\r", " ")
        names.append(f"{name} ({number})" if name in names else name)
    return names

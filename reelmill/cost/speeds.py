"""How fast encoders are: measured where this was done before, else by a table of defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from reelmill.frozen import Frozen
from reelmill.media.source import Source
from reelmill.planning.plan import TrackRendition, VideoRendition

KnownFrom = Literal["measured", "elsewhere", "defaults"]
"""Measured on this kind of CPU; measured on another kind; not measured, but taken from the table of defaults."""

_SIZES = (144, 240, 360, 480, 720, 1080, 1440, 2160, 4320)
_SOUND = "sound"
_MUX = "mux"
_QUALITY = "quality"


class Kind(Frozen):
    """Which work is alike. What it is made from counts, since decoding takes its time as well."""

    codec: str = Field(description="Codec, `copy` for a copied track, `quality` for measuring, or `mux`")
    preset: str = Field(description="Preset of the encoder; of how many frames one is compared; else empty")
    size: str = Field(description="Size it was encoded to: `720p` and the like, `sound`, or the format that was muxed")
    source_size: str = Field(description="Size of the source")

    def __hash__(self) -> int:
        return hash((self.codec, self.preset, self.size, self.source_size))


class Sample(Frozen):
    """What work of one kind took in this job. Pieces kept from an earlier run are not in it."""

    rendition: str = Field(description="Rendition, or `mux` and the format")
    kind: Kind = Field(description="What kind of work it was")
    cpu_class: str = Field(description="What the CPU calls itself")
    work: int = Field(description="Pixels of video, milliseconds of sound, or bytes that were muxed")
    cpu_ms: int = Field(description="CPU milliseconds of its ffmpeg runs that succeeded")
    size_bytes: int = Field(description="Bytes that came of it")


@dataclass(frozen=True)
class Speed:
    """What samples add up to."""

    work: int
    cpu_ms: int
    size_bytes: int
    known_from: KnownFrom

    def cpu_s(self, work: int) -> float:
        return work * self.cpu_ms / self.work / 1000

    def bytes_of(self, work: int) -> int:
        return work * self.size_bytes // self.work


Speeds = Mapping[Kind, Speed]

_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_DEFAULT_MS: dict[str, dict[str, int]] = {
    "h264": dict(zip(_PRESETS, (10, 18, 27, 44, 50, 55, 71, 150, 380, 800), strict=True)),
    "hevc": dict(zip(_PRESETS, (41, 50, 67, 75, 85, 98, 180, 400, 800, 1600), strict=True)),
    "vp9": {str(n): ms for n, ms in enumerate((900, 300, 160, 100, 76, 72, 70, 68, 66))},
    "av1": {
        str(n): ms
        for n, ms in enumerate((3000, 1500, 700, 350, 180, 100, 64, 45, 33, 27, 23, 20, 17, 16))
    },
}  # fmt: skip
"""CPU milliseconds for a million pixels by codec and preset, where nothing was measured.

Of 720p by a core of a server of 2026: x264 but placebo, x265 ultrafast, veryfast and medium, VP9 4 and 8, SVT-AV1 6, 8
and 12 were timed with ffmpeg 9.0, those between them are guessed.
"""
_DEFAULT_BYTES = {"h264": 6_000, "hevc": 2_500, "vp9": 3_500, "av1": 2_500}
"""Bytes of a million pixels at the default quality, where nothing was measured. The picture decides, by factors."""
_MEGAPIXEL = 1_000_000
_SOUND_MS_PER_S = 20
_SOUND_BYTES_PER_S = 16_000
_MUX_MS_PER_MB = 20
_DECODE_MS = 8
"""CPU milliseconds to decode and shape a million pixels of the source, to compare a piece with it."""
_COMPARE_MS = 72
"""CPU milliseconds to compare a million pixels by VMAF, SSIM and PSNR, of 720p, with ffmpeg 9.0."""


def size_class(width: int, height: int) -> str:
    """Return the least usual size that holds the shorter side."""
    side = min(width, height)
    return f"{next((each for each in _SIZES if side <= each), _SIZES[-1])}p"


def kind_of_video(source: Source, rendition: VideoRendition) -> Kind:
    original = source.video
    assert original is not None, "a rendition of the video is of a source that has one"
    return Kind(
        codec=rendition.codec, preset=rendition.preset or "", size=size_class(*rendition.size),
        source_size=size_class(original.width, original.height),
    )  # fmt: skip


def kind_of_track(track: TrackRendition) -> Kind:
    return Kind(codec="copy" if track.copies else track.codec, preset="", size=_SOUND, source_size=_SOUND)


def kind_of_measuring(source: Source, rendition: VideoRendition, every_frames: int) -> Kind:
    """Return what kind of work it is to measure a rendition, one of `every_frames` frames."""
    return kind_of_video(source, rendition).model_copy(update={"codec": _QUALITY, "preset": str(every_frames)})


def kind_of_mux(format: str) -> Kind:
    return Kind(codec=_MUX, preset="", size=format, source_size="")


def mux_of(format: str) -> str:
    """Return what the muxing of a format is called among the runs."""
    return f"{_MUX} {format}"


def measuring_of(rendition: str) -> str:
    """Return what measuring a rendition's quality is called among the runs."""
    return f"quality {rendition}"


def pixels_of(rendition: VideoRendition, frames: int) -> int:
    width, height = rendition.size
    return frames * width * height


def default_speed(kind: Kind) -> Speed:
    """Return what is assumed of a kind that was never measured."""
    if kind.codec == _MUX:
        return Speed(1_000_000, _MUX_MS_PER_MB, 1_000_000, "defaults")
    if kind.size == _SOUND:
        copied = kind.codec == "copy"
        return Speed(1000, 1 if copied else _SOUND_MS_PER_S, _SOUND_BYTES_PER_S, "defaults")
    if kind.codec == _QUALITY:
        shrunk = (int(kind.source_size[:-1]) / int(kind.size[:-1])) ** 2
        return Speed(_MEGAPIXEL, round(_DECODE_MS * shrunk + _COMPARE_MS / int(kind.preset)), 0, "defaults")
    by_preset = _DEFAULT_MS[kind.codec]
    cpu_ms = by_preset.get(kind.preset) or sorted(by_preset.values())[len(by_preset) // 2]
    return Speed(_MEGAPIXEL, cpu_ms, _DEFAULT_BYTES[kind.codec], "defaults")

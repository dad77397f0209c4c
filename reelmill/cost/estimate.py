"""What a plan will cost, before anything of it is done. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from pydantic import Field

from reelmill.cost.prices import Prices, billed_tenths
from reelmill.cost.speeds import (
    Kind,
    KnownFrom,
    Speed,
    Speeds,
    default_speed,
    kind_of_measuring,
    kind_of_mux,
    kind_of_track,
    kind_of_video,
    measuring_of,
    mux_of,
    pixels_of,
)
from reelmill.frozen import Frozen
from reelmill.planning.plan import Plan, TrackRendition, VideoRendition

Kept = Collection[tuple[str, int]]
"""Segments, by rendition and number, and tracks, by name and 0, that an earlier run finished: they cost nothing."""


class EstimateLine(Frozen):
    """What one rendition, track or output is expected to take."""

    work: str = Field(description="Rendition, `quality` and one, or `mux` and the format")
    cpu_tenths: int = Field(description="Tenths of a CPU second, each run rounded up")
    nanos: int = Field(description="Billionths of the currency")
    known_from: KnownFrom = Field(description="Whether its speed was measured on such a CPU, elsewhere, or never")


class Estimate(Frozen):
    """What a job is expected to cost."""

    prices: Prices
    lines: tuple[EstimateLine, ...]
    moved_bytes: int
    stored_bytes: int

    @property
    def cpu_tenths(self) -> int:
        return sum(each.cpu_tenths for each in self.lines)

    @property
    def nanos(self) -> int:
        cpu = sum(each.nanos for each in self.lines)
        return cpu + self.prices.of_moved(self.moved_bytes) + self.prices.of_stored(self.stored_bytes)

    @property
    def by_defaults(self) -> tuple[str, ...]:
        """Return what no speed was measured for."""
        return tuple(each.work for each in self.lines if each.known_from == "defaults" and each.cpu_tenths)


def kinds_in(plan: Plan, compare_every: int | None = None) -> set[Kind]:
    """Return what speeds an estimate of the plan goes by; `compare_every` is that of `estimate_cost`."""
    encoded = [each for each in plan.video if each.segments]
    video = {kind_of_video(plan.source, each) for each in encoded}
    if compare_every is not None:
        video |= {kind_of_measuring(plan.source, each, compare_every) for each in encoded}
    return video | {kind_of_track(each) for each in plan.tracks} | {kind_of_mux(each.label) for each in plan.outputs}


def estimate_cost(
    plan: Plan, prices: Prices, speeds: Speeds, *, reads_bucket: bool, writes_bucket: bool, kept: Kept = (),
    compare_every: int | None = None,
) -> Estimate:  # fmt: skip
    """Return what the plan is expected to cost; by the table of defaults where `speeds` does not know a kind.

    `reads_bucket` and `writes_bucket` say whether the source and the outputs are moved from and to a bucket. Where
    quality is measured, one of `compare_every` frames is compared; once, though a segment may be encoded again for it.
    """

    def speed_of(kind: Kind) -> Speed:
        return speeds.get(kind) or default_speed(kind)

    sizes = dict(_sizes(plan, speed_of))
    lines: list[EstimateLine] = []

    def add(work: str, tenths: list[int], known_from: KnownFrom) -> None:
        nanos = sum(map(prices.of_cpu, tenths))
        lines.append(EstimateLine(work=work, cpu_tenths=sum(tenths), nanos=nanos, known_from=known_from))

    for video in plan.video:
        if not video.segments:
            continue
        speed = speed_of(kind_of_video(plan.source, video))
        left = [each for each in video.segments if (video.id, each.number) not in kept]
        add(video.id, [billed_tenths(speed.cpu_s(pixels_of(video, each.frames))) for each in left], speed.known_from)
        if compare_every is not None:
            speed = speed_of(kind_of_measuring(plan.source, video, compare_every))
            tenths = [billed_tenths(speed.cpu_s(pixels_of(video, each.frames))) for each in left]
            add(measuring_of(video.id), tenths, speed.known_from)
    for track in plan.tracks:
        speed = speed_of(kind_of_track(track))
        tenths = [] if (track.id, 0) in kept else [billed_tenths(speed.cpu_s(_milliseconds(plan)))]
        add(track.id, tenths, speed.known_from)
    stored = 0
    for output in plan.outputs:
        speed = speed_of(kind_of_mux(output.label))
        size = sum(sizes[each] for each in (*output.videos, *output.tracks))
        add(mux_of(output.label), [billed_tenths(speed.cpu_s(size))], speed.known_from)
        stored += size
    moved = sum(each.size_bytes for each in plan.sources) * reads_bucket + stored * writes_bucket
    return Estimate(prices=prices, lines=tuple(lines), moved_bytes=moved, stored_bytes=stored)


def _sizes(plan: Plan, speed_of: Callable[[Kind], Speed]) -> Iterator[tuple[str, int]]:
    """Yield how many bytes each rendition and each track is expected to have."""
    for video in plan.video:
        yield (
            video.id,
            _asked_bytes(plan, video)
            or (
                speed_of(kind_of_video(plan.source, video)).bytes_of(pixels_of(video, video.frames))
                if video.segments
                else plan.source.size_bytes
            ),
        )
    for track in plan.tracks:
        yield track.id, _asked_bytes(plan, track) or speed_of(kind_of_track(track)).bytes_of(_milliseconds(plan))


def _asked_bytes(plan: Plan, rendition: VideoRendition | TrackRendition) -> int:
    return int((rendition.bitrate_bps or 0) * plan.used_s / 8)


def _milliseconds(plan: Plan) -> int:
    return int(plan.used_s * 1000)

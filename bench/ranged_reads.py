"""How much of a source in a bucket is read for a segment, and how long that takes, in several ways."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any
from urllib.parse import urlsplit

from bench.counted_line import Line, Traffic, counted_line
from bench.pipeline import prepare, workspace_in
from bench.ranged_sources import CONTAINERS, Container, make_clip, make_source, source_line, source_seconds
from bench.ranged_ways import (
    ATTEMPT,
    Planned,
    by_local_file,
    by_packets,
    by_range_server,
    by_url,
    bytes_between,
    fault_of,
)
from bench.results import Cell, Figure, Result, Table
from bench.workbench import Workbench
from reelmill.encoding.whole_tracks import make_track
from reelmill.media.probe import probe
from reelmill.planning.plan import Segment
from reelmill.profiles.profile import Profile
from reelmill.settings import settings
from reelmill.storage import blocks, range_server
from reelmill.storage.location import S3Location
from reelmill.storage.pinning import pin
from reelmill.storage.s3_client import client, forget_client
from reelmill.storage.s3_source import forget_blocks
from tests.s3_servers import S3Server, ceph_server, ministack_server

_BUCKET = "bench"
_ROUND_TRIP_S = 0.02
_PROFILE = Profile.model_validate(
    {"version": 1, "name": "tiny", "video": {"preset": "ultrafast", "height": 90, "width": 160}}
)
_BLOCKS_KIB, _READ_AHEADS = (256, 1024, 4096), (0, 4, 8)
_BUILT, _BUILT_FAR = "range server, nothing kept", "range server, nothing kept, 20 ms"
_DOWNLOAD, _KEPT = "whole download", "range server, source kept from the probe"


@dataclass(frozen=True)
class Reading:
    """What one action took, and what it read of the store. `own_cpu_s` is this process's, without its children's."""

    wall_s: float
    own_cpu_s: float
    traffic: Traffic
    fault: str = ""


@dataclass(frozen=True)
class _Findings:
    """What was found of one container. `segments` are by way, in the order of the sample."""

    container: Container
    size_bytes: int
    needed_bytes: list[int]
    download: Reading
    whole: dict[str, Reading]
    segments: dict[str, list[Reading]]


@dataclass(frozen=True)
class _Place:
    """A server, and the two lines to it: with no round trip to speak of, and with a long one."""

    server: S3Server
    near: Line
    far: Line


def measure_ranged_reads(bench: Workbench) -> Result:
    """Put one source into a bucket in each container, and encode some of its segments in each way by turns."""
    server = ministack_server() if bench.quick else ceph_server()
    with bench.folder("ranged") as folder, server as store:
        port = urlsplit(store.endpoint_url).port or 0
        with counted_line(port, 0) as near, counted_line(port, _ROUND_TRIP_S) as far, _environment(store, folder):
            place, clip = _Place(store, near, far), make_clip(bench, folder)
            store.client().create_bucket(Bucket=_BUCKET)
            found: list[_Findings] = []
            by_blocks: list[dict[str, Any]] = []
            for container in CONTAINERS:
                with _stored(bench, place, clip, container, folder) as local:
                    job, findings = _measure_container(bench, place, container, local)
                    found.append(findings)
                    if container is CONTAINERS[0]:
                        by_blocks = _measure_blocks(
                            bench, place, job, _sample(bench, job)[1:3], _BLOCKS_KIB[:1] if bench.quick else _BLOCKS_KIB
                        )
    return _result(bench, found, by_blocks)


def _measure_container(bench: Workbench, place: _Place, container: Container, local: Path) -> tuple[Planned, _Findings]:
    where = S3Location(_BUCKET, local.name)
    download = _measure(place.near, lambda: _download(place, where, local))
    whole: dict[str, Reading] = {}
    with _through(place.far):
        whole["probe, 20 ms"] = _measure(place.far, lambda: probe(pin(where), job_key=ATTEMPT))
    with _through(place.near):
        whole["probe"] = _measure(place.near, lambda: probe(pin(where), job_key=ATTEMPT))
        segment_s = (source_seconds(bench) + 1) / _segments(bench)
        prepared: list[Any] = []
        whole["probe again, source kept"] = _measure(
            place.near, lambda: prepared.append(prepare(str(where), ("mp4",), _PROFILE, segment_s))
        )
        job = Planned(prepared[0].plan, local, local.parent)
        sample = _sample(bench, job)
        runs = {_KEPT: [_run(bench, place.near, _KEPT, by_range_server, job, each) for each in sample]}
        forget_blocks()
        workspace = workspace_in(local.parent / f"tracks-{time.monotonic_ns()}")
        whole["audio track"] = _measure(
            place.near,
            lambda: make_track(
                job.plan.sources, job.plan.tracks[0], workspace=workspace, strict=True, attempt=ATTEMPT
            ),
        )  # fmt: skip
    runs |= _by_turns(bench, place, job, sample)
    return job, _Findings(container, job.source.size_bytes, bytes_between(job, sample), download, whole, runs)


def _by_turns(bench: Workbench, place: _Place, job: Planned, sample: Sequence[Segment]) -> dict[str, list[Reading]]:
    """Encode each segment in every way, before the next segment is."""
    ways: dict[str, tuple[Line, Callable[[Planned, Segment], None]]] = {
        _DOWNLOAD: (place.near, by_local_file),
        "packets copied": (place.near, by_packets),
        "presigned URL": (place.near, partial(by_url, url=_presigned(place, place.near, job))),
        _BUILT: (place.near, by_range_server),
        "presigned URL, 20 ms": (place.far, partial(by_url, url=_presigned(place, place.far, job))),
        _BUILT_FAR: (place.far, by_range_server),
    }
    runs: dict[str, list[Reading]] = {way: [] for way in ways}
    for segment in sample:
        for way, (line, action) in ways.items():
            with _through(line):
                runs[way].append(_run(bench, line, way, action, job, segment))
    return runs


def _measure_blocks(
    bench: Workbench, place: _Place, job: Planned, sample: Sequence[Segment], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Encode segments with blocks of several sizes, and with several of them read ahead."""
    built = blocks.BLOCK_BYTES, blocks.READ_AHEAD_BLOCKS
    rows: list[dict[str, Any]] = [
        {"block_kib": size, "ahead": ahead, "near": [], "far": []} for size in sizes for ahead in _READ_AHEADS
    ]
    try:
        for segment in sample:
            for row in rows:
                for module in (blocks, range_server):
                    vars(module).update(BLOCK_BYTES=row["block_kib"] << 10, READ_AHEAD_BLOCKS=row["ahead"])
                way = f"blocks of {row['block_kib']} KiB, {row['ahead']} ahead"
                for name, line in (("near", place.near), ("far", place.far)):
                    with _through(line):
                        row[name].append(_run(bench, line, f"{way}, {name}", by_range_server, job, segment))
    finally:
        for module in (blocks, range_server):
            vars(module).update(BLOCK_BYTES=built[0], READ_AHEAD_BLOCKS=built[1])
    return rows


def _run(
    bench: Workbench, line: Line, way: str, action: Callable[[Planned, Segment], None], job: Planned, segment: Segment
) -> Reading:
    reading = _measure(line, lambda: action(job, segment))
    reading = Reading(reading.wall_s, reading.own_cpu_s, reading.traffic, fault_of(job, segment))
    bench.say(
        f"{job.local.name} {segment.number}, {way}: {reading.wall_s:.2f} s, "
        f"{reading.traffic.received_bytes / 1e6:.1f} MB in {reading.traffic.requests} requests {reading.fault}"
    )
    return reading


def _measure(line: Line, action: Callable[[], object]) -> Reading:
    before, cpu_s, started = line.traffic(), _own_cpu_s(), time.monotonic()
    action()
    wall_s, cpu_s = time.monotonic() - started, _own_cpu_s() - cpu_s
    return Reading(wall_s, cpu_s, line.settled().since(before))


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _segments(bench: Workbench) -> int:
    return 10 if bench.quick else 50


def _sample(bench: Workbench, job: Planned) -> list[Segment]:
    """Return some of the segments, spread evenly, the first and the last among them."""
    segments, count = job.rendition.segments, 2 if bench.quick else 6
    if len(segments) != _segments(bench):
        raise RuntimeError(f"the plan has {len(segments)} segments, not {_segments(bench)}")
    return [segments[round(number * (len(segments) - 1) / (count - 1))] for number in range(count)]


@contextmanager
def _stored(bench: Workbench, place: _Place, clip: Path, container: Container, folder: Path) -> Generator[Path]:
    """Have the source in the bucket, and nothing but its name here, for as long as the block runs."""
    local = make_source(clip, container, folder)
    key = local.name
    bench.say(f"storing {container.name}, {local.stat().st_size / 1e9:.2f} GB")
    place.server.client().upload_file(str(local), _BUCKET, key)
    local.unlink()
    try:
        yield local
    finally:
        forget_blocks()
        local.unlink(missing_ok=True)
        place.server.client().delete_object(Bucket=_BUCKET, Key=key)


def _download(place: _Place, where: S3Location, local: Path) -> None:
    place.server.client(endpoint_url=place.near.address).download_file(where.bucket, where.key, str(local))


def _presigned(place: _Place, line: Line, job: Planned) -> str:
    parameters = {"Bucket": _BUCKET, "Key": job.local.name}
    return place.server.client(endpoint_url=line.address).generate_presigned_url("get_object", Params=parameters)


@contextmanager
def _environment(server: S3Server, folder: Path) -> Generator[None]:
    """Let this process use the server. Ranges are read once: over plain http it would be twice, to compare them."""
    kept = dict(os.environ)
    os.environ |= {name: value for name, value in server.env().items() if name.startswith("AWS_")}
    os.environ |= {
        "REELMILL_S3_READ_TWICE": "false", "REELMILL_S3_ADDRESSING": "path",
        "REELMILL_SCRATCH_DIR": str(folder / "scratch"),
    }  # fmt: skip
    try:
        yield
    finally:
        forget_blocks()
        os.environ.clear()
        os.environ |= kept
        settings.cache_clear()
        forget_client()


@contextmanager
def _through(line: Line) -> Generator[None]:
    """Have the store reached by a line, with nothing kept of it before or after."""
    os.environ["REELMILL_S3_ENDPOINT_URL"] = line.address
    settings.cache_clear()
    forget_client()
    forget_blocks()
    client()  # making one takes its time, once in a process
    try:
        yield
    finally:
        forget_blocks()


def _result(bench: Workbench, found: Sequence[_Findings], by_blocks: Sequence[dict[str, Any]]) -> Result:
    count = _segments(bench)
    figures = [
        Figure(
            name=f"read for {count} segments on as many machines, {each.container.name}",
            value=_share(each, each.segments[_BUILT], count), unit="x the source",
        )
        for each in found
    ]  # fmt: skip
    return Result(
        figures=tuple(figures),
        tables=(_segments_table(found, count), _whole_table(found), _blocks_table(found[0], by_blocks, count)),
        sources=(source_line(bench, found[0].size_bytes),),
        notes=_notes(found, count),
        raw={
            "containers": [asdict(each) for each in found],
            "blocks": [
                row | {name: [asdict(each) for each in row[name]] for name in ("near", "far")} for row in by_blocks
            ],
        },
    )


def _segments_table(found: Sequence[_Findings], count: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        name, local_s = each.container.name, _seconds(each.segments[_DOWNLOAD])
        needed = mean(each.needed_bytes)
        rows.append((name, "what the frames lie in", needed / 1e6, count * needed / each.size_bytes, *[None] * 4))
        for way, readings in each.segments.items():
            fetched = each.download if way == _DOWNLOAD else None
            read = fetched.traffic.received_bytes if fetched else mean(_bytes(readings))
            seconds = _seconds(readings) + (fetched.wall_s if fetched else 0)
            requests = fetched.traffic.requests if fetched else round(median(r.traffic.requests for r in readings))
            wrong = f"{sum(bool(r.fault) for r in readings)} of {len(readings)}"
            rows.append(
                (name, way, read / 1e6, count * read / each.size_bytes, requests, seconds, seconds - local_s, wrong)
            )
    columns = (
        "source", "way", "MB a segment", f"x the source, {count} segments", "requests", "s a segment",
        "s more than from a file", "inexact",
    )  # fmt: skip
    return Table(caption="One segment, by how ffmpeg comes to its source", columns=columns, rows=tuple(rows))


def _whole_table(found: Sequence[_Findings]) -> Table:
    rows = [
        (each.container.name, what, r.traffic.received_bytes / each.size_bytes, r.traffic.requests, r.wall_s)
        for each in found
        for what, r in {**each.whole, "download": each.download}.items()
    ]
    columns = ("source", "what", "x the source", "requests", "s")
    return Table(
        caption="What reads all of a source, through the range server but for the download",
        columns=columns,
        rows=tuple(rows),
    )


def _blocks_table(first: _Findings, by_blocks: Sequence[dict[str, Any]], count: int) -> Table:
    rows = [
        (
            f"{row['block_kib']} KiB", row["ahead"], mean(_bytes(row["far"])) / 1e6,
            count * mean(_bytes(row["far"])) / first.size_bytes, round(median(r.traffic.requests for r in row["far"])),
            _seconds(row["near"]), _seconds(row["far"]), mean(r.own_cpu_s for r in row["near"]),
        )
        for row in by_blocks
    ]  # fmt: skip
    columns = (
        "block", "read ahead", "MB a segment", f"x the source, {count} segments", "requests", "s a segment",
        "s a segment, 20 ms", "own CPU s",
    )  # fmt: skip
    return Table(caption=f"Blocks and reading ahead, {first.container.name}", columns=columns, rows=tuple(rows))


def _notes(found: Sequence[_Findings], count: int) -> tuple[str, ...]:
    sampled = len(found[0].needed_bytes)
    cpu_s = mean(r.own_cpu_s for each in found for r in each.segments[_BUILT])
    megabytes = mean(b for each in found for b in _bytes(each.segments[_BUILT])) / 1e6
    return (
        f"{sampled} of the {count} segments were measured, spread evenly, in all ways by turns; bytes and requests are "
        "means and medians of them, seconds are medians.",
        "Each way runs the command of the segment (x264 ultrafast, 160x90), so that decoding is most of what a local "
        "file takes.",
        "Bytes were counted between the store and this machine, with what was under way when a reader hung up.",
        "20 ms is the round trip that a line before the store adds; it has no bound on its rate but 4 MiB under way.",
        "Each range was read once (`REELMILL_S3_READ_TWICE=false`): by default it is twice where the connection isn't "
        "TLS, and all bytes of the range server count double.",
        "The time of a download is in the seconds of its segment: as if it were the only one of its machine.",
        f"The range server takes {1000 * cpu_s / megabytes:.1f} ms of CPU for a MB.",
    )


def _share(each: _Findings, readings: Iterable[Reading], count: int) -> float:
    return count * mean(_bytes(readings)) / each.size_bytes


def _bytes(readings: Iterable[Reading]) -> list[int]:
    return [each.traffic.received_bytes for each in readings]


def _seconds(readings: Iterable[Reading]) -> float:
    return median(each.wall_s for each in readings)

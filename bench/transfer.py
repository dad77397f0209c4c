"""One large object between two Ceph servers: `reelmill transfer` against the tools that people use for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from boto3.s3.transfer import TransferConfig

from bench.measuring import Round, Usage, measure, median_of, median_ratio, most_by_others
from bench.results import Figure, Result, Table
from bench.workbench import Workbench
from tests.s3_servers import S3Server, ceph_server, ministack_server
from tests.two_stores import FAR, keys_file, stores_setting

PEERS = Path(__file__).parents[1] / ".cache" / "peers" / "bin"
"""Where `make bench` puts the other tools."""
_BUCKET, _KEY = "bench", "source.bin"
_SIZE_BYTES, _QUICK_BYTES = 2 << 30, 40 << 20
_PART_BYTES = 16 << 20
_STREAMS = 8
_SAMPLE_EVERY_S = 0.05
_WITHIN_S = 90.0
_REST_S = 3.0
_OURS, _BY_STORE, _RCLONE = "reelmill transfer", "reelmill transfer, one store (UploadPartCopy)", "rclone copyto"
_MEMORY_SHARE = 1 / 3


@dataclass(frozen=True)
class Taken(Usage):
    """What a copy took; `peak_mb` is the most memory that all of its processes had at once, in MB."""

    peak_mb: float


@dataclass(frozen=True)
class Places:
    """Two servers, the keys to the second in a file, and a folder for whatever the tools write."""

    near: S3Server
    far: S3Server
    folder: Path

    def aws(self, server: S3Server) -> dict[str, str]:
        """Return the environment of a tool that is to use one of them."""
        return {
            "AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_DEFAULT_REGION": server.region, "AWS_REGION": server.region,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip


Command = tuple[list[str], Mapping[str, str]]


def measure_transfer(bench: Workbench) -> Result:
    """Copy it with each tool, in turns; every copy is compared by size, ours by the source's ETag too."""
    size, serve = (_QUICK_BYTES, ministack_server) if bench.quick else (_SIZE_BYTES, ceph_server)
    with bench.folder("transfer") as folder, ExitStack() as servers:
        bench.say("starting two servers")
        places = Places(servers.enter_context(serve()), servers.enter_context(serve()), folder)
        _prepare(places, size)
        rounds, hung = _take_turns(bench, places, size)
    crossing = [name for name in rounds[0] if name not in (_OURS, _BY_STORE)]
    fastest = min(crossing, key=lambda name: median_of(rounds, name))
    figures = [
        Figure(name="wall ratio to the fastest other tool", value=median_ratio(rounds, _OURS, fastest), limit=1.0),
        Figure(name="wall ratio within one store", value=median_ratio(rounds, _BY_STORE, _OURS)),
        Figure(name="peak memory", value=median_of(rounds, _OURS, "peak_mb"), unit="MB"),
    ]
    if _RCLONE in crossing:
        ratio = median_ratio(rounds, _OURS, _RCLONE, "peak_mb")
        figures.append(Figure(name="peak memory to rclone's", value=ratio, limit=round(_MEMORY_SHARE, 3)))
    rows = tuple(
        (
            name, *(median_of(rounds, name, what) for what in ("wall_s", "cpu_s", "peak_mb")),
            median(size / 1e6 / each[name].wall_s for each in rounds),
        )
        for name in rounds[0]
    )  # fmt: skip
    missing = [name for name in ("rclone", "s5cmd", "aws") if not (PEERS / name).exists()]
    return Result(
        figures=tuple(figures),
        tables=(
            Table(
                caption=f"{size / 1e9:.2f} GB, {_STREAMS} streams, medians of {bench.rounds} rounds",
                columns=("tool", "wall s", "CPU s", "peak MB", "MB/s"), rows=rows,
            ),
        ),
        sources=(f"{size:,} bytes of noise, uploaded in parts of {_PART_BYTES >> 20} MiB",),
        notes=(
            f"The fastest other tool was {fastest}. Wall time is from the start of the command to its end.",
            *([f"Not there: {', '.join(missing)}."] if missing else []),
            *([f"Not done after {_WITHIN_S:.0f} s, and left out: {', '.join(hung)}."] if hung else []),
            f"The rest of the machine, the servers among it, used up to {most_by_others(rounds):.0%} of the cores.",
        ),
        raw={"size_bytes": size, "rounds": [{name: asdict(each) for name, each in taken.items()} for taken in rounds]},
    )  # fmt: skip


def _take_turns(bench: Workbench, places: Places, size: int) -> tuple[list[Round], list[str]]:
    """Run every tool once, then all again; one that hangs is left out, and named."""
    lines, rounds, hung = _lines(places), list[Round](), list[str]()
    for number in range(1, bench.rounds + 1):
        taken: Round = {}
        for name, line in lines.items():
            if name in hung:
                continue
            try:
                taken[name] = _copy(places, size, name, line)
            except TimeoutError:
                hung.append(name)
                bench.say(f"round {number}, {name}: not done after {_WITHIN_S:.0f} s")
                continue
            bench.say(f"round {number}, {name}: {taken[name].wall_s:.2f} s, CPU {taken[name].cpu_s:.2f} s")
        rounds.append(taken)
    return [{name: each for name, each in taken.items() if name not in hung} for taken in rounds], hung


def _lines(places: Places) -> dict[str, list[Command]]:
    """Return each tool's command, or the two that are joined by a pipe."""
    source, target = f"s3://{_BUCKET}/{_KEY}", f"s3://{_BUCKET}/copy.bin"
    ours = {
        **places.near.env(), "AWS_SHARED_CREDENTIALS_FILE": str(keys_file(places.folder, places.far)),
        "REELMILL_STORES": stores_setting(places.far), "REELMILL_S3_ADDRESSING": "path",
        "REELMILL_WORK_DIR": str(places.folder / "work"), "REELMILL_SCRATCH_DIR": str(places.folder / "scratch"),
    }  # fmt: skip
    transfer = [sys.executable, "-m", "cli.main", "transfer", source]
    options = ["--concurrency", str(_STREAMS)]
    lines: dict[str, list[Command]] = {
        _OURS: [([*transfer, f"s3+{FAR}://{_BUCKET}/copy.bin", *options], ours)],
        _BY_STORE: [([*transfer, f"s3://{_BUCKET}/copy.bin", *options], ours)],
    }
    near, far = places.aws(places.near), places.aws(places.far)
    remotes = {
        f"RCLONE_CONFIG_{name}_{field}": value
        for name, server in (("NEAR", places.near), ("FAR", places.far))
        for field, value in {
            "TYPE": "s3", "PROVIDER": "Ceph", "ENDPOINT": server.endpoint_url, "ACCESS_KEY_ID": server.access_key,
            "SECRET_ACCESS_KEY": server.secret_key, "REGION": server.region,
        }.items()
    } | {"RCLONE_CONFIG": os.devnull}  # fmt: skip
    streams = ["--multi-thread-streams", str(_STREAMS), "--s3-upload-concurrency", str(_STREAMS)]
    rclone = [str(PEERS / "rclone"), "copyto", *streams, "--s3-chunk-size", "16M", "--s3-no-check-bucket"]
    s5cmd, aws = str(PEERS / "s5cmd"), str(PEERS / "aws")
    profiles = {"AWS_CONFIG_FILE": _aws_profiles(places), "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    peers: dict[str, list[Command]] = {
        _RCLONE: [([*rclone, f"near:{_BUCKET}/{_KEY}", f"far:{_BUCKET}/copy.bin"], remotes)],
        "s5cmd cat, then s5cmd pipe": [
            ([s5cmd, "--endpoint-url", places.near.endpoint_url, "cat", "-c", str(_STREAMS), source], near),
            ([s5cmd, "--endpoint-url", places.far.endpoint_url, "pipe", "-c", str(_STREAMS), "-p", "16", target], far),
        ],
        # To a pipe it writes 50 MB of the object, and then stands still (1.46.3 with Ceph).
        "aws s3 cp to a file, and from it": [
            (["sh", "-ec", f'"{aws}" --profile near s3 cp {source} "$0"; "{aws}" --profile far s3 cp "$0" {target}',
              str(places.folder / "aws.bin")], profiles),
        ],
    }  # fmt: skip
    return lines | {name: line for name, line in peers.items() if (PEERS / name.split()[0]).exists()}


def _aws_profiles(places: Places) -> str:
    """Write what the AWS CLI needs of both servers into a file, and return its name."""
    file = places.folder / "aws-config"
    file.write_text(
        "".join(
            f"[profile {name}]\naws_access_key_id = {server.access_key}\naws_secret_access_key = {server.secret_key}\n"
            f"region = {server.region}\nendpoint_url = {server.endpoint_url}\ns3 =\n  addressing_style = path\n"
            for name, server in (("near", places.near), ("far", places.far))
        )
    )
    return str(file)


def _prepare(places: Places, size: int) -> None:
    source = places.folder / _KEY
    with source.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    for server in (places.near, places.far):
        with closing(server.client()) as client:
            client.create_bucket(Bucket=_BUCKET)
    with closing(places.near.client()) as client:
        parts = TransferConfig(multipart_chunksize=_PART_BYTES, multipart_threshold=_PART_BYTES)
        client.upload_file(str(source), _BUCKET, _KEY, Config=parts)
    source.unlink()


def _copy(places: Places, size: int, name: str, line: list[Command]) -> Usage:
    peak = 0.0

    def run() -> None:
        nonlocal peak
        peak = _run(places.folder, line)

    usage = measure(run)
    server = places.near if name == _BY_STORE else places.far
    with closing(places.near.client()) as near, closing(server.client()) as there:
        found = there.head_object(Bucket=_BUCKET, Key="copy.bin")
        wanted = near.head_object(Bucket=_BUCKET, Key=_KEY)
        if found["ContentLength"] != size or (name == _OURS and found["ETag"] != wanted["ETag"]):
            raise RuntimeError(f"{name}: the copy is not the source")
        there.delete_object(Bucket=_BUCKET, Key="copy.bin")
    time.sleep(_REST_S)  # Ceph gives the room back, not in the next tool's time
    return Taken(**asdict(usage), peak_mb=peak)


def _run(folder: Path, line: list[Command]) -> float:
    """Run the command, or the two of a pipe, and return the most memory in MB.

    RuntimeError when one of them fails; TimeoutError, after killing it, when it hangs.
    """
    running: list[subprocess.Popen[Any]] = []
    peak, began = 0, time.monotonic()
    with (folder / "errors").open("w+b") as errors:
        for argv, env in line:
            stdin = running[-1].stdout if running else subprocess.DEVNULL
            stdout = subprocess.PIPE if len(running) + 1 < len(line) else subprocess.DEVNULL
            clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
            running.append(subprocess.Popen(argv, env=clean | dict(env), stdin=stdin, stdout=stdout, stderr=errors))
            if len(running) > 1 and (pipe := running[-2].stdout):
                pipe.close()
        while any(each.poll() is None for each in running):
            peak = max(peak, sum(_memory(each.pid) for each in running))
            time.sleep(_SAMPLE_EVERY_S)
            if time.monotonic() - began > _WITHIN_S:
                for each in running:
                    each.kill()
                    each.wait()
                raise TimeoutError
        if any(each.returncode for each in running):
            errors.seek(0)
            raise RuntimeError(f"{line[0][0][0]}: {errors.read()[-2000:].decode(errors='replace')}")
    return peak / 1e6


def _memory(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0

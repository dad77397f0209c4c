"""An hour of video in 360 segments on 360 slots: the real flow, with encoders that sleep as long as they would take."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.copied_flow import CopiedJob
from bench.measuring import Usage, measure, run_plainly
from bench.pipeline import prepare, workspace_in
from bench.prefect_place import environment, own_server, started, tail_of
from bench.results import Cell, Figure, Result, Table
from bench.workbench import Workbench
from reelmill.encoding.pieces import encode_segment
from reelmill.media.tool import ffmpeg_path
from reelmill.profiles.audio import AudioSettings
from reelmill.profiles.profile import Profile
from reelmill.profiles.video import VideoSettings
from tests.s3_servers import S3Server, ministack_server

_SEGMENTS, _QUICK_SEGMENTS = 360, 6
_SEGMENT_S, _FRAMES_PER_S = 10, 25
_QUICK_ENCODE_S = 0.5
_SOUND_S = 10.24
"""A whole number of AAC frames at 48 kHz."""
_MOST_WALL_S = 15
_COUNTED, _QUICK_COUNTED = (20, 80), (2, 4)
_RUN_WITHIN_S, _RECORDED_WITHIN_S = 600.0, 300.0
_BUCKET = "bench"
_PROFILE = Profile(
    version=1, name="hour", video=VideoSettings(keyframe_interval_s=2), audio=AudioSettings(codec="copy")
)  # fmt: skip
_QUIET = ("-y", "-nostdin", "-hide_banner", "-loglevel", "error")


def measure_one_hour(bench: Workbench) -> Result:
    """Run the job some times on a folder; then two small ones on a bucket, to count what a segment asks for."""
    segments = _QUICK_SEGMENTS if bench.quick else _SEGMENTS
    encode_s = _QUICK_ENCODE_S if bench.quick else float(_SEGMENT_S)
    with bench.folder("hour") as folder:
        bench.say(f"making a source of {segments * _SEGMENT_S} s")
        source = _make_source(folder, segments)
        bench.say("starting a Prefect server")
        with own_server(folder / "prefect") as api:
            rounds: list[dict[str, float]] = []
            for number in range(1, bench.rounds + 1):
                rounds.append(_round(folder, source, segments, encode_s, api))
                bench.say(f"round {number}: {rounds[-1]['wall_s']:.2f} s")
            calls = _calls_of_a_segment(bench, folder, api)
    wall_s = median(each["wall_s"] for each in rounds)
    limit = None if bench.quick else _MOST_WALL_S
    figures = [
        Figure(name="wall of the job", value=wall_s, unit="s", limit=limit),
        Figure(name="first encode to last piece", value=median(each["pieces_s"] for each in rounds), unit="s"),
        Figure(name="on top of an encode", value=wall_s - encode_s, unit="s"),
        *(Figure(name=f"{what}s of a segment", value=count) for what, count in calls.items()),
    ]
    return Result(
        figures=tuple(figures),
        tables=(_table(rounds, segments, encode_s), _calls_table(calls)),
        sources=(
            f"made: a test picture of 128x72 at {_FRAMES_PER_S} a second and a tone in AAC, which is copied; "
            f"{segments * _SEGMENT_S:,} s, {segments} times the same {_SEGMENT_S} s",
        ),
        notes=(
            "The machine's cores do what in a fleet would be done by the workers' own: every piece is opened, compared "
            "with the plan, and digested. The server runs on them too, on SQLite.",
            f"Anything else, that server among it, took up to {max(each['others_share'] for each in rounds):.0%} of "
            "the cores.",
        ),
        raw={"segments": segments, "encode_s": encode_s, "rounds": rounds, "calls": calls},
    )


def _make_source(folder: Path, segments: int) -> Path:
    """Write the source, and the piece of each segment under the time at which it starts: all are equal."""
    clip, sound, source = folder / "clip.mp4", folder / "sound.aac", folder / f"source-{segments}.mp4"
    frames = _SEGMENT_S * _FRAMES_PER_S
    run_plainly(
        [
            ffmpeg_path(), *_QUIET, "-f", "lavfi", "-i", f"testsrc2=size=128x72:rate={_FRAMES_PER_S}",
            "-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", str(frames),
            "-keyint_min", str(frames), "-pix_fmt", "yuv420p", str(clip),
        ]
    )  # fmt: skip
    tone = f"sine=frequency=440:sample_rate=48000:duration={_SOUND_S}"
    run_plainly([ffmpeg_path(), *_QUIET, "-f", "lavfi", "-i", tone, "-c:a", "aac", "-f", "adts", str(sound)])
    sound.write_bytes(sound.read_bytes() * ceil(segments * _SEGMENT_S / _SOUND_S))
    run_plainly(
        [
            ffmpeg_path(), *_QUIET, "-stream_loop", str(segments - 1), "-i", str(clip), "-i", str(sound),
            "-map", "0:v", "-map", "1:a", "-c", "copy", "-t", str(segments * _SEGMENT_S), str(source),
        ]
    )  # fmt: skip
    _make_pieces(folder, source, segments)
    return source


def _make_pieces(folder: Path, source: Path, segments: int) -> None:
    plan = prepare(source, ("mp4",), _PROFILE, _SEGMENT_S).plan
    (video,) = plan.video
    if len(video.segments) != segments or len({each.times_digest for each in video.segments}) != 1:
        raise RuntimeError(f"the plan has {len(video.segments)} segments, or they are not alike: {plan.reasons}")
    workspace, pieces = workspace_in(folder / f"made-{segments}"), folder / f"pieces-{segments}"
    pieces.mkdir()
    (made,) = encode_segment(
        *plan.encodes_of(plan.order[0]), workspace=workspace, threads=1, strict=False, attempt="benchmark"
    )  # fmt: skip
    for each in video.segments:
        os.link(workspace.cache / made.file_name, pieces / f"{each.start}.mp4")


def _round(folder: Path, source: Path, segments: int, encode_s: float, api: str) -> dict[str, float]:
    """Run the job once and return its steps, and how long after its end the server had noted all of its tasks."""
    known = _recorded(api)
    output, marks = folder / "out", dict[str, Any]()
    usage = measure(lambda: marks.update(_run(folder, source, segments, encode_s, api, str(output))))
    ended = time.monotonic()
    while _recorded(api) < known + segments and time.monotonic() - ended < _RECORDED_WITHIN_S:
        time.sleep(0.2)
    recorded_s = time.monotonic() - ended
    shutil.rmtree(output)
    return _steps(marks, usage) | {"recorded_s": recorded_s}


def _steps(marks: Mapping[str, Any], usage: Usage) -> dict[str, float]:
    return {
        "wall_s": marks["flow_ended"] - marks["flow_started"],
        "before_first_s": marks["first_piece"] - marks["flow_started"],
        "begun_s": marks["last_begun"] - marks["first_piece"],
        "pieces_s": marks["last_piece"] - marks["first_piece"],
        "after_last_s": marks["flow_ended"] - marks["last_piece"],
        "cpu_s": usage.cpu_s,
        "others_share": usage.others_share,
    }


def _run(
    folder: Path, source: Path, segments: int, encode_s: float, api: str, output: str, env: Mapping[str, str] = {}
) -> dict[str, Any]:
    """Run the flow in a fresh process, with a slot for every segment, and return its marks."""
    profile, marks, log = folder / "profile.yaml", folder / "marks.json", folder / "flow.log"
    profile.write_text(yaml.safe_dump(_PROFILE.model_dump(exclude_unset=True)))
    job = CopiedJob(
        str(source), str(folder / f"pieces-{segments}"), output, str(marks), _SEGMENT_S, str(profile), segments,
        encode_s,
    )  # fmt: skip
    command = [sys.executable, "-m", "bench.copied_flow", job.save(folder / "job.json")]
    with started(command, environment(folder / "prefect", api) | dict(env), log) as run:
        run.wait(_RUN_WITHIN_S)
    if run.returncode:
        raise RuntimeError(f"the flow of {segments} segments failed: {tail_of(log)}")
    found = json.loads(marks.read_text())
    if (found["segments"], found["frames"]) != (segments, segments * _SEGMENT_S * _FRAMES_PER_S):
        raise RuntimeError(f"{segments} segments were to be made: {found}")
    return found


def _recorded(api: str) -> int:
    """Return how many finished tasks the server knows of."""
    wanted = {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    request = urllib.request.Request(
        f"{api}/task_runs/count", json.dumps(wanted).encode(), {"content-type": "application/json"}
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.read())


def _calls_of_a_segment(bench: Workbench, folder: Path, api: str) -> dict[str, float]:
    """Return what one more segment asks of the server and of the store, when work and results are in a bucket."""
    few, many = _QUICK_COUNTED if bench.quick else _COUNTED
    with ministack_server() as server:
        with closing(server.client()) as client:
            client.create_bucket(Bucket=_BUCKET)
        made = {each: _calls(folder, each, api, server) for each in (few, many)}
    names = sorted(made[few].keys() | made[many].keys())
    return {name: (made[many].get(name, 0) - made[few].get(name, 0)) / (many - few) for name in names}


def _calls(folder: Path, segments: int, api: str, server: S3Server) -> dict[str, int]:
    source = _make_source(folder, segments)
    env = {
        **server.env(), "REELMILL_S3_ADDRESSING": "path", "REELMILL_WORK_DIR": f"s3://{_BUCKET}/work",
    }  # fmt: skip
    return _run(folder, source, segments, 0.0, api, f"s3://{_BUCKET}/out-{segments}", env)["calls"]


def _table(rounds: list[dict[str, float]], segments: int, encode_s: float) -> Table:
    steps = (
        "wall_s", "before_first_s", "begun_s", "pieces_s", "after_last_s", "cpu_s", "recorded_s",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [(number, *(each[name] for name in steps)) for number, each in enumerate(rounds, 1)]
    return Table(
        caption=f"{segments} segments on {segments} slots, each encode {encode_s:g} s",
        columns=(
            "round", "wall s", "until the first encode s", "until all have begun s", "first encode to last piece s",
            "join, verify, publish s", "CPU s", "until the server has all tasks s",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _calls_table(calls: Mapping[str, float]) -> Table:
    return Table(
        caption="What one more segment asks for, with its work in a bucket, besides reading its source",
        columns=("of", "calls"), rows=tuple((name, count) for name, count in calls.items()),
    )  # fmt: skip

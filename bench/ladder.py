"""A ladder of four renditions against one plain ffmpeg with `split`, and against what decodes once for each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.measuring import Round, Usage, as_data, interleave, measure, median_ratio, most_by_others, run_plainly
from bench.pipeline import Made, Prepared, encode_and_merge, prepare, verify
from bench.plain import count_frames
from bench.results import Cell, Figure, Result, Table
from bench.sources import BenchSource, easy_source
from bench.workbench import Workbench
from reelmill.media.tool import ffmpeg_path
from reelmill.planning.plan import EncodeTask, Plan, VideoRendition
from reelmill.profiles.loading import load_profile

_OURS, _APART, _SPLIT = "pipeline", "pipeline, a decode each", "plain with split"
_QUICK_SEGMENT_S = 2.0
_COLUMNS = ("round", "way", "wall s", "CPU s", "by others")


@dataclass
class _Duel:
    source: BenchSource
    prepared: Prepared
    singles: list[str]
    rounds: list[Round] = field(default_factory=list[Round])
    last: list[Round] = field(default_factory=list[Round])
    """One round of every way, those that take long too."""
    verifying: list[Usage] = field(default_factory=list[Usage])

    def figures(self) -> list[Figure]:
        wall_s = [each[_OURS].wall_s for each in self.rounds]
        verify_percent = 100 * median(each.wall_s for each in self.verifying) / median(wall_s)
        return [
            Figure(name="wall ratio to split", value=median_ratio(self.rounds, _OURS, _SPLIT), limit=1.05),
            Figure(name="CPU ratio to split", value=median_ratio(self.rounds, _OURS, _SPLIT, "cpu_s")),
            Figure(name="wall ratio to a decode each", value=median_ratio(self.last, _OURS, _APART)),
            Figure(name="CPU ratio to a decode each", value=median_ratio(self.last, _OURS, _APART, "cpu_s")),
            Figure(name="wall ratio to four plain runs", value=median_ratio(self.last, _OURS, self.singles)),
            Figure(name="verification on top", value=verify_percent, unit="%"),
        ]

    def rows(self) -> list[tuple[Cell, ...]]:
        return [
            (number, name, usage.wall_s, usage.cpu_s, f"{usage.others_share:.0%}")
            for number, taken in enumerate([*self.rounds, *self.last], 1)
            for name, usage in taken.items()
        ]


def measure_ladder(bench: Workbench) -> Result:
    """The profile `hls-ladder` of a source of 1080 lines that is easy to encode: what is not encoding counts most."""
    duel = _fight(bench, easy_source(bench))
    others = most_by_others([*duel.rounds, *duel.last])
    return Result(
        figures=tuple(duel.figures()),
        tables=(Table(caption="Rounds", columns=_COLUMNS, rows=tuple(duel.rows())),),
        sources=(duel.source.line,),
        notes=(
            "Pipeline and split take turns; the other ways are in the last round only, and so are the ratios to them.",
            "The CPU time of one ffmpeg is what it took; of the pipelines what Python took is in it.",
            f"Anything else took at most {others:.0%} of the cores.",
        ),
        raw={
            "rounds": as_data(duel.rounds), "last": as_data(duel.last),
            "verify_wall_s": [each.wall_s for each in duel.verifying],
            "tasks": [each.label for each in duel.prepared.plan.order],
            "encoder_threads": duel.prepared.plan.encoder_threads,
        },
    )  # fmt: skip


def _fight(bench: Workbench, source: BenchSource) -> _Duel:
    segment_s = _QUICK_SEGMENT_S if bench.quick else None
    prepared = prepare(source.path, ("hls",), load_profile("hls-ladder"), segment_s)
    bench.say(f"{source.line}; {', '.join(each.label for each in prepared.plan.order)}")
    duel = _Duel(source, prepared, [f"plain {each.id}" for each in prepared.plan.video])
    with bench.folder("ladder") as folder:
        contestants: dict[str, Callable[[], Usage]] = {
            _OURS: lambda: _pipeline(duel, folder, prepared),
            _SPLIT: lambda: _plain(prepared.plan, prepared.plan.video, folder),
        }
        _plain(prepared.plan, prepared.plan.video[-1:], folder)  # what runs first pays for the memory: see `warm_up`
        duel.rounds += interleave(bench.rounds, contestants, bench.say)
        contestants[_APART] = lambda: _pipeline(duel, folder, _a_decode_each(prepared))
        for video, name in zip(prepared.plan.video, duel.singles, strict=True):
            contestants[name] = lambda video=video: _plain(prepared.plan, [video], folder)
        duel.last += interleave(1, contestants, bench.say)
    return duel


def _a_decode_each(prepared: Prepared) -> Prepared:
    plan = prepared.plan
    tasks = [
        EncodeTask(renditions=(each.id,), segment=segment.number, cost=segment.frames * each.size[0] * each.size[1])
        for each in plan.video
        for segment in each.segments
    ]
    longest_first = tuple(sorted(tasks, key=lambda task: -task.cost))
    return Prepared(plan.model_copy(update={"order": longest_first}), prepared.index)


def _pipeline(duel: _Duel, folder: Path, prepared: Prepared) -> Usage:
    made: list[Made] = []
    usage = measure(lambda: made.append(encode_and_merge(prepared, folder / "work")))
    duel.verifying.append(measure(lambda: verify(prepared, made[0])))
    return usage


def _plain(plan: Plan, renditions: Sequence[VideoRendition], folder: Path) -> Usage:
    """Measure one plain run that makes HLS of these renditions; it must have as many frames as the plan."""
    out = folder / "plain"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    argv = _plain_argv(plan, renditions, out)
    usage = measure(lambda: run_plainly(argv))
    for number, each in enumerate(renditions):
        found = count_frames(out / f"{number}.m3u8")
        if found != each.frames:
            raise RuntimeError(f"plain ffmpeg made {found} frames of {each.id}, the plan has {each.frames}")
    return usage


def _plain_argv(plan: Plan, renditions: Sequence[VideoRendition], out: Path) -> list[str]:
    """Decode once, scale for each rendition, and write fragmented MP4 and playlists, with all threads ffmpeg takes."""
    package, sound = plan.outputs[0].package, [plan.track(each) for each in plan.outputs[0].tracks]
    assert package is not None
    names = [f"v{number}" for number in range(len(renditions))]
    split = f"[0:{renditions[0].stream_index}]split={len(names)}" + "".join(f"[s{each}]" for each in names)
    shapes = [
        f"[s{name}]scale={each.width}:{each.height},format={each.pixel_format}[{name}]"
        for name, each in zip(names, renditions, strict=True)
    ]
    argv = [ffmpeg_path(), "-y", "-nostdin", "-hide_banner", "-loglevel", "error", "-i", plan.source.location]
    argv += ["-filter_complex", ";".join([split, *shapes])]
    argv += [word for name in names for word in ("-map", f"[{name}]")]
    argv += [word for each in sound for word in ("-map", f"0:{each.stream_index}")]
    argv += ["-c:v", "libx264", "-preset", str(renditions[0].preset), "-sc_threshold", "0", "-fps_mode", "passthrough"]
    argv += ["-force_key_frames", f"expr:gte(t,n_forced*{float(package.segment_s):g})", "-g", "1000"]
    for number, each in enumerate(renditions):
        rates = {"crf": f"{each.crf:g}", "maxrate": each.max_bitrate_bps, "bufsize": each.vbv_buffer_bits}
        argv += [word for name, value in rates.items() for word in (f"-{name}:v:{number}", str(value))]
    for number, each in enumerate(sound):
        argv += [f"-c:a:{number}", "aac", f"-b:a:{number}", str(each.bitrate_bps), "-ac", str(each.channels or 2)]
    streams = [f"v:{number}" for number in range(len(names))] + [f"a:{number}" for number in range(len(sound))]
    argv += [
        "-f",
        "hls",
        "-hls_segment_type",
        "fmp4",
        "-hls_playlist_type",
        "vod",
        "-hls_flags",
        "independent_segments",
    ]
    argv += ["-hls_time", f"{float(package.segment_s):g}", "-master_pl_name", "master.m3u8"]
    argv += ["-hls_fmp4_init_filename", "init-%v.mp4", "-hls_segment_filename", str(out / "%v-%05d.m4s")]
    return [*argv, "-var_stream_map", " ".join(streams), str(out / "%v.m3u8")]

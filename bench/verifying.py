"""What the verification of an output takes, after the last segment: it is on one machine, however many encoded."""

from __future__ import annotations

from statistics import median

from bench.measuring import measure
from bench.pipeline import encode_and_merge, prepare, verify
from bench.results import Figure, Result, Table
from bench.sources import demanding_source
from bench.workbench import Workbench
from reelmill.profiles.profile import Profile
from reelmill.profiles.video import VideoSettings

_SEGMENT_S = 10.0
_HOUR_S = 3600.0


def measure_verifying(bench: Workbench) -> Result:
    """Encode one source, quickly and in short segments, and verify the output again and again."""
    source = demanding_source(bench, 1080)
    profile = Profile(version=1, name="quick", video=VideoSettings(preset="ultrafast"))
    with bench.folder("verifying") as folder:
        prepared = prepare(source.path, ("mp4",), profile, _SEGMENT_S)
        bench.say(f"encoding {prepared.segments} segments")
        made = encode_and_merge(prepared, folder / "made")
        output = made.folder / prepared.plan.outputs[0].file_name
        lasts_s = float(prepared.plan.source.duration_s)
        size_mb = output.stat().st_size / 1e6
        taken = [measure(lambda: verify(prepared, made)) for _ in range(bench.rounds)]
    for_hour = _HOUR_S / lasts_s
    return Result(
        figures=(
            Figure(name="an hour", value=median(each.wall_s for each in taken) * for_hour, unit="s"),
            Figure(name="CPU of an hour", value=median(each.cpu_s for each in taken) * for_hour, unit="s"),
        ),
        tables=(
            Table(
                caption=f"{lasts_s:.0f} s in {prepared.segments} segments, {size_mb:.0f} MB",
                columns=("round", "wall s", "CPU s"),
                rows=tuple((number, each.wall_s, each.cpu_s) for number, each in enumerate(taken, 1)),
            ),
        ),
        sources=(source.line,),
        notes=(
            "Encoded by x264 ultrafast, whose files are larger than those of slower presets: their bytes are most of "
            "the work.",
        ),
        raw={"wall_s": [each.wall_s for each in taken], "cpu_s": [each.cpu_s for each in taken], "lasts_s": lasts_s},
    )

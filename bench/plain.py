"""The opponent: one plain ffmpeg run per output, with the settings of a plan and all the threads ffmpeg takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av

from bench.measuring import cores, run_plainly
from reelmill.formats import FORMATS
from reelmill.media.tool import ffmpeg_path
from reelmill.planning.plan import OutputPlan, Plan, TrackRendition, VideoRendition
from reelmill.profiles.encoders import AUDIO_ENCODERS, VIDEO_ENCODERS

_WARM_UP_S = 3


def plain_argv(plan: Plan, output: OutputPlan, out: Path, *, own_speed: bool = False) -> list[str]:
    """Encode the whole source into one output of the plan; with `own_speed` at the encoder's own speed, not ours."""
    argv = [ffmpeg_path(), "-y", "-nostdin", "-hide_banner", "-loglevel", "error", "-i", plan.source.location]
    if output.video:
        video = plan.rendition(output.video)
        argv += ["-map", f"0:{video.stream_index}", *_video_options(video, own_speed=own_speed)]
    for track in map(plan.track, output.tracks):
        argv += ["-map", f"0:{track.stream_index}", *_track_options(track)]
    container = FORMATS[output.format]
    argv += [word for name, value in container.muxer_options.items() for word in (f"-{name}", value)]
    return [*argv, "-f", container.muxer, str(out)]


def _video_options(video: VideoRendition, *, own_speed: bool) -> list[str]:
    options = ["-c:v", VIDEO_ENCODERS[video.codec].encoder, "-pix_fmt", video.pixel_format]
    options += ["-crf", f"{video.crf:g}"] if video.crf is not None else []
    options += ["-g", str(video.keyframe_interval_frames)] if video.keyframe_interval_frames is not None else []
    if video.codec == "vp9":
        options += ["-b:v", "0"]
        return options if own_speed else [*options, "-row-mt", "1", "-cpu-used", str(video.preset)]
    return options if own_speed or video.preset is None else [*options, "-preset", video.preset]


def _track_options(track: TrackRendition) -> list[str]:
    options = ["-c:a", AUDIO_ENCODERS[track.codec].encoder, "-b:a", str(track.bitrate_bps)]
    options += ["-ac", str(track.channels)] if track.channels is not None else []
    return options + (["-ar", str(track.sample_rate_hz)] if track.sample_rate_hz is not None else [])


def warm_up(plan: Plan, folder: Path) -> None:
    """Encode a few seconds, unmeasured, on every core.

    What runs first pays for the memory: on a virtual machine that gave its free pages back, getting them again took
    more CPU time than encoding two seconds of 1080p.
    """
    output = plan.outputs[0]

    def run(number: int) -> None:
        out = folder / f"warm-{number}.{output.format}"
        argv = plain_argv(plan, output, out)
        run_plainly([*argv[:-1], "-t", str(_WARM_UP_S), argv[-1]])
        out.unlink()

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(run, range(cores())))


def count_frames(path: Path) -> int:
    """Return the number of video packets of a file: its frames, for what these benchmarks make."""
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))

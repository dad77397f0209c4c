"""Builds the argv of every ffmpeg run. Pure.

Times are exact until they are printed here, in microseconds, the unit in which ffmpeg reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from reelmill.encoding.filters import filtered
from reelmill.encoding.overlaid import Overlaid
from reelmill.formats import FORMATS
from reelmill.media.containers import demuxer_whitelist
from reelmill.media.images import Image
from reelmill.media.source import Source
from reelmill.planning.plan import OutputPlan, Segment, TrackRendition, VideoRendition
from reelmill.profiles.encoders import AUDIO_ENCODERS, VIDEO_ENCODERS
from reelmill.storage.readable import Readable

Argv = list[str]
QUICKTIME_LANGUAGES = {
    "deu": "ger", "nld": "dut", "zho": "chi", "ell": "gre", "isl": "ice", "ron": "rum", "ces": "cze", "slk": "slo",
    "fas": "per", "hye": "arm", "kat": "geo", "mya": "bur", "msa": "may", "sqi": "alb", "bod": "tib", "mkd": "mac",
    "eus": "baq", "cym": "wel",
}  # fmt: skip
"""ISO 639-2 has two codes for some languages; QuickTime knows them by the bibliographic one only."""

_NOTHING = Overlaid()
_NO_INTERVAL = 1_000_000
"""Frames from keyframe to keyframe that no segment has: the encoder makes none but those it is told to."""
QUIET = ("-y", "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-nostats", "-progress", "pipe:1")
_NOTHING_ELSE: dict[str, Any] = {"an": None, "sn": None, "dn": None, "map_metadata": -1, "map_chapters": -1}
_SUBTITLE_ENCODERS = {"mov_text": "mov_text", "subrip": "subrip", "ass": "ass", "webvtt": "webvtt"}


def encode_argv(
    tool: str, source: Source, media: Readable, rendition: VideoRendition, segment: Segment, *,
    threads: int, max_pixels: int, out: Path, above: Overlaid = _NOTHING,
) -> Argv:  # fmt: skip
    """Encode one segment of one rendition into an mp4 piece whose first frame has time 0.

    Decoding starts at the segment's entry, early enough, and `trim` keeps exactly the frames of its range; filters that
    look at several frames come before it, so that a piece is what one run over the whole source would have made there.
    `above` is what is laid over them.
    """
    stream = _frames_of(source, media, rendition, segment, threads, max_pixels, above)
    output = ffmpeg.output(
        stream, f"file:{out}", format="mp4", fps_mode="passthrough", enc_time_base=str(rendition.time_base),
        video_track_timescale=rendition.time_base.denominator, **_NOTHING_ELSE,
        **_encoder_options(rendition, segment, threads),
    )  # fmt: skip
    return _argv(tool, output)


def _frames_of(
    source: Source, media: Readable, rendition: VideoRendition, segment: Segment, threads: int, max_pixels: int,
    above: Overlaid,
) -> Any:  # fmt: skip
    """Return the node that gives the frames of a segment as they are to be encoded, the first at time 0."""
    assert source.video is not None
    options = {"copyts": None, "noaccurate_seek": None, "threads": 1 if threads == 1 else 0, "max_pixels": max_pixels}
    # A picture that changes its size midway is scaled; building the filters anew would lose the frames inside them.
    options["reinit_filter"] = 0
    if segment.entry_s is not None:
        options |= {"ss": seconds(segment.entry_s - source.start_s)}
    stream: Any = _source_input(source, media, **options)[str(rendition.stream_index)]
    laid_over = [
        _image_input(image, each, max_pixels) for image, each in zip(_images_of(rendition), above.images, strict=True)
    ]
    return filtered(stream, source, rendition, segment, laid_over, above.font)


def quality_argv(
    tool: str, source: Source, media: Readable, rendition: VideoRendition, segment: Segment, piece: Path, log: Path, *,
    every_frames: int, threads: int, max_pixels: int, above: Overlaid,
) -> Argv:  # fmt: skip
    """Compare a piece, one of `every_frames` frames, with what it was encoded of; `log` gets the numbers."""
    wanted = _frames_of(source, media, rendition, segment, threads, max_pixels, above)
    made = ffmpeg.input(f"file:{piece}", f="mov", protocol_whitelist="file", format_whitelist=demuxer_whitelist("mov"))
    both = [each.filter("format", pix_fmts=rendition.pixel_format) for each in (made["v:0"], wanted)]
    compared = ffmpeg.filter(
        both, "libvmaf", log_path=str(log), log_fmt="json", n_threads=threads, n_subsample=every_frames,
        feature="name=psnr|name=float_ssim",
    )  # fmt: skip
    return _argv(tool, ffmpeg.output(compared, "pipe:", format="null"))


def _images_of(rendition: VideoRendition) -> list[Image]:
    return [each.image for each in rendition.overlays if each.image is not None]


def _image_input(image: Image, media: Readable, max_pixels: int) -> Any:
    address, protocols = _address(media)
    options = {"format_whitelist": demuxer_whitelist(image.demuxer), "max_pixels": max_pixels}
    return ffmpeg.input(address, f=image.demuxer, protocol_whitelist=protocols, **options)["v:0"]


def _encoder_options(rendition: VideoRendition, segment: Segment, threads: int) -> dict[str, Any]:
    encoder = VIDEO_ENCODERS[rendition.codec]
    options: dict[str, Any] = {"c:v": encoder.encoder}
    if rendition.crf is not None:
        options["crf"] = f"{rendition.crf:g}"
    if rendition.bitrate_bps is not None:
        options["b:v"] = rendition.bitrate_bps
    if rendition.max_bitrate_bps is not None:
        options |= {"maxrate": rendition.max_bitrate_bps, "bufsize": rendition.vbv_buffer_bits}
    if rendition.keyframe_interval_frames is not None:
        options["g"] = rendition.keyframe_interval_frames
    if rendition.fixed_keyframes:
        options["g"] = _NO_INTERVAL
        after = ((time - segment.start) * rendition.time_base for time in segment.keyframes)
        options |= {"force_key_frames": ",".join(map(_whole_micros, after))} if segment.keyframes else {}
    if not rendition.b_frames:
        options["bf"] = 0
    if rendition.interlaced:
        options["flags"] = "+ildct+ilme"
    return options | _codec_options(rendition, threads)


def _codec_options(rendition: VideoRendition, threads: int) -> dict[str, Any]:
    """Options that only one encoder has: its preset, its threads, and what makes it behave like the others."""
    preset = {} if rendition.preset is None else {"preset": rendition.preset}
    fixed = rendition.fixed_keyframes
    match rendition.codec:
        case "h264":
            return {**preset, "threads": threads} | ({"sc_threshold": 0, "forced-idr": 1} if fixed else {})
        case "hevc":
            pools = f"pools={'none' if threads == 1 else threads}:frame-threads={min(threads, 3)}"
            closed = ":scenecut=0:open-gop=0" if fixed else ""
            options = {**preset, "x265-params": f"log-level=error:{pools}{closed}", "tag:v": "hvc1"}
            return options | ({"forced-idr": 1} if fixed else {})
        case "vp9":
            speed = {} if rendition.preset is None else {"cpu-used": rendition.preset}
            rate = {} if rendition.bitrate_bps is not None else {"b:v": 0}
            return {**speed, **rate, "row-mt": 1, "threads": threads}
        case _:
            return {**preset, "svtav1-params": f"lp={threads}{':scd=0' if fixed else ''}"}


def track_argv(tool: str, source: Source, media: Readable, track: TrackRendition, out: Path) -> Argv:
    """Make one audio or subtitle track whole, with times that count from the start of the source's container.

    Of a clip they count from its start: sound is cut to the sample, and a subtitle that is shown there is cut to it.
    """
    options: dict[str, Any] = {"copyts": None}
    if source.zero_s:
        options["itsoffset"] = seconds(-source.zero_s)
    stream: Any = _source_input(source, media, **options)[str(track.stream_index)]
    length_s = source.clip.length_s if source.clip else None
    if source.clip and track.kind == "audio":
        stream = stream.filter("atrim", start=0, **({} if length_s is None else {"end": seconds(length_s)}))
    if track.layouts:
        stream = stream.filter("aformat", channel_layouts=track.layouts)
    if track.fills_gaps:
        stream = stream.filter("aresample", **{"async": 1, "first_pts": 0})
    kept: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "vn": None, "dn": None, "format": track.container}
    if track.container == "mp4":
        kept["strict"] = "unofficial"  # MP3 at 8 kHz: only a working file
    if source.clip and track.kind == "subtitle":
        kept["bsf:s"] = _cut_cues(length_s)
    output = ffmpeg.output(stream, f"file:{out}", **kept, **_track_codec(track))
    return _argv(tool, output)


def _cut_cues(length_s: Fraction | None) -> str:
    """Return the bitstream filters that keep what is shown from 0 to `length_s`, and end it there."""
    late, end = "", "PTS+DURATION"
    if length_s is not None:
        late, end = f"+gte(pts*tb,{seconds(length_s)})", f"min({end},{seconds(length_s)}/TB)"
    words = {"drop": f"lte(pts+d,0){late}"}, {
        "pts": "max(PTS,0)", "dts": "max(PTS,0)", "duration": f"{end}-max(PTS,0)",
    }  # fmt: skip
    kept, cut = (":".join(f"{name}={value}" for name, value in each.items()).replace(",", "\\,") for each in words)
    return f"noise={kept},setts={cut}"


def _track_codec(track: TrackRendition) -> dict[str, Any]:
    if track.kind == "subtitle":
        return {"c:s": "copy" if track.copies else _SUBTITLE_ENCODERS[track.codec]}
    if track.copies:
        return {"c:a": "copy"}
    options: dict[str, Any] = {"c:a": AUDIO_ENCODERS[track.codec].encoder, "b:a": track.bitrate_bps}
    if track.channels is not None:
        options["ac"] = track.channels
    if track.sample_rate_hz is not None:
        options["ar"] = track.sample_rate_hz
    return options


def mux_argv(
    tool: str,
    source: Source,
    media: Readable | None,
    output: OutputPlan,
    *,
    video: VideoRendition | None,
    join_list: Path | None,
    tracks: Sequence[tuple[TrackRendition, Path]],
    metadata: Path,
    out: Path,
) -> Argv:
    """Join the pieces and the tracks into one output, packets untouched.

    `join_list` is the list of `join_list_text`; without it the video is copied from the source, `media`. All times
    count from the start of the source's container or of the clip: what started late there starts late in the output.
    """
    container = FORMATS[output.format]
    inputs: list[str] = []
    if video is not None and join_list is not None:
        inputs += [
            "-itsoffset",
            seconds(first_frame_s(source, video)),
            "-f",
            "concat",
            "-safe",
            "0",
            "-protocol_whitelist",
            "file",
        ]
        inputs += ["-i", f"file:{join_list}"]
    elif video is not None and media is not None:
        url, protocols = _address(media)
        inputs += ["-itsoffset", seconds(-source.zero_s), "-f", source.demuxer, "-protocol_whitelist", protocols]
        inputs += ["-format_whitelist", demuxer_whitelist(source.demuxer), "-i", url]
    for track, path in tracks:
        demuxer = "mov" if track.container == "mp4" else "matroska"
        inputs += ["-f", demuxer, "-protocol_whitelist", "file", "-i", f"file:{path}"]
    first_track = 0 if video is None else 1
    last = first_track + len(tracks)
    inputs += ["-f", "ffmetadata", "-i", f"file:{metadata}"]
    maps: list[str] = []
    if video is not None:
        maps += ["-map", "0:v:0" if join_list is not None else f"0:{video.stream_index}"]
    for number in range(first_track, last):
        maps += ["-map", f"{number}:0"]
    options = ["-map_metadata", str(last), "-map_chapters", str(last), "-c", "copy"]
    if video is not None:
        options += ["-video_track_timescale", str(video.time_base.denominator)]
        options += ["-tag:v", "hvc1"] if video.codec == "hevc" and container.name in ("mp4", "mov") else []
    if output.avi_frame_rate is not None:
        options += ["-r", str(output.avi_frame_rate)]
    options += _labels(source, [track for track, _ in tracks], container.muxer, has_video=video is not None)
    options += [word for name, value in container.muxer_options.items() for word in (f"-{name}", value)]
    copy_times = [] if container.is_audio_only else ["-copyts"]
    return [tool, *QUIET, *copy_times, *inputs, *maps, *options, "-f", container.muxer, f"file:{out}"]


def _labels(source: Source, tracks: Sequence[TrackRendition], muxer: str, *, has_video: bool) -> Iterable[str]:
    """Yield language, title and dispositions of each stream."""
    labelled: list[tuple[str, str | None, str | None, tuple[str, ...]]] = []
    if has_video and source.video is not None:
        labelled.append(("v:0", source.video.language, source.video.title, source.video.dispositions))
    for kind in ("audio", "subtitle"):
        mine = [track for track in tracks if track.kind == kind]
        for number, track in enumerate(mine):
            labelled.append((f"{kind[0]}:{number}", track.language, track.title, track.dispositions))
    for where, language, title, dispositions in labelled:
        if language:
            known_as = QUICKTIME_LANGUAGES.get(language, language) if muxer == "mov" else language
            yield from (f"-metadata:s:{where}", f"language={known_as}")
        if title:
            yield from (f"-metadata:s:{where}", f"title={title}")
        yield from (f"-disposition:{where}", "+".join(dispositions) or "0")


def first_frame_s(source: Source, video: VideoRendition) -> Fraction:
    """Return the time of the first frame, counted from the start of the source's container or of the clip."""
    assert source.video is not None
    return video.first_pts * source.video.time_base - source.zero_s


def join_list_text(rendition: VideoRendition, pieces: Sequence[Path]) -> str:
    """Return the ffconcat list of the pieces, in the plan's order.

    Each duration is the exact length of its range, rounded so that the running total is never off by more than half a
    microsecond. Piece names are ours: generated, with nothing that needs quoting.
    """
    lines = ["ffconcat version 1.0"]
    first, total_us = rendition.segments[0].start, 0
    last = rendition.segments[-1]
    for segment, piece in zip(rendition.segments, pieces, strict=True):
        lines += [f"file '{piece.name}'", "inpoint 0"]
        if segment.end is not None and segment is not last:
            reached_us = round((segment.end - first) * rendition.time_base * 1_000_000)
            lines.append(f"duration {seconds(Fraction(reached_us - total_us, 1_000_000))}")
            total_us = reached_us
    return "\n".join(lines) + "\n"


def metadata_text(source: Source) -> str:
    """Return the source's tags and chapters in ffmpeg's ffmetadata format (`ffmpeg -f ffmetadata`)."""
    lines = [";FFMETADATA1", *(f"{_escaped(key)}={_escaped(value)}" for key, value in source.tags.items())]
    for chapter in source.chapters:
        start_us, end_us = (round((each - source.zero_s) * 1_000_000) for each in (chapter.start_s, chapter.end_s))
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000", f"START={max(start_us, 0)}", f"END={max(end_us, 0)}"]
        lines += [f"title={_escaped(chapter.title)}"] if chapter.title else []
    return "\n".join(lines) + "\n"


def scan_argv(tool: str, source: Source, media: Readable, *, max_pixels: int) -> Argv:
    """Decode the video once, from its start, and print the time of every frame; nothing is encoded."""
    assert source.video is not None
    stream = _source_input(source, media, copyts=None, max_pixels=max_pixels)[str(source.video.index)]
    output = ffmpeg.output(
        stream, "pipe:1", format="framecrc", fps_mode="passthrough", enc_time_base=str(source.video.time_base),
        **{"c:v": "wrapped_avframe"},
    )  # fmt: skip
    return [tool, *QUIET[:6], *ffmpeg.get_args(output)]


def seconds(value: Fraction) -> str:
    """Print a time for ffmpeg: decimal seconds, to the microsecond."""
    micros = round(value * 1_000_000)
    whole, rest = divmod(abs(micros), 1_000_000)
    return f"{'-' if micros < 0 else ''}{whole}.{rest:06d}"


def _whole_micros(value: Fraction) -> str:
    """Print a time for ffmpeg, never late: it takes the first frame at or after it."""
    return seconds(Fraction(floor(value * 1_000_000), 1_000_000)).rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    return "".join(f"\\{each}" if each in "=;#\\\n" else each for each in text)


def _source_input(source: Source, media: Readable, **options: Any) -> Any:
    url, protocols = _address(media)
    return ffmpeg.input(
        url, format=source.demuxer, protocol_whitelist=protocols,
        format_whitelist=demuxer_whitelist(source.demuxer), **options,
    )  # fmt: skip


def _address(media: Readable) -> tuple[str, str]:
    """Return the URL of what is opened, and the protocols that opening it may use."""
    return (f"file:{media}", "file") if isinstance(media, Path) else (str(media), "http,tcp")


def _argv(tool: str, output: Any) -> Argv:
    return [tool, *QUIET, *ffmpeg.get_args(output)]


__all__ = [
    "QUIET", "encode_argv", "join_list_text", "metadata_text", "mux_argv", "quality_argv", "scan_argv", "seconds",
    "track_argv",
]  # fmt: skip

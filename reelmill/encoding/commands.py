"""Builds the argv of every ffmpeg run. Pure.

Times are exact until they are printed here, in microseconds, the unit in which ffmpeg reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from reelmill.encoding.filters import shaped, trimmed
from reelmill.encoding.overlaid import Overlaid
from reelmill.formats import FORMATS
from reelmill.media.containers import demuxer_whitelist
from reelmill.media.images import Image
from reelmill.media.source import Source
from reelmill.media.subtitle_files import MOST_BYTES
from reelmill.planning.encode_tasks import shared_part
from reelmill.planning.plan import Encode, OutputPlan, Segment, TrackRendition, VideoRendition
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
_PACKETS_AHEAD = 8
"""That are read of an input before they are wanted: what ffmpeg does by itself."""
_NO_INTERVAL = 1_000_000
"""Frames from keyframe to keyframe that no segment has: the encoder makes none but those it is told to."""
QUIET = ("-y", "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-nostats", "-progress", "pipe:1")
_NOTHING_ELSE: dict[str, Any] = {"an": None, "sn": None, "dn": None, "map_metadata": -1, "map_chapters": -1}
_SUBTITLE_ENCODERS = {"mov_text": "mov_text", "subrip": "subrip", "ass": "ass", "webvtt": "webvtt"}


@dataclass(frozen=True)
class Piece:
    """An encode, the mp4 that it is written to, and what is laid over its frames."""

    encode: Encode
    out: Path
    above: Overlaid = _NOTHING


def encode_argv(
    tool: str, source: Source, media: Readable, pieces: Sequence[Piece], *, threads: int, max_pixels: int
) -> Argv:
    """Encode one segment into an mp4 for each of its renditions, the first frame at time 0.

    Decoding starts at the segment's entry, early enough, and `trim` keeps exactly the frames of its range; filters that
    look at several frames come before it, so that a piece is what one run over the whole source would have made there.
    All of that is done once for all renditions, which must agree in it: see `shared_part`.
    """
    encodes = [each.encode for each in pieces]
    if len({shared_part(each.rendition, [each.segment]) for each in encodes}) != 1:
        raise ValueError(f"{', '.join(each.label for each in encodes)}: not of the same frames")
    frames = _kept_frames(source, media, encodes[0].rendition, encodes[0].segment, threads, max_pixels)
    split = frames.filter_multi_output("split", len(pieces)) if len(pieces) > 1 else [frames]
    images = _image_inputs([(each.encode.rendition, each.above) for each in pieces], max_pixels)
    outputs: list[Any] = []
    for number, piece in enumerate(pieces):
        rendition, segment = piece.encode.rendition, piece.encode.segment
        stream = shaped(split[number], source, rendition, segment, images[number], piece.above)
        output = ffmpeg.output(
            stream, f"file:{piece.out}", format="mp4", fps_mode="passthrough", enc_time_base=str(rendition.time_base),
            video_track_timescale=rendition.time_base.denominator, **_NOTHING_ELSE,
            **_encoder_options(rendition, segment, threads),
        )  # fmt: skip
        outputs.append(output)
    return _argv(tool, ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0])


def _kept_frames(
    source: Source, media: Readable, rendition: VideoRendition, segment: Segment, threads: int, max_pixels: int
) -> Any:
    """Return the node that gives the frames of a segment as they are decoded, with the source's times."""
    assert source.video is not None
    options = {"copyts": None, "noaccurate_seek": None, "threads": 1 if threads == 1 else 0, "max_pixels": max_pixels}
    # A picture that changes its size midway is scaled; building the filters anew would lose the frames inside them.
    options["reinit_filter"] = 0
    if segment.entry_s is not None:
        options |= {"ss": seconds(segment.entry_s - source.start_s)}
    stream: Any = _source_input(source, media, **options)[str(rendition.stream_index)]
    return trimmed(stream, source, rendition, segment)


def quality_argv(
    tool: str, source: Source, media: Readable, rendition: VideoRendition, segment: Segment, piece: Path, log: Path, *,
    every_frames: int, threads: int, max_pixels: int, above: Overlaid,
) -> Argv:  # fmt: skip
    """Compare a piece, one of `every_frames` frames, with what it was encoded of; `log` gets the numbers."""
    frames = _kept_frames(source, media, rendition, segment, threads, max_pixels)
    [images] = _image_inputs([(rendition, above)], max_pixels)
    wanted = shaped(frames, source, rendition, segment, images, above)
    made = ffmpeg.input(f"file:{piece}", f="mov", protocol_whitelist="file", format_whitelist=demuxer_whitelist("mov"))
    both = [each.filter("format", pix_fmts=rendition.pixel_format) for each in (made["v:0"], wanted)]
    compared = ffmpeg.filter(
        both, "libvmaf", log_path=str(log), log_fmt="json", n_threads=threads, n_subsample=every_frames,
        feature="name=psnr|name=float_ssim",
    )  # fmt: skip
    return _argv(tool, ffmpeg.output(compared, "pipe:", format="null"))


def _image_inputs(laid_over: Sequence[tuple[VideoRendition, Overlaid]], max_pixels: int) -> list[list[Any]]:
    """Return, for each rendition, the nodes of its images in order. What is laid over more than once is opened once."""
    wanted = [
        list(zip((each.image for each in rendition.overlays if each.image), above.images, strict=True))
        for rendition, above in laid_over
    ]
    uses = Counter(media for mine in wanted for _, media in mine)
    nodes: dict[Readable, Iterator[Any]] = {}
    for image, media in (each for mine in wanted for each in mine):
        if media not in nodes:
            node = _image_input(image, media, max_pixels)
            split = node.filter_multi_output("split", uses[media]) if uses[media] > 1 else [node]
            nodes[media] = iter([split[number] for number in range(uses[media])])
    return [[next(nodes[media]) for _, media in mine] for mine in wanted]


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
    rate = rendition.joined.encoder_rate if rendition.joined else None
    match rendition.codec:
        case "h264":
            own = [f"fps={rate}"] * bool(rate) + ["stitchable=1"] * rendition.may_vary
            told = {"x264-params": ":".join(own)} if own else {}
            return {**preset, "threads": threads, **told} | ({"sc_threshold": 0, "forced-idr": 1} if fixed else {})
        case "hevc":
            pools = f"pools={'none' if threads == 1 else threads}:frame-threads={min(threads, 3)}"
            closed = ":scenecut=0:open-gop=0" if fixed else ""
            told = (f":fps={rate}" if rate else "") + ":info=0" * rendition.may_vary
            options = {**preset, "x265-params": f"log-level=error:{pools}{closed}{told}", "tag:v": "hvc1"}
            return options | ({"forced-idr": 1} if fixed else {})
        case "vp9":
            speed = {} if rendition.preset is None else {"cpu-used": rendition.preset}
            free = {} if rendition.bitrate_bps is not None else {"b:v": 0}
            return {**speed, **free, "row-mt": 1, "threads": threads}
        case _:
            told = f":fps-num={rate.numerator}:fps-denom={rate.denominator}" if rate else ""
            return {**preset, "svtav1-params": f"lp={threads}{':scd=0' if fixed else ''}{told}"}


def track_argv(
    tool: str, sources: Sequence[Source], media: Sequence[Readable], track: TrackRendition, out: Path
) -> Argv:
    """Make one audio or subtitle track whole, of one source or of several that are joined.

    A source that lacks it gives silence.
    """
    stream = _joined_sound(sources, media, track) if track.sounds else _sound_or_text(sources[0], media[0], track)
    kept: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "vn": None, "dn": None, "format": track.container}
    if track.container == "mp4":
        kept["strict"] = "unofficial"  # MP3 at 8 kHz: only a working file
    if sources[0].clip and track.kind == "subtitle":
        kept["bsf:s"] = _cut_cues(sources[0].clip.length_s)
    return _argv(tool, ffmpeg.output(stream, f"file:{out}", **kept, **_track_codec(track)))


def _joined_sound(sources: Sequence[Source], media: Sequence[Readable], track: TrackRendition) -> Any:
    """Return the node that gives what each source has, one after the other, each filled up to its length."""
    rate, layout = track.joined_rate_hz, track.joined_layout
    heard: list[Any] = []
    for number, (source, readable, sound) in enumerate(zip(sources, media, track.sounds, strict=True)):
        if sound.stream_index is None:
            silence = ffmpeg.input(f"anullsrc=r={rate}:cl={layout}", f="lavfi")["a:0"]
            heard.append(silence.filter("atrim", end=seconds(sound.length_s or Fraction(0))))
            continue
        mine = track.model_copy(update={"stream_index": sound.stream_index, "layouts": None, "fills_gaps": True})
        # Equal inputs would become one node of the graph; a source that is there twice must be read twice.
        stream = _sound_or_text(source, readable, mine, thread_queue_size=_PACKETS_AHEAD + number)
        stream = stream.filter("aformat", sample_fmts="fltp", sample_rates=rate, channel_layouts=layout)
        if sound.length_s is not None:
            length_s = seconds(sound.length_s)
            stream = stream.filter("apad", whole_dur=length_s).filter("atrim", end=length_s)
        heard.append(stream.filter("asetpts", expr="N/SR/TB"))
    joined = ffmpeg.filter(heard, "concat", n=len(heard), v=0, a=1)
    return joined.filter("aformat", channel_layouts=track.layouts) if track.layouts else joined


def _sound_or_text(source: Source, media: Readable, track: TrackRendition, **options: Any) -> Any:
    """Return the node that gives a track, with times that count from the start of the source's container.

    Of a clip they count from its start: sound is cut to the sample, and a subtitle that is shown there is cut to it.
    """
    options |= {"copyts": None}
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
    return stream


def subtitles_argv(
    tool: str, media: Readable, demuxer: str, stream_index: int = 0, start_s: Fraction = Fraction(0)
) -> Argv:
    """Print a track of text as an ASS script, with times that count from `start_s`."""
    options: dict[str, Any] = {"copyts": None} | ({"itsoffset": seconds(-start_s)} if start_s else {})
    stream = _input(media, demuxer, **options)[str(stream_index)]
    output = ffmpeg.output(stream, "pipe:1", format="ass", fs=MOST_BYTES, map_metadata=-1, **{"c:s": "ass"})
    return [tool, *QUIET[:6], *ffmpeg.get_args(output)]


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
    return _input(media, source.demuxer, **options)


def _input(media: Readable, demuxer: str, **options: Any) -> Any:
    url, protocols = _address(media)
    return ffmpeg.input(
        url, format=demuxer, protocol_whitelist=protocols, format_whitelist=demuxer_whitelist(demuxer), **options
    )


def _address(media: Readable) -> tuple[str, str]:
    """Return the URL of what is opened, and the protocols that opening it may use."""
    return (f"file:{media}", "file") if isinstance(media, Path) else (str(media), "http,tcp")


def _argv(tool: str, output: Any) -> Argv:
    return [tool, *QUIET, *ffmpeg.get_args(output)]


__all__ = [
    "QUIET", "encode_argv", "join_list_text", "metadata_text", "mux_argv", "quality_argv", "scan_argv", "seconds",
    "subtitles_argv", "track_argv",
]  # fmt: skip

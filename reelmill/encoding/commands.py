"""Builds the argv that encodes segments, compares them with the source, and learns the times of frames. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from reelmill.encoding.argv import QUIET, Argv, address_of, seconds, source_input, whole_argv
from reelmill.encoding.filters import shaped, trimmed
from reelmill.encoding.overlaid import Overlaid
from reelmill.media.containers import demuxer_whitelist
from reelmill.media.images import Image
from reelmill.media.source import Source
from reelmill.planning.encode_tasks import shared_part
from reelmill.planning.plan import Encode, Segment, VideoRendition
from reelmill.profiles.encoders import VIDEO_ENCODERS
from reelmill.storage.readable import Readable

_NOTHING = Overlaid()
_NO_INTERVAL = 1_000_000
"""Frames from keyframe to keyframe that no segment has: the encoder makes none but those it is told to."""
_NOTHING_ELSE: dict[str, Any] = {"an": None, "sn": None, "dn": None, "map_metadata": -1, "map_chapters": -1}


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
    return whole_argv(tool, ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0])


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
    stream: Any = source_input(source, media, **options)[str(rendition.stream_index)]
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
    return whole_argv(tool, ffmpeg.output(compared, "pipe:", format="null"))


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
    address, protocols = address_of(media)
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


def scan_argv(tool: str, source: Source, media: Readable, *, max_pixels: int) -> Argv:
    """Decode the video once, from its start, and print the time of every frame; nothing is encoded."""
    assert source.video is not None
    stream = source_input(source, media, copyts=None, max_pixels=max_pixels)[str(source.video.index)]
    output = ffmpeg.output(
        stream, "pipe:1", format="framecrc", fps_mode="passthrough", enc_time_base=str(source.video.time_base),
        **{"c:v": "wrapped_avframe"},
    )  # fmt: skip
    return [tool, *QUIET[:6], *ffmpeg.get_args(output)]


def _whole_micros(value: Fraction) -> str:
    """Print a time for ffmpeg, never late: it takes the first frame at or after it."""
    return seconds(Fraction(floor(value * 1_000_000), 1_000_000)).rstrip("0").rstrip(".")

"""The ffmpeg commands that take stills from a source, and make pictures of them. Pure.

Stills are upright PNG in sRGB, at the size of the picture that they are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from reelmill.encoding.argv import QUIET, Argv, seconds
from reelmill.media.containers import demuxer_whitelist
from reelmill.media.source import Source
from reelmill.planning.picture_plan import PictureLook, PictureSet, Span
from reelmill.storage.readable import Readable

_TRANSFERS = {"pq": "smpte2084", "hlg": "arib-std-b67"}
_WHITE_NITS = 203
"""Of HDR, by ITU-R BT.2408: what is as bright becomes white, and what is brighter is folded in below it."""
GAUGE_SIZE = (64, 36)


def stills_argv(
    tool: str, source: Source, media: Readable, look: PictureLook, span: Span, sets: Sequence[PictureSet], *,
    max_pixels: int, folder: Path,
) -> Argv:  # fmt: skip
    """Decode once, and write the frames that each set wants to `KIND-00001.png` and on, in the order of the decoder."""
    url, protocols = (f"file:{media}", "file") if isinstance(media, Path) else (str(media), "http,tcp")
    entry = [] if span.entry_s is None else ["-ss", seconds(span.entry_s - source.start_s)]
    argv = [
        tool, *QUIET, "-copyts", "-noaccurate_seek", "-threads", "1", "-max_pixels", str(max_pixels),
        "-reinit_filter", "0", *entry, "-f", source.demuxer, "-protocol_whitelist", protocols,
        "-format_whitelist", demuxer_whitelist(source.demuxer), "-i", url,
        "-filter_complex", _stills_graph(source, look, span, sets),
    ]  # fmt: skip
    for each in sets:
        argv += [
            "-map", f"[{each.kind}]", "-fps_mode", "passthrough", "-c:v", "png", "-compression_level", "1",
            "-f", "image2", f"file:{_numbered(folder, f'{each.kind}-', 'png')}",
        ]  # fmt: skip
    return argv


def _stills_graph(source: Source, look: PictureLook, span: Span, sets: Sequence[PictureSet]) -> str:
    common: list[str] = []
    if look.deinterlace:
        assert source.video is not None
        common += ["bwdif=mode=send_frame", f"settb={source.video.time_base}"]  # it counts in half ticks
    if span.end is not None:
        common.append(f"trim=end_pts={span.end}")
    if len(sets) == 1:
        return f"[0:{look.stream_index}]{','.join([*common, _still_of(look, span, sets[0])])}[{sets[0].kind}]"
    if not look.counts_frames:
        common.append(_select(sorted({frame for each in span.frames.values() for frame in each}), look))
    common.append(f"split={len(sets)}")
    taken = [f"[{each.kind}-frames]" for each in sets]
    chains = [f"{name}{_still_of(look, span, each)}[{each.kind}]" for name, each in zip(taken, sets, strict=True)]
    return ";".join([f"[0:{look.stream_index}]{','.join(common)}{''.join(taken)}", *chains])


def _still_of(look: PictureLook, span: Span, pictures: PictureSet) -> str:
    filters = [_select(span.frames[pictures.kind], look), *_picture_filters(look, pictures)]
    return ",".join([*filters, "setsar=1", "format=rgb24"])


def _select(frames: Sequence[int], look: PictureLook) -> str:
    return f"select='{_is_one_of(frames, 'n' if look.counts_frames else 'pts')}'"


def _is_one_of(frames: Sequence[int], name: str) -> str:
    """Return an expression that finds the frames, ascending, by halves: ffmpeg takes no sum of a hundred."""
    if len(frames) == 1:
        return f"eq({name},{frames[0]})"
    half = len(frames) // 2
    lower, upper = _is_one_of(frames[:half], name), _is_one_of(frames[half:], name)
    return f"if(lt({name},{frames[half]}),{lower},{upper})"


def _picture_filters(look: PictureLook, pictures: PictureSet) -> Iterator[str]:
    if look.hdr is not None:
        size = f"w={pictures.width}:h={pictures.height}"
        yield f"zscale={size}:tin={_TRANSFERS[look.hdr]}:pin=bt2020:min=bt2020nc:t=linear:npl={_WHITE_NITS}"
        yield "format=gbrpf32le"
        yield "zscale=p=bt709"
        yield "tonemap=tonemap=hable:desat=0"
        yield "zscale=t=iec61966-2-1:m=gbr:r=full"
        yield "format=gbrp"
        return
    matrix = f":in_color_matrix={look.matrix}" if look.matrix else ""
    size = f"w={pictures.width}:h={pictures.height}" if pictures.height else f"w='min(iw,{pictures.width})':h=-1"
    yield f"scale={size}:flags=lanczos+accurate_rnd+full_chroma_int{matrix}"


def gauge_argv(tool: str, stills: Path) -> Argv:
    """Print the brightness of every still in `stills`, GAUGE_SIZE bytes each, in the order of their numbers."""
    width, height = GAUGE_SIZE
    return [
        tool, *QUIET[:6], *_stills(stills, 1), "-vf", f"scale={width}:{height}:flags=area,format=gray",
        "-f", "rawvideo", "pipe:1",
    ]  # fmt: skip


def pictures_argv(tool: str, pictures: PictureSet, stills: Path, out: Path) -> Argv:
    """Make the files of a set of the numbered stills in `stills`: `out` is a file, or a folder for `00001` and on."""
    filters = [f"tile={pictures.columns}x{pictures.rows}"] if pictures.kind == "sprites" else []
    filters += ["scale=out_range=full:out_color_matrix=bt601", "format=yuvj420p"] if pictures.format == "jpeg" else []
    if pictures.is_folder:
        target = ["-f", "image2", f"file:{_numbered(out, '', pictures.ending)}"]
    else:
        target = ["-frames:v", "1", "-update", "1", "-f", "image2", f"file:{out}"]
    return [
        tool, *QUIET, *_stills(stills, 1), *(("-vf", ",".join(filters)) if filters else ()),
        *_encoder(pictures), *target,
    ]  # fmt: skip


def preview_argv(tool: str, pictures: PictureSet, stills: Path, out: Path) -> Argv:
    """Make a moving picture of the numbered stills in `stills`."""
    repeat = "0" if pictures.loop else {"gif": "-1", "webp": "1"}[pictures.format]
    palette = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"
    filters = ["-filter_complex", palette] if pictures.format == "gif" else []
    encoder = ["-c:v", "gif"] if pictures.format == "gif" else _encoder(pictures, "libwebp_anim")
    return [
        tool, *QUIET, *_stills(stills, pictures.frame_rate), *filters, *encoder, "-loop", repeat,
        "-f", pictures.format, f"file:{out}",
    ]  # fmt: skip


def _stills(folder: Path, rate: int) -> Argv:
    return ["-framerate", str(rate), "-f", "image2", "-protocol_whitelist", "file", "-i", _numbered(folder, "", "png")]


def _numbered(folder: Path, before: str, ending: str) -> str:
    return f"{str(folder).replace('%', '%%')}/{before}%05d.{ending}"


def _encoder(pictures: PictureSet, webp: str = "libwebp") -> Argv:
    match pictures.format:
        case "jpeg":
            return ["-c:v", "mjpeg", "-qmin", "1", "-q:v", f"{_jpeg_scale(pictures.quality):.2f}"]
        case "webp":
            return ["-c:v", webp, "-quality", str(pictures.quality)]
        case _:
            return ["-c:v", "png"]


def _jpeg_scale(quality: int) -> float:
    """Return what ffmpeg divides by for a quality of 1 to 100, as libjpeg defines it (jcparam.c): 50 is 8, 100 best."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return min(max(percent * 8 / 100, 1), 31)

"""The benchmarks there are, in the order in which they run and are reported, and what their figures mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.against_plain import measure_av1, measure_one_rendition, measure_two_formats, measure_webm
from bench.fixed_cost import measure_fixed_cost
from bench.ladder import measure_ladder
from bench.orchestration import measure_orchestration
from bench.ranged_reads import measure_ranged_reads
from bench.results import Result
from bench.segment_length import measure_segment_length
from bench.transfer import measure_transfer
from bench.workbench import Workbench


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: how it is run, its heading, and what it says to a reader."""

    run: Callable[[Workbench], Result]
    title: str
    meaning: str


BENCHMARKS: dict[str, Benchmark] = {
    "one_rendition": Benchmark(
        measure_one_rendition,
        "One rendition against plain ffmpeg",
        "Encode and merge of one mp4 (x264 medium, CRF 23, AAC) against one ffmpeg run with the same settings and all "
        "cores. One ffmpeg keeps the cores of one machine busy already, so there is little to win here; the figures "
        "say what cutting, checking every segment and merging cost. At a wall ratio of 1 they are free. The "
        "verification of the result comes on top, in percent of the wall time of encode and merge.",
    ),
    "two_formats": Benchmark(
        measure_two_formats,
        "Two formats of one encode",
        "mp4 and flv with the same codecs need one encode, muxed twice. The ratio is the wall time of the pipeline to "
        "that of two plain ffmpeg runs, one after the other: 0.5 would be two formats for the price of one.",
    ),
    "webm": Benchmark(
        measure_webm,
        "VP9",
        "webm with the default settings against one ffmpeg run with the same settings and ffmpeg's own number of "
        "threads. libvpx does not keep all cores busy; segments side by side do. The second figure is against what "
        "ffmpeg does when nobody chooses a speed: `-cpu-used 1` and no row threads. It is not a fair comparison, only "
        "what somebody who types the shortest command would see.",
    ),
    "av1": Benchmark(
        measure_av1,
        "AV1",
        "SVT-AV1, preset 8, in mp4, against one ffmpeg run with the same settings and as many threads as the encoder "
        "takes by itself.",
    ),
    "ladder": Benchmark(
        measure_ladder,
        "Four renditions of one decode",
        "The profile `hls-ladder` to HLS, encoded and packaged, against the best command that one would write by hand "
        "for it: one ffmpeg that decodes once, splits the frames for four encoders with the same settings and "
        "keyframes, and writes the HLS. The pipeline encodes segments side by side, and all renditions of a segment by "
        "one ffmpeg. Beside it stand the same pipeline with an ffmpeg, and a decode, for each rendition of each "
        "segment, and four plain runs, one after the other.",
    ),
    "segment_length": Benchmark(
        measure_segment_length,
        "The length of a segment",
        "One source encoded in segments of several lengths, and in one piece by plain ffmpeg. Size, SSIM and VMAF are "
        "differences to the single encode, measured against the source: at one CRF a larger file of equal quality is "
        "what cutting costs.",
    ),
    "orchestration": Benchmark(
        measure_orchestration,
        "Orchestration",
        "The real flow with a real Prefect server, with encoding replaced by copying a file, so that what is left is "
        "what Reelmill and Prefect take: starting and ending tasks, checking each piece and writing its record, "
        "merging and verifying. A segment of 30 s takes many seconds to encode; these are milliseconds.",
    ),
    "fixed_cost": Benchmark(
        measure_fixed_cost,
        "Before anything is encoded",
        "From the start of `reelmill transcode` to the start of its first encode, for a job of two seconds: the price "
        "of every job, however small. Without a server the command starts one for itself and ends it again; the very "
        "first time it makes its database too.",
    ),
    "ranged_reads": Benchmark(
        measure_ranged_reads,
        "How much of a source in a bucket is read",
        "A source of 2 GB in a bucket of Ceph, planned in 50 segments, each encoded as if on a machine of its own that "
        "has read nothing yet: bytes, requests and seconds of what Reelmill does (ffmpeg reads through a range server "
        "of its machine) beside other ways. At 1 x the source every byte is read once, however many machines take "
        "part; a download to every machine would be 50 x.",
    ),
    "transfer": Benchmark(
        measure_transfer,
        "A large object between two stores",
        "2 GiB from one Ceph to another, each on this machine, by `reelmill transfer` and by the tools that people use "
        "for it, each told to use 8 streams and parts of 16 MiB where it can be told. Only ours and rclone talk to two "
        "servers by themselves; the others need a pipe or a file. Ours compares every part with what is stored, and "
        "the whole with the source's ETag; its time includes starting Python.",
    ),
}

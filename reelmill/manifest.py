"""The manifest: what a job made, of what, and what was checked. Written last; it is what makes the outputs visible."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from reelmill.cost.report import JobCost
from reelmill.frozen import Frozen
from reelmill.planning.picture_plan import PictureKind
from reelmill.planning.plan import LeftOut
from reelmill.storage.store import Store

FILE_NAME = "manifest.json"
_INSIDE = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"
"""A relative path that leads nowhere else."""


class Check(Frozen):
    """One thing that was checked on an output, and the evidence."""

    name: str = Field(description="What was checked")
    passed: bool = Field(description="Whether it held")
    found: str = Field(description="What was found, beside what was expected")


class OutputStream(Frozen):
    """One stream of an output, as it was found in the finished file."""

    kind: Literal["video", "audio", "subtitle"] = Field(description="Kind of the stream")
    codec: str = Field(description="Codec, by ffmpeg's name")
    start_s: float = Field(description="Time of its first packet, in seconds")
    end_s: float = Field(description="Time at which its last packet ends, in seconds")
    language: str | None = Field(default=None, description="Language, as the container says")
    rendition: str = Field(description="Rendition it was muxed from")


class OutputFile(Frozen):
    """One file of an output that is a folder."""

    file_name: str = Field(pattern=_INSIDE, description="Path of the file inside the folder")
    size_bytes: int = Field(description="Size of the file")
    sha256: str = Field(description="SHA-256 of the file, in hex")


class StoredFile(NamedTuple):
    """One file of a result, with its path beside the manifest, in which the name may be anything a file is called."""

    file_name: str
    size_bytes: int
    sha256: str


class OutputReport(Frozen):
    """One finished output: a file, or a folder of files for streaming."""

    format: str = Field(description="Format asked for; of a folder all that are in it, `hls, dash`")
    file_name: str = Field(pattern=r"^[^/\\]+$", description="Name of the file or the folder, beside this manifest")
    size_bytes: int = Field(description="Size of the file; of a folder that of all files")
    sha256: str = Field(
        description="SHA-256 of the file, in hex; of a folder that of its list as `sha256sum` prints it"
    )
    duration_s: float = Field(description="From the first frame or sample to the end of the last, in seconds")
    frames: int | None = Field(description="Frames of video; null for audio formats")
    width: int | None = Field(default=None, description="Width as shown, in pixels")
    height: int | None = Field(default=None, description="Height as shown, in pixels")
    streams: tuple[OutputStream, ...] = Field(description="Streams, in the order of the file")
    checks: tuple[Check, ...] = Field(description="What was checked; all of it passed, or there were no manifest")
    left_out: tuple[LeftOut, ...] = Field(description="What of the source is not in this file, and why")
    files: tuple[OutputFile, ...] = Field(default=(), description="Of a folder: its files, playlists last")

    @property
    def stored(self) -> tuple[StoredFile, ...]:
        """Return every file there is, each with its path beside the manifest."""
        return _stored(self)


class PictureReport(Frozen):
    """Pictures taken from the source: one file, or a folder of them."""

    kind: PictureKind = Field(description="What they are")
    file_name: str = Field(pattern=r"^[^/\\]+$", description="Name of the file or the folder, beside this manifest")
    size_bytes: int = Field(description="Size of the file; of a folder that of all files")
    sha256: str = Field(
        description="SHA-256 of the file, in hex; of a folder that of its list as `sha256sum` prints it"
    )
    width: int = Field(description="Width of each file's picture, in pixels")
    height: int = Field(description="Height of each file's picture, in pixels")
    columns: int = Field(default=1, description="Of a sheet of sprites: pictures side by side")
    rows: int = Field(default=1, description="Of a sheet of sprites: pictures above one another")
    times_s: tuple[float, ...] = Field(
        description="Time of each picture, as a player of the outputs shows it; in order, over all files"
    )
    files: tuple[OutputFile, ...] = Field(default=(), description="Of a folder: its files; the WebVTT file last")

    @property
    def stored(self) -> tuple[StoredFile, ...]:
        """Return every file there is, each with its path beside the manifest."""
        return _stored(self)


def _stored(made: OutputReport | PictureReport) -> tuple[StoredFile, ...]:
    if not made.files:
        return (StoredFile(made.file_name, made.size_bytes, made.sha256),)
    return tuple(StoredFile(f"{made.file_name}/{each.file_name}", each.size_bytes, each.sha256) for each in made.files)


class RenditionReport(Frozen):
    """What one rendition took. A piece that was kept from an earlier run counts with what it took then."""

    id: str = Field(description="Name of the rendition")
    kind: Literal["video", "audio", "subtitle"] = Field(description="What it is a rendition of")
    codec: str = Field(description="Codec, or `copy`")
    segments: int = Field(description="Pieces it was encoded in; 1 for what is made whole")
    frames: int | None = Field(description="Frames of video; null for tracks")
    cpu_s: float = Field(description="CPU seconds of its ffmpeg runs")
    wall_s: float = Field(description="Seconds its ffmpeg runs took, added up; they ran side by side")
    burned_subtitles: str | None = Field(default=None, description="Subtitles that are part of its picture")
    reused_segments: int = Field(default=0, description="Pieces kept from an earlier run of the job")


class QualityReport(Frozen):
    """How near one rendition comes to what it was encoded of, on average of the frames that were compared."""

    rendition: str = Field(description="Name of the rendition")
    frames: int = Field(description="Frames that were compared")
    vmaf: float = Field(description="VMAF, 0 to 100")
    ssim: float = Field(description="SSIM, up to 1")
    psnr_db: float = Field(description="PSNR of luma, in decibels")
    worst_segment: int = Field(description="Number of the segment of the least VMAF, from 0")
    worst_start_s: float = Field(description="Where it begins in the source")
    worst_vmaf: float = Field(description="Its VMAF")
    better_segments: int = Field(
        default=0, description="Segments that were encoded again, to come up to what is wanted"
    )


class ClipReport(Frozen):
    """The part of the source that was used; times count from its start."""

    start_s: float = Field(description="Where it begins, in seconds")
    end_s: float | None = Field(description="Where it ends, in seconds; null for the end of the source")


class SourceReport(Frozen):
    """The source, as it was probed."""

    file_name: str = Field(description="Name of the source")
    identity: str = Field(description="Digest that names its content")
    size_bytes: int = Field(description="Size of the source")
    format: str = Field(description="Demuxer it was opened with")
    duration_s: float = Field(description="Duration its container announces, in seconds")
    clip: ClipReport | None = Field(default=None, description="The part that was used; null for all of it")
    frames: int | None = Field(description="Frames of its video that were used; null without video")
    frames_known_from: Literal["packets", "decode"] = Field(description="How the times of its frames were learned")


class Manifest(Frozen):
    """`manifest.json`: read it, and you know that the files beside it are complete and what is in them."""

    version: Literal[1] = Field(default=1, description="Version of this file format")
    job_key: str = Field(description="Name of the job: equal for equal content and settings")
    attempt: str = Field(description="Name of the run that made it, different for every run")
    reelmill_version: str = Field(description="Reelmill that made it")
    ffmpeg_version: str = Field(description="ffmpeg that encoded it")
    profile: str = Field(description="Name of the profile")
    created: str = Field(description="When it was written, ISO 8601, UTC")
    wall_s: float = Field(description="Seconds from the start of the run to this manifest")
    source: SourceReport
    joined: tuple[SourceReport, ...] = Field(default=(), description="Sources that follow it in the outputs")
    outputs: tuple[OutputReport, ...] = Field(description="The files made")
    pictures: tuple[PictureReport, ...] = Field(default=(), description="Pictures taken from the source")
    renditions: tuple[RenditionReport, ...] = Field(description="What was encoded, and what it took")
    quality: tuple[QualityReport, ...] = Field(
        default=(), description="How good the renditions are; empty where nobody asked"
    )
    cost: JobCost = Field(default=JobCost(), description="What it cost")
    reasons: tuple[str, ...] = Field(description="Why the job was done the way it was")
    warnings: tuple[str, ...] = Field(description="What somebody should know")

    @property
    def stored(self) -> tuple[StoredFile, ...]:
        """Return every file that was published, each with its path beside the manifest."""
        return tuple(file for each in (*self.outputs, *self.pictures) for file in each.stored)

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the outputs that are folders, each with a slash at its end."""
        return tuple(f"{each.file_name}/" for each in (*self.outputs, *self.pictures) if each.files)


def read_manifest(output: Store) -> Manifest | None:
    """Return the manifest in an output folder; None when there is none, or it can't be read as one."""
    content = output.read(FILE_NAME)
    try:
        return None if content is None else Manifest.model_validate_json(content)
    except ValidationError:
        return None

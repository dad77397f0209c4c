"""Records: what a finished, checked piece of work is. A later run of the job goes by them."""

from __future__ import annotations

from dataclasses import dataclass

from reelmill.errors import SegmentInexact
from reelmill.frozen import Frozen


@dataclass(frozen=True)
class Portion:
    """What one task has to do of work that was divided. Pickles, and opens what it needs where it is done."""

    key: str
    """Names what comes of it: its content and recipe."""
    label: str
    size_bytes: int


class Record(Frozen):
    """What came of one task, where that is small enough to be in the record itself."""

    key: str
    """Names what it is: its content and recipe."""
    reused: bool = False
    """Whether it was made by an earlier run of the job, or an earlier try of its task."""


class Result(Frozen):
    """What came of a whole job, where that is one small file."""

    job_key: str


class FileRecord(Record):
    """A finished working file: the name it has among the pieces, and the digest it had when it was checked."""

    file_name: str
    """Has the digest in it: what two runs make under one key is two files."""
    size_bytes: int
    sha256: str
    cpu_s: float
    wall_s: float
    messages: tuple[str, ...] = ()


class PieceRecord(FileRecord):
    """One encoded segment. Times are in the rendition's time base, counted from the start of the segment."""

    rendition: str
    segment: int
    frames: int
    last_pts: int
    payload: str
    """Digest of the coded picture, by which the piece is known again in an output (`PayloadDigest`)."""
    parameter_sets: str
    """Digest of the codec's extradata: pieces of one rendition can be joined only when it is the same."""

    @property
    def label(self) -> str:
        return f"{self.rendition}-{self.segment:05d}"


class QualityRecord(FileRecord):
    """How near one encoded segment comes to what it was encoded of, on average of the frames that were compared.

    Its file is libvmaf's log, with the numbers of every such frame.
    """

    rendition: str
    segment: int
    frames: int
    vmaf: float
    ssim: float
    psnr_db: float
    tries: int = 0
    """How often the segment was encoded again to get there."""


class TrackRecord(FileRecord):
    """One audio or subtitle track, made whole. Times in seconds from the start of the source's container."""

    track: str
    start_s: float
    end_s: float
    priming_s: float
    """Length of what the encoder put before the start: marked as such in some containers, plain packets in others."""
    warnings: tuple[str, ...] = ()


class StillsRecord(FileRecord):
    """The frames that one task took from the source for pictures, as PNG in a tar file: `KIND/FRAME.png`."""

    number: int


def refuse_foreign_parameters(records: list[PieceRecord]) -> None:
    """Raise SegmentInexact when the pieces of a rendition would need different decoders' settings to be joined."""
    found = {record.parameter_sets for record in records}
    if len(found) > 1:
        raise SegmentInexact(f"{records[0].rendition}: its pieces have {len(found)} different parameter sets")

"""Every error Reelmill reports, as one tree.

    ReelmillError
    ├── JobRejected            the request or its source is bad: never retried, nothing is written
    │   ├── MediaEmpty, MediaUnreadable, MediaTruncated, SourceIncomplete, MediaDamaged, MediaEncrypted
    │   ├── RecordsInvalid
    │   ├── SourceNotFound, SourceChanged, SourceArchived, FormatNotAllowed, ExternalReference, CodecNotAllowed
    │   ├── NoVideoStream, NoAudioStream
    │   ├── LimitPixels, LimitTimeline, LimitFrameRate, LimitStreams, LimitChannels, LimitOutputs
    │   ├── InvalidProfile, InvalidParameter, InvalidWatermark, InvalidUri, InvalidKey, UriSchemeNotAllowed, PathEscape
    │   ├── BucketNotAllowed, BucketNotFound, StoreAccessDenied, WrongRegion
    │   ├── OutputCollision, JobRunning, NotEnoughSpace, BudgetExceeded, ToolMissing, RunNotFound
    │   └── EventRejected, TriggerLoop, CallbackNotAllowed
    ├── ToolFailed             ffmpeg ended badly: retried
    │   ├── ToolStalled        no progress for the stall timeout: retried
    │   └── ToolKilled         ended by a signal nobody here sent: retried
    ├── StoreFailed            the object store, or the way to it, failed: retried
    │   ├── StoreThrottled     it asked for fewer requests, longer than was waited: retried
    │   ├── StoreUnreachable   nothing answers at its address: retried
    │   ├── UploadGone         an upload was ended by somebody else meanwhile
    │   └── StoreConflict      an object is not, or no longer, what a conditional request expected
    ├── ClusterFailed          the Dask cluster can't be started or reached, or lost a task again and again: retried
    ├── QualityTooLow          a segment is not as good as the profile wants it
    ├── SegmentInexact         a piece is not the frames the plan says: the source is decoded once and planned again
    ├── VerifyFailed           an output is not what the plan says: nothing is published
    ├── TransferIncomplete     some objects of a transfer were not copied; the others are there
    ├── CatalogFailed          the catalog can't be reached or written: retried, and no job fails of it
    ├── HookFailed             the operator's own step after a job failed: retried; the result is published
    ├── CallbackFailed         the message that a job is done was not taken: retried; the result is published
    ├── ServerUnreachable      the Prefect server that is configured does not answer, or none could be started
    ├── NotDeployed            the Prefect server does not know the deployment that is to be run
    └── JobCancelled           the run was told to stop

The name of the class is the stable code. An error pickles, and `str()` of it is one sentence with its evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


class ReelmillError(Exception):
    """Base of every error reported on purpose. `exit_code` is what the command ends with."""

    exit_code = 1
    retryable = False

    @property
    def code(self) -> str:
        """Stable name of the error, the same in the terminal, the manifest and the docs."""
        return type(self).__name__

    @classmethod
    def tree(cls) -> Iterator[type[ReelmillError]]:
        """Yield this class and all below it, depth first, in the order of definition."""
        yield cls
        for below in cls.__subclasses__():
            yield from below.tree()


class JobRejected(ReelmillError):
    """The request or its source can't be worked on as it is; trying again would not help."""

    exit_code = 2


class MediaEmpty(JobRejected):
    """The source has no bytes."""


class MediaUnreadable(JobRejected):
    """No demuxer on the list can read the source, or what it says of itself makes no sense."""


class MediaTruncated(JobRejected):
    """The source ends before the end it announces, or its index is missing."""


class SourceIncomplete(JobRejected):
    """The source has fewer bytes than it should."""


class MediaDamaged(JobRejected):
    """Frames of the source can't be decoded and the job asked for `damage: strict`."""


class MediaEncrypted(JobRejected):
    """The source is encrypted."""


class RecordsInvalid(JobRejected):
    """A file that is worked on record by record is not made of whole records of that kind, or ends inside one."""


class SourceNotFound(JobRejected):
    """There is no file or object at the source's address, or it can't be read."""


class SourceChanged(JobRejected):
    """The source was overwritten while the job ran."""


class SourceArchived(JobRejected):
    """The source lies in an archive of its store, and can't be read before it is restored there."""


class FormatNotAllowed(JobRejected):
    """The source is a playlist, a script or another kind of file that is never opened."""


class ExternalReference(JobRejected):
    """The source keeps its picture or sound in another file, which is not opened."""


class CodecNotAllowed(JobRejected):
    """The source's video is in a codec that is not on the list of decoders."""


class NoVideoStream(JobRejected):
    """A video format was asked for and the source has no video."""


class NoAudioStream(JobRejected):
    """An audio format was asked for and the source has no audio."""


class LimitPixels(JobRejected):
    """The picture has more pixels than the setting `max_pixels`."""


class LimitTimeline(JobRejected):
    """The source is longer than `max_duration_s`, or has a gap longer than `max_gap_s`."""


class LimitFrameRate(JobRejected):
    """The source has more frames a second than `max_frame_rate`."""


class LimitStreams(JobRejected):
    """The source has more streams than `max_streams`."""


class LimitChannels(JobRejected):
    """An audio track has more channels than `max_channels`."""


class LimitOutputs(JobRejected):
    """The job asks for more outputs than `max_outputs`."""


class InvalidProfile(JobRejected):
    """A profile has a field, a value or a combination that is not allowed."""


class InvalidWatermark(JobRejected):
    """An image, a text or subtitles that were to be laid over the video can't be shown as they are."""


class InvalidParameter(JobRejected):
    """A parameter of the job is out of its range."""


class InvalidUri(JobRejected):
    """A source or an output is not a well-formed path or URI."""


class InvalidKey(JobRejected):
    """An object's key holds characters, or has a length, that no store takes."""


class UriSchemeNotAllowed(JobRejected):
    """A source or an output names a scheme that is never opened."""


class PathEscape(JobRejected):
    """A path leads out of the folder it must stay in."""


class BucketNotAllowed(JobRejected):
    """The bucket is not on the list of the setting `s3_buckets`."""


class BucketNotFound(JobRejected):
    """There is no such bucket."""


class StoreAccessDenied(JobRejected):
    """The object store, or the file system, does not allow this, or there are no credentials for the store."""


class WrongRegion(JobRejected):
    """The bucket is in another region than the setting `s3_region` says."""


class OutputCollision(JobRejected):
    """Two outputs, an output and the source, or an output and somebody else's file have one name."""


class JobRunning(JobRejected):
    """Another run of the same job is at work."""


class NotEnoughSpace(JobRejected):
    """The disk has less room than the job is expected to need."""


class BudgetExceeded(JobRejected):
    """The job would cost more than its budget and is not begun, or did and was stopped; what is finished is kept."""


class ToolMissing(JobRejected):
    """There is no ffmpeg, or it is older than the oldest version that works."""


class RunNotFound(JobRejected):
    """The Prefect server has no run of a job by this id, or several that begin with it."""


class CallbackNotAllowed(JobRejected):
    """The address for callbacks is not one that may be called, or nothing can be signed."""


class EventRejected(JobRejected):
    """A notification can't be read as one, or is of a bucket that nothing is taken from."""


class TriggerLoop(JobRejected):
    """What a job writes would be taken for an upload or a source, and make the next job."""


class ToolFailed(ReelmillError):
    """A tool ended with an error. Its last lines are the evidence."""

    exit_code = 3
    retryable = True

    def __init__(self, argv: list[str], exit_code: int, stderr_tail: str):
        super().__init__(argv, exit_code, stderr_tail)
        self.argv = argv
        self.tool_exit_code = exit_code
        self.stderr_tail = stderr_tail

    def __str__(self) -> str:
        tail = self.stderr_tail.strip() or "it printed nothing"
        return f"{self._what()}: {tail}"

    def _what(self) -> str:
        return f"{_tool_name(self.argv)} ended with code {self.tool_exit_code}"


class ToolStalled(ToolFailed):
    """A tool made no progress for the stall timeout and was killed."""

    def _what(self) -> str:
        return f"{_tool_name(self.argv)} made no progress and was killed"


class ToolKilled(ToolFailed):
    """A tool was ended by a signal that did not come from here."""

    def _what(self) -> str:
        return f"{_tool_name(self.argv)} was killed by signal {-self.tool_exit_code}"


class StoreFailed(ReelmillError):
    """The object store, or the way to it, failed for longer than was worth waiting."""

    exit_code = 3
    retryable = True


class StoreThrottled(StoreFailed):
    """The object store asked for fewer requests, again and again, while we backed off."""


class StoreUnreachable(StoreFailed):
    """Nothing answers at the object store's address."""


class UploadGone(StoreFailed):
    """An upload that is under way was completed or aborted by somebody else. The same command begins it anew."""

    retryable = False


class StoreConflict(StoreFailed):
    """An object was made, changed or removed by somebody else meanwhile."""

    retryable = False


class ClusterFailed(ReelmillError):
    """The Dask cluster can't be started or reached, or its workers died of one task again and again."""

    exit_code = 3
    retryable = True


class QualityTooLow(ReelmillError):
    """A segment is not as good as the profile asks for. Nothing was published."""

    exit_code = 4


class SegmentInexact(ReelmillError):
    """A piece does not hold exactly the frames of its range, or its decoder reported damage."""

    exit_code = 4


class VerifyFailed(ReelmillError):
    """An output differs from the plan. Nothing was published."""

    exit_code = 4


class TransferIncomplete(ReelmillError):
    """Some objects of a transfer could not be copied, each for a reason of its own. The others are there, compared."""

    exit_code = 4


class CatalogFailed(ReelmillError):
    """The catalog's database can't be reached, read or written. A job goes on without it."""

    exit_code = 3
    retryable = True


class HookFailed(ReelmillError):
    """A hook of the setting `post_process` failed. The result is published; running the job again runs the hook."""

    exit_code = 3
    retryable = True


class CallbackFailed(ReelmillError):
    """Nobody took the message that the job is done. The result is published; running the job again sends it."""

    exit_code = 3
    retryable = True


class ServerUnreachable(ReelmillError):
    """The Prefect server that is configured does not answer, or a temporary one did not start."""

    exit_code = 3


class NotDeployed(ReelmillError):
    """The Prefect server has no deployment of the flow that is to be run."""

    exit_code = 3


class JobCancelled(ReelmillError):
    """The run was cancelled or interrupted; finished pieces are kept as the setting `keep_unfinished` says."""

    exit_code = 130


def one_line(text: str) -> str:
    """Fold `text` into one line, without control characters, for a terminal or a log."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()


def _tool_name(argv: list[str]) -> str:
    name = argv[0].rsplit("/", 1)[-1] if argv else "tool"
    return "ffmpeg" if name.startswith("ffmpeg") else name

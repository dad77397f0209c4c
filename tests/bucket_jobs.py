"""Jobs from bucket to bucket, and what is to be seen of them in the buckets afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from reelmill.job import TranscodeJob
from reelmill.manifest import FILE_NAME, Manifest
from reelmill.settings import settings
from reelmill.storage.location import S3Location
from tests.s3_servers import S3Server
from tests.stores import content_of, keys_in, open_uploads

SECONDS, SEGMENT_S = 6, 1


@dataclass(frozen=True)
class Buckets:
    """One server, and a bucket for each of source, work and results."""

    server: S3Server
    source: S3Location
    work: S3Location
    output: S3Location

    def job(self, **choices: Any) -> TranscodeJob:
        given: dict[str, Any] = {"formats": ("mp4", "mkv"), "segment_s": SEGMENT_S, "output": str(self.output)}
        return TranscodeJob(source=str(self.source), **given | choices)

    def published(self) -> Manifest | None:
        """Return the manifest when there is one, after comparing every byte that it vouches for."""
        if f"{self.output.key}/{FILE_NAME}" not in keys_in(self.server, self.output):
            return None
        manifest = Manifest.model_validate_json(content_of(self.server, self.output / FILE_NAME))
        for each in manifest.stored:
            content = content_of(self.server, self.output / each.file_name)
            assert (len(content), sha256(content).hexdigest()) == (each.size_bytes, each.sha256)
        return manifest

    def assert_nothing_is_left(self) -> None:
        assert keys_in(self.server, self.work) == {}
        assert open_uploads(self.server, self.work) == []
        assert open_uploads(self.server, self.output) == []
        assert [path for path in settings().scratch_dir.rglob("*") if path.is_file()] == []


def run(job: TranscodeJob) -> Manifest:
    from flows.transcode_video import transcode_video

    return transcode_video(job)

"""A transfer: what goes where, and how. The one parameter of its flow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reelmill.errors import InvalidParameter, InvalidUri, OutputCollision, TriggerLoop
from reelmill.forms import as_form
from reelmill.settings import settings
from reelmill.storage.digests import content_key
from reelmill.storage.local_ranges import explained_file
from reelmill.storage.location import Location, S3Location, is_inside, parse_location
from reelmill.transfer.pacing import streams_at
from reelmill.transfer.parts import parse_size

AUTO = "auto"
_MOST_STREAMS = 256


class TransferJob(BaseModel):
    """One object, or everything below a prefix, and where it is to be as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=as_form)

    source: str = Field(
        description="s3://bucket/key, s3+NAME://bucket/key in a store of the settings, or a path on the machine that "
        "does the work"
    )
    destination: str = Field(description="The same. One that ends in / is a folder, into which the source's name goes")
    recursive: bool = Field(
        default=False,
        title="Everything below",
        description="Take everything below the source, which is a prefix or folder",
    )
    replace: bool = Field(
        default=False,
        title="Replace what is there",
        description="Replace what is there with another content; refused otherwise",
    )
    verify: Literal["parts", "full"] = Field(
        default="parts",
        description="parts compares the digest of each part with what the store says it has; full reads all of the "
        "destination again besides",
    )
    part_size: str = Field(
        default=AUTO, title="Size of parts", description="Such as 64MiB, 5 MiB to 5 GiB. auto: chosen for the source"
    )
    concurrency: int | None = Field(
        default=None,
        title="Parts at once",
        description="How many parts are under way at once. When empty: as many as the settings say",
        json_schema_extra={"minimum": 1, "maximum": _MOST_STREAMS},
    )
    rate_limit: str | None = Field(
        default=None,
        title="Rate limit",
        description="Bytes a second, such as 50MB or 20MiB. When empty: as fast as it goes",
    )
    keep_partial: bool = Field(
        default=False,
        title="Keep what has arrived",
        description="Keep the parts that have arrived when it fails or is cancelled, for the same transfer run again",
    )


@dataclass(frozen=True)
class AcceptedTransfer:
    """A transfer whose parameters were found to be possible, before anything was asked."""

    job: TransferJob
    source: Location
    destination: Location
    part_bytes: int | None
    """None where it is to be chosen."""
    bytes_per_s: int | None
    streams: int

    def one_of(self, processes: int) -> AcceptedTransfer:
        """Return the transfer as each of so many processes does it at once, with its share of the rate."""
        return self if self.bytes_per_s is None else replace(self, bytes_per_s=max(self.bytes_per_s // processes, 1))

    @property
    def key(self) -> str:
        """Name the transfer by where it writes: two that write to one place exclude each other."""
        return content_key("transfer", str(self.destination))

    def portable(self) -> TransferJob:
        """Return the job with full addresses, which mean the same in another folder."""
        return self.job.model_copy(update={"source": str(self.source), "destination": str(self.destination)})


def accept_transfer(job: TransferJob) -> AcceptedTransfer:
    """Return what the job's texts mean, or raise JobRejected for what can't be."""
    source = parse_location(job.source, "source", settings().source_root)
    place = parse_location(job.destination, "destination", settings().output_root)
    if isinstance(source, Path) and isinstance(place, Path):
        raise InvalidParameter("destination: both are files of one machine, which need no store; use cp")
    if isinstance(source, S3Location) and not source.key and not job.recursive:
        raise InvalidUri(f"source: {source} is a bucket, not an object; --recursive takes everything in it")
    source, place = _full(source), _full(place)
    destination = place if job.recursive or not _is_folder(job.destination, place) else place / source.name
    if destination == source:
        raise OutputCollision(f"destination: {destination} is the source itself")
    if job.recursive and is_inside(destination, source):
        raise TriggerLoop(f"destination: {destination} is in the source {source}: the next run would copy the copies")
    if job.concurrency is not None and not 1 <= job.concurrency <= _MOST_STREAMS:
        raise InvalidParameter(f"concurrency: {job.concurrency} is not allowed; allowed: 1 to {_MOST_STREAMS}")
    bytes_per_s = parse_size(job.rate_limit, "rate_limit (--rate-limit)") if job.rate_limit else None
    return AcceptedTransfer(
        job, source, destination,
        part_bytes=None if job.part_size == AUTO else parse_size(job.part_size, "part_size (--part-size)"),
        bytes_per_s=bytes_per_s, streams=streams_at(bytes_per_s, job.concurrency or settings().s3_streams),
    )  # fmt: skip


def _is_folder(text: str, place: Location) -> bool:
    if isinstance(place, S3Location):
        return text.endswith("/") or not place.key
    with explained_file(place):
        return text.endswith("/") or place.is_dir()


def _full(location: Location) -> Location:
    return location.absolute() if isinstance(location, Path) else location

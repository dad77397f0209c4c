"""Settings of one machine, from `REELMILL_*` environment variables. A job's own choices are in its profile."""

from __future__ import annotations

import os
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    field_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from reelmill.fan_out_settings import FanOutSettings
from reelmill.formats import FormatName

MOST_WORKERS = 1024
"""More than any machine has cores, and few enough to be started."""


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelmill"


def _home_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "reelmill"


def _default_work_dir() -> str:
    return str(_cache_dir())


class StoreSettings(BaseModel):
    """An object store besides the default one. It holds no keys: they come from a block, a profile or boto3's chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = None
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    credentials_block: str | None = None
    profile: str | None = None
    """A profile of boto3's own files, `~/.aws/config` and `~/.aws/credentials`."""


StoreName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,32}$")]


class Settings(FanOutSettings):
    """What may differ from machine to machine; a job gives the same result under any of it."""

    model_config = SettingsConfigDict(env_prefix="REELMILL_", frozen=True, extra="ignore")

    ffmpeg: Path | None = Field(default=None, description="ffmpeg to run; the one of the lock file when unset")
    work_dir: str = Field(
        default_factory=_default_work_dir,
        description="Folder or `s3://bucket/prefix` of unfinished work; one that all machines reach lets them share it",
    )
    scratch_dir: Path = Field(
        default_factory=_cache_dir, description="Folder of this machine for files in the making, also with S3"
    )
    home_dir: Path = Field(
        default_factory=_home_dir,
        description="Folder of `reelmill up`: Prefect's database, logs, and results of jobs that say no full path",
    )
    catalog_url: SecretStr | None = Field(
        default=None,
        description="Where jobs are catalogued: `sqlite:///path/of/file` or `postgresql+psycopg://user:password@host/"
        "name`; the file `catalog.db` in `REELMILL_HOME_DIR` when unset",
    )
    price_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="Currency of the prices")
    price_vcpu_s: Annotated[Decimal, Field(ge=0, le=1000)] = Field(
        default=Decimal(0), description="Price of a vCPU for a second"
    )
    price_moved_gb: Annotated[Decimal, Field(ge=0, le=1000)] = Field(
        default=Decimal(0), description="Price of a GB (10^9 bytes) read from a bucket or written to one"
    )
    price_stored_gb: Annotated[Decimal, Field(ge=0, le=1000)] = Field(
        default=Decimal(0), description="Price of a GB of results, kept for a month"
    )
    price_requests_1000: Annotated[Decimal, Field(ge=0, le=1000)] = Field(
        default=Decimal(0), description="Price of a thousand requests to an object store, counted for transfers"
    )
    keep_unfinished: bool | None = Field(
        default=None,
        description="Keep the finished pieces of a job that failed or was cancelled for its next run; "
        "when unset, in a folder yes, in a bucket no",
    )
    source_root: str | None = Field(
        default=None, description="Folder or `s3://bucket/prefix` that every source must be in; anywhere when unset"
    )
    output_root: str | None = Field(
        default=None,
        description="Folder or `s3://bucket/prefix` that every output must be in, and the default for outputs; "
        "anywhere when unset",
    )
    workers: PositiveInt = Field(
        default_factory=_usable_cores,
        le=MOST_WORKERS,
        description=f"ffmpeg processes at once on a machine, {MOST_WORKERS} at most",
    )
    segment_s: PositiveFloat = Field(default=30.0, description="Length aimed at for a segment, in seconds")
    max_encode_tasks: PositiveInt = Field(
        default=1000, description="Most encode tasks of one job (segments x renditions)"
    )
    bulk_from_gb: NonNegativeFloat = Field(
        default=8.0,
        description="A submitted job whose sources have at least this size, in GB (10^9 bytes), goes to the queue "
        "`bulk` when no queue is named, so that short ones need not wait for it",
    )
    pool_jobs: PositiveInt | None = Field(
        default=None,
        description="Jobs at once of all workers of the work pool together; as it is on the server when unset",
    )
    bulk_jobs: PositiveInt | None = Field(
        default=None,
        description="Of these, how many at most from the queue `bulk`; as it is on the server when unset. "
        "`reelmill up` leaves one of its jobs to the other queues",
    )
    retries: NonNegativeInt = Field(
        default=3, description="Times a task is tried again after ffmpeg or the object store failed"
    )
    stall_timeout_s: PositiveFloat = Field(
        default=120.0, description="Seconds without progress before ffmpeg is killed"
    )
    probe_timeout_s: PositiveFloat = Field(
        default=30.0, description="Seconds without progress before probing is given up"
    )
    niceness: NonNegativeInt = Field(default=5, description="Niceness of ffmpeg, 0 to 19")
    font_file: Path | None = Field(
        default=None, description="TrueType or OpenType font of texts laid over a video; Open Sans when unset"
    )
    max_pixels: PositiveInt = Field(default=8192 * 8192, description="Most pixels of one picture")
    max_duration_s: PositiveFloat = Field(default=48 * 3600.0, description="Longest source, in seconds")
    max_gap_s: PositiveFloat = Field(default=3600.0, description="Longest time between two frames, in seconds")
    max_frame_rate: PositiveFloat = Field(default=1000.0, description="Most frames a second")
    max_streams: PositiveInt = Field(default=128, description="Most streams of a source")
    max_channels: PositiveInt = Field(default=64, description="Most channels of an audio track")
    max_outputs: PositiveInt = Field(default=64, description="Most outputs of a job")
    s3_endpoint_url: str | None = Field(
        default=None, description="Address of the S3 server; that of AWS, or `AWS_ENDPOINT_URL`, when unset"
    )
    s3_region: str | None = Field(default=None, description="Region of the buckets; `AWS_DEFAULT_REGION` when unset")
    s3_addressing: Literal["auto", "path", "virtual"] = Field(
        default="auto", description="Where the bucket's name goes: in the path, or in the host's name"
    )
    s3_checksums: Literal["when_required", "when_supported"] = Field(
        default="when_required", description="Whether boto3 adds checksums of its own; some servers refuse them"
    )
    s3_credentials_block: str | None = Field(
        default=None,
        description="Name of a Prefect block of the type `reelmill-s3-credentials`; boto3's own chain when unset",
    )
    stores: dict[StoreName, StoreSettings] = Field(
        default_factory=dict[str, StoreSettings],
        description="Other object stores by name, as JSON: "
        '`{"archive": {"endpoint_url": ..., "region": ..., "addressing": ..., "credentials_block": ..., '
        '"profile": ...}}`, all but the name may be left out. Their addresses are `s3+archive://bucket/key`',
    )
    s3_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Buckets that may be used, with commas between them; all when unset"
    )
    s3_attempts: PositiveInt = Field(default=6, description="Times a request is made before it counts as failed")
    s3_timeout_s: PositiveFloat = Field(default=30.0, description="Seconds without an answer before a request is lost")
    s3_streams: PositiveInt = Field(default=8, description="Requests at once for one file")
    s3_part_mib: PositiveInt = Field(default=16, ge=5, le=5120, description="Size of a part of an upload, in MiB")
    s3_read_twice: bool | None = Field(
        default=None,
        description="Read each range of a source twice and compare, since S3 has no checksum for ranges; "
        "when unset, where the connection isn't TLS",
    )
    source_cache_mib: PositiveInt = Field(
        default=8192, description="Most room on this machine's disk for what was read of one source, in MiB"
    )

    intake_inbox: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Folders and `s3://bucket/prefix` addresses whose uploads are encoded, with commas between them",
    )
    intake_suffixes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(
            "mp4", "m4v", "mov", "mkv", "webm", "avi", "flv", "ts", "m2ts", "mts", "mpg", "mpeg", "mxf", "3gp", "wmv",
            "ogv",
        ),
        description="Endings of the names of uploads that count, whatever their case",
    )  # fmt: skip
    intake_profile: str | None = Field(default=None, description="Profile of the jobs that uploads make")
    intake_formats: Annotated[tuple[FormatName, ...], NoDecode] = Field(
        default=(), description="Formats of the jobs that uploads make; the profile's own when unset"
    )
    intake_settle_s: NonNegativeFloat = Field(
        default=10.0, description="Seconds that a file in a folder must be unchanged before it counts as complete"
    )
    intake_watch_s: PositiveFloat = Field(default=2.0, description="Seconds between two looks into a watched folder")
    intake_queue_url: str | None = Field(default=None, description="URL of the SQS queue that notifications come by")
    intake_dead_letters: str | None = Field(
        default=None,
        description="Folder or `s3://bucket/prefix` for messages that nobody can use; "
        "`dead-letters` in `REELMILL_WORK_DIR` when unset",
    )
    intake_token: SecretStr | None = Field(
        default=None, description="Secret that who pushes notifications by HTTP must show; nobody may when unset"
    )
    intake_sweep_cron: str = Field(
        default="*/15 * * * *",
        description="When the inboxes are swept, as a cron expression: "
        "`5 10,12,16,18 * * 1-5` is five minutes after lectures that end at 10, 12, 16 and 18 o'clock",
    )
    intake_sweep_timezone: str = Field(
        default="UTC", description="Time zone of that expression, such as `Europe/Berlin`"
    )
    mirror_source: str | None = Field(
        default=None,
        description="Folder or `s3://bucket/prefix` that is copied elsewhere, by a schedule and as notifications come",
    )
    mirror_destination: str | None = Field(
        default=None, description="Where it is copied to; what is there with another content is replaced"
    )
    mirror_cron: str = Field(
        default="0 3 * * *", description="When, as a cron expression in `REELMILL_INTAKE_SWEEP_TIMEZONE`"
    )
    intake_host: str = Field(default="127.0.0.1", description="Address that notifications may be pushed to by HTTP")
    intake_port: NonNegativeInt = Field(default=4280, le=65535, description="Port of that address; any when 0")

    post_process: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Functions that are called after each job, with commas between them: `package.module:function`, "
        "or names of entry points in the group `reelmill.post_process`",
    )
    callback_url: str | None = Field(
        default=None, description="Address that every job tells of its progress and its end, unless it names its own"
    )
    callback_secret: SecretStr | None = Field(
        default=None, description="Secret that callbacks are signed with; nobody is called when unset"
    )
    callback_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts, or `host:port`, that callbacks may go to by http and inside your own network, with commas "
        "between them; only https to public addresses when unset",
    )
    callback_every_s: PositiveFloat = Field(default=30.0, description="Seconds between two callbacks of progress")
    alarm_webhook: SecretStr | None = Field(
        default=None,
        description="URL that alarms are sent to by POST, as JSON with `subject` and `body`; alarms are only "
        "seen in Prefect's pages when neither this nor a block is set",
    )
    alarm_block: str | None = Field(
        default=None,
        description="Notification block of Prefect that alarms go to instead, such as `slack-webhook/ops` "
        "or `sendgrid-email/ops`",
    )

    @property
    def tasks_at_once(self) -> int:
        """How many tasks of a job run at once, unless the job says it."""
        return self.workers if self.fan_out == "threads" else self.dask_maximum

    @field_validator(
        "post_process",
        "callback_hosts",
        "s3_buckets",
        "intake_inbox",
        "intake_suffixes",
        "intake_formats",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(each.strip() for each in value.split(",") if each.strip()) if isinstance(value, str) else value


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Read the settings once per process."""
    return Settings()

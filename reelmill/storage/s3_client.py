"""The boto3 client of this process, and its errors in our words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from urllib3.exceptions import HTTPError

from reelmill.errors import (
    BucketNotFound,
    NotEnoughSpace,
    ReelmillError,
    SourceNotFound,
    StoreAccessDenied,
    StoreConflict,
    StoreFailed,
    StoreThrottled,
    StoreUnreachable,
    WrongRegion,
)
from reelmill.settings import settings
from reelmill.storage.s3_credentials import load_credentials

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CODES: dict[type[ReelmillError], tuple[str, ...]] = {
    BucketNotFound: ("NoSuchBucket",),
    SourceNotFound: ("NoSuchKey", "NoSuchVersion", "404", "NotFound"),
    StoreAccessDenied: (
        "AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId",
        "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "401", "InvalidObjectState",
        "RequestTimeTooSkewed",
    ),
    WrongRegion: (
        "PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
        "TemporaryRedirect", "307", "308",
    ),
    StoreThrottled: (
        "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "429", "503",
        "ServiceUnavailable", "RequestThrottled", "BandwidthLimitExceeded",
    ),
    StoreConflict: ("PreconditionFailed", "412", "ConditionalRequestConflict", "OperationAborted"),
    NotEnoughSpace: ("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507", "EntityTooLarge"),
}  # fmt: skip
_BY_CODE = {code: kind for kind, codes in _CODES.items() for code in codes}


def client() -> S3Client:
    """Return the client of this process; it may be used from all its threads."""
    return _client()


def forget_client() -> None:
    """Have the next client made by the settings and the environment as they are then."""
    _client.cache_clear()


@lru_cache(maxsize=1)
def _client() -> S3Client:
    wanted = settings()
    retries: Any = {"mode": "standard", "total_max_attempts": wanted.s3_attempts}
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": wanted.s3_addressing},
        retries=retries,
        connect_timeout=min(wanted.s3_timeout_s, 10.0),
        read_timeout=wanted.s3_timeout_s,
        max_pool_connections=4 * wanted.s3_streams + 2 * wanted.workers,
        request_checksum_calculation=wanted.s3_checksums,
        response_checksum_validation=wanted.s3_checksums,
        user_agent_extra="reelmill",
    )
    credentials: Any = load_credentials(wanted.s3_credentials_block) if wanted.s3_credentials_block else {}
    with explained("the S3 client"):
        session = boto3.Session(region_name=wanted.s3_region, **credentials)
        return session.client("s3", endpoint_url=wanted.s3_endpoint_url, config=config)


def reads_twice() -> bool:
    """Whether ranges of a source are read twice: by setting, else where nothing else guards their bytes on the way."""
    wanted = settings().s3_read_twice
    return wanted if wanted is not None else client().meta.endpoint_url.startswith("http://")


@contextmanager
def explained(what: str) -> Generator[None]:
    """Turn boto3's errors into ours; `what` begins the message."""
    try:
        yield
    except ClientError as error:
        raise _by_code(what, error) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise StoreAccessDenied(f"{what}: {error}") from error
    except NoRegionError as error:
        raise WrongRegion(f"{what}: no region is set; set REELMILL_S3_REGION or AWS_DEFAULT_REGION") from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise StoreUnreachable(f"{what}: {error}") from error
    except (HTTPClientError, BotoCoreError, HTTPError, OSError) as error:
        raise StoreFailed(f"{what}: {error}") from error


def code_of(error: ClientError) -> str:
    """Return the S3 error code, or the HTTP status where the answer had no body."""
    answer = cast("dict[str, Any]", error.response)
    return str(answer.get("Error", {}).get("Code") or answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def _by_code(what: str, error: ClientError) -> ReelmillError:
    code = code_of(error)
    answer = cast("dict[str, Any]", error.response)
    status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    kind = _BY_CODE.get(code) or _BY_CODE.get(status) or StoreFailed
    tries = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    said = answer.get("Error", {}).get("Message") or ""
    after = f", after {tries + 1} tries" if tries else ""
    region = answer.get("Error", {}).get("Region") or (answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})).get(
        "x-amz-bucket-region"
    )
    where = f"; the bucket is in {region}" if kind is WrongRegion and region else ""
    hint = "; check the credentials and what they are allowed" if kind is StoreAccessDenied else ""
    return kind(f"{what}: {code}{f' ({said})' if said and said != code else ''}{where}{hint}{after}")


def server_time(answer: Any) -> datetime:
    """Return when the server answered: ages are told by its clock, not by ours."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)

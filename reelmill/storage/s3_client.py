"""The S3 client of this process, and its errors in our words.

It is the client that boto3 gives, made by the core that boto3 is made of: boto3's own transfer manager is not used, and
loading it would cost every process 3 MB.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.auth import S3SigV4Auth
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from botocore.handlers import validate_ascii_metadata
from botocore.httpsession import get_cert_path
from botocore.loaders import create_loader
from urllib3.exceptions import HTTPError

from reelmill.errors import (
    BucketNotFound,
    InvalidParameter,
    NotEnoughSpace,
    ReelmillError,
    SourceArchived,
    SourceNotFound,
    StoreAccessDenied,
    StoreConflict,
    StoreFailed,
    StoreThrottled,
    StoreUnreachable,
    UploadGone,
    WrongRegion,
)
from reelmill.settings import StoreSettings, settings
from reelmill.storage.s3_credentials import load_credentials

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CODES: dict[type[ReelmillError], tuple[str, ...]] = {
    BucketNotFound: ("NoSuchBucket",),
    SourceNotFound: ("NoSuchKey", "NoSuchVersion", "404", "NotFound"),
    SourceArchived: ("InvalidObjectState",),
    UploadGone: ("NoSuchUpload",),
    StoreAccessDenied: (
        "AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId",
        "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "401",
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


_making = threading.RLock()
"""A session of botocore reads its files once, and is half read for others meanwhile: they know no profile then."""


def client(store: str = "") -> S3Client:
    """Return this process's client of a named store, or of the default one; all its threads may use it."""
    with _making:
        return _client(store)


def signer(store: str = "") -> S3SigV4Auth:
    """Return what signs requests as the client of that store does, with its credentials."""
    with explained("the S3 client"), _making:
        credentials = _session(store).get_credentials()
        if credentials is None:
            raise NoCredentialsError
    return S3SigV4Auth(credentials, "s3", client(store).meta.region_name)


def is_one_account(first: str, second: str) -> bool:
    """Whether two stores are one server, asked with the same credentials."""
    if first == second:
        return True
    if client(first).meta.endpoint_url != client(second).meta.endpoint_url:
        return False
    keys = [signer(each).credentials.access_key for each in (first, second)]
    return keys[0] == keys[1]


def forget_client() -> None:
    """Have the next client made by the settings and the environment as they are then."""
    _client.cache_clear()
    _session.cache_clear()


@lru_cache(maxsize=64)
def _client(name: str) -> S3Client:
    wanted, store = settings(), store_settings(name)
    retries: Any = {"mode": "standard", "total_max_attempts": wanted.s3_attempts}
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": store.addressing},
        retries=retries,
        connect_timeout=min(wanted.s3_timeout_s, 10.0),
        read_timeout=wanted.s3_timeout_s,
        max_pool_connections=4 * wanted.s3_streams + 2 * wanted.workers,
        request_checksum_calculation=wanted.s3_checksums,
        response_checksum_validation=wanted.s3_checksums,
        user_agent_extra="reelmill",
    )
    with explained("the S3 client"):
        made: Any = _session(name).create_client(
            "s3", region_name=store.region, endpoint_url=store.endpoint_url, config=config
        )
        for operation in ("PutObject", "CreateMultipartUpload"):  # it would refuse what other clients have written
            made.meta.events.unregister(f"before-parameter-build.s3.{operation}", validate_ascii_metadata)
        return made


@lru_cache(maxsize=64)
def _session(name: str) -> botocore.session.Session:
    store = store_settings(name)
    with explained("the S3 client"):
        made = botocore.session.Session(profile=store.profile)
        made.register_component("data_loader", _service_models())
        if store.credentials_block:
            made.set_credentials(*load_credentials(store.credentials_block))
        return made


@lru_cache(maxsize=1)
def _service_models() -> Any:
    """Return botocore's descriptions of S3, which take more memory than anything else: one for all clients."""
    return create_loader()


def store_settings(name: str) -> StoreSettings:
    """Return what is set for a named store; for the default one, whose name is empty, the settings `s3_...`."""
    wanted = settings()
    if name:
        return wanted.stores[name]
    return StoreSettings(
        endpoint_url=wanted.s3_endpoint_url, region=wanted.s3_region, addressing=wanted.s3_addressing,
        credentials_block=wanted.s3_credentials_block,
    )  # fmt: skip


def reads_twice(store: str = "") -> bool:
    """Whether ranges of a source are read twice: by setting, else where nothing else guards their bytes on the way."""
    wanted = settings().s3_read_twice
    return wanted if wanted is not None else client(store).meta.endpoint_url.startswith("http://")


def authorities_file() -> str:
    """Return the file of the certificate authorities that boto3 goes by: AWS_CA_BUNDLE, `ca_bundle`, or certifi's."""
    named: Any = botocore.session.Session().get_config_variable("ca_bundle")
    return str(named or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True))  # pyright: ignore[reportUnknownArgumentType]


@contextmanager
def explained(what: str) -> Generator[None]:
    """Turn boto3's errors into ours; `what` begins the message."""
    try:
        yield
    except ClientError as error:
        raise _by_code(what, error) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise StoreAccessDenied(f"{what}: {error}") from error
    except ParamValidationError as error:  # botocore sends nothing of the kind
        raise InvalidParameter(f"{what}: {error}") from error
    except NoRegionError as error:
        raise WrongRegion(f"{what}: no region is set; set REELMILL_S3_REGION or AWS_DEFAULT_REGION") from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise StoreUnreachable(f"{what}: {error}") from error
    except SSLError as error:
        raise StoreUnreachable(f"{what}: {error}; AWS_CA_BUNDLE names the file of the authorities to trust") from error
    except (HTTPClientError, BotoCoreError, HTTPError, OSError) as error:
        raise StoreFailed(f"{what}: {error}") from error


def code_of(error: ClientError) -> str:
    """Return the S3 error code, or the HTTP status where the answer had no body."""
    answer = cast("dict[str, Any]", error.response)
    return str(answer.get("Error", {}).get("Code") or answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def error_of(what: str, code: str, status: str, said: str = "", details: str = "") -> ReelmillError:
    """Return the error for what a server answered: the code of S3, the HTTP status, and its own words."""
    kind = _BY_CODE.get(code) or _BY_CODE.get(status) or StoreFailed
    hint = "; check the credentials and what they are allowed" if kind is StoreAccessDenied else ""
    return kind(f"{what}: {code}{f' ({said})' if said and said != code else ''}{hint}{details}")


def _by_code(what: str, error: ClientError) -> ReelmillError:
    answer = cast("dict[str, Any]", error.response)
    code, told = code_of(error), answer.get("ResponseMetadata", {})
    status = str(told.get("HTTPStatusCode", ""))
    tries = told.get("RetryAttempts", 0)
    after = f", after {tries + 1} tries" if tries else ""
    region = answer.get("Error", {}).get("Region") or told.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    is_elsewhere = WrongRegion in (_BY_CODE.get(code), _BY_CODE.get(status))
    where = f"; the bucket is in {region}" if is_elsewhere and region else ""
    return error_of(what, code, status, answer.get("Error", {}).get("Message") or "", f"{where}{after}")


def server_time(answer: Any) -> datetime:
    """Return when the server answered: ages are told by its clock, not by ours."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)

"""Real S3 servers: ministack, which comes with the packages of the tests, and Ceph, which has to be installed.

Each runs on free ports of 127.0.0.1, with its data and logs in a folder of its own, and is gone with the block.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config

from tests.one_node_ceph import OneNodeCeph
from tests.server_processes import answers, free_port, server_process

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_REGION = "us-east-1"
_ALLOW_ALL = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})


@dataclass(frozen=True)
class S3Server:
    """A running server and a key pair that it lets in."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    folder: Path
    """Where it keeps everything."""
    pids: tuple[int, ...]
    region: str = _REGION

    def client(self, *, service: str = "s3", endpoint_url: str | None = None, **config: Any) -> S3Client:
        """Return a client that asks once and never again, by path and signature 4, with no checksums of its own.

        `service` may be another one that the server has, such as sqs. `endpoint_url` is where it goes instead, such as
        a proxy; `config` goes to botocore's Config. Close it.
        """
        return _client(service, endpoint_url or self.endpoint_url, self.access_key, self.secret_key, **config)

    def env(self, *, endpoint_url: str | None = None) -> dict[str, str]:
        """Return what to add to the environment of a process that is to use this server, or a proxy before it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "REELMILL_S3_ENDPOINT_URL": endpoint_url or self.endpoint_url,
        }


@contextmanager
def ministack_server() -> Iterator[S3Server]:
    """Run ministack, which is ready in half a second and keeps every object in memory: store less than 500 MB in it.

    It never looks at the secret of its root key, so the key pair is that of a user who may do everything.
    """
    root_key, root_secret, port = "root", secrets.token_hex(20), free_port()
    with TemporaryDirectory(prefix="ministack-", ignore_cleanup_errors=True) as folder:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TMPDIR": folder,
            "STATE_DIR": f"{folder}/state",
            "S3_DATA_DIR": f"{folder}/s3",
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": root_key,
            "AWS_SECRET_ACCESS_KEY": root_secret,
            "IOT_MTLS_ENABLED": "0",  # would listen on every address
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{folder}/no-docker",
            "LOG_LEVEL": "WARNING",
        }
        with server_process([sys.executable, "-m", "ministack"], log=Path(folder) / "log", env=env) as server:
            server.wait_until(lambda: answers(port))
            endpoint_url = f"http://127.0.0.1:{port}"
            with closing(_client("iam", endpoint_url, root_key, root_secret)) as iam:
                iam.create_user(UserName="reelmill")
                iam.put_user_policy(UserName="reelmill", PolicyName="everything", PolicyDocument=_ALLOW_ALL)
                key = iam.create_access_key(UserName="reelmill")["AccessKey"]
            yield S3Server(endpoint_url, key["AccessKeyId"], key["SecretAccessKey"], Path(folder), (server.pid,))


@contextmanager
def ceph_server(*, size_gb: int = 20) -> Iterator[S3Server]:
    """Run a Ceph that has room for `size_gb` on disk. ServerFailed when programs of it are missing."""
    key, secret = "reelmill", secrets.token_hex(20)
    with TemporaryDirectory(prefix="ceph-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        ceph = OneNodeCeph(Path(folder), stack, size_gb=size_gb)
        ceph.start()
        ceph.add_user(key, secret)
        yield S3Server(f"http://127.0.0.1:{ceph.gateway_port}", key, secret, Path(folder), tuple(ceph.pids))


def _client(service: str, endpoint_url: str, access_key: str, secret_key: str, **config: Any) -> Any:
    settings: dict[str, Any] = {
        "signature_version": "s3v4" if service == "s3" else "v4",
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "retries": {"total_max_attempts": 1},
        "proxies": {},  # none of the environment's either
        "s3": {"addressing_style": "path"},
    }
    return Session().client(
        service,
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=_REGION,
        config=Config(**settings | config),
    )

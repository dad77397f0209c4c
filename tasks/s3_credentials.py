"""Credentials for the object store out of a Prefect block, for workers that have none of their own.

The block holds what boto3's own chain would find; where that finds something, no block is needed.
"""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from reelmill.errors import StoreAccessDenied
from reelmill.storage.s3_credentials import Keys, load_credentials_with


class S3Credentials(Block):
    """Keys for an S3 server, encrypted in Prefect's database. The setting `s3_credentials_block` names one."""

    _block_type_name = "Reelmill S3 credentials"
    _block_type_slug = "reelmill-s3-credentials"

    access_key_id: SecretStr = Field(description="Access key id")
    secret_access_key: SecretStr = Field(description="Secret access key")
    session_token: SecretStr | None = Field(default=None, description="Session token, for temporary keys")


def load_s3_credentials(name: str) -> Keys:
    """Return the keys of the block called `name`. Raises StoreAccessDenied where there is none."""
    try:
        block = S3Credentials.load(name)
    except ValueError as error:
        raise StoreAccessDenied(f"the Prefect block {name} can't be loaded: {error}") from error
    assert isinstance(block, S3Credentials)
    token = block.session_token
    return Keys(
        block.access_key_id.get_secret_value(),
        block.secret_access_key.get_secret_value(),
        token.get_secret_value() if token else None,
    )


load_credentials_with(load_s3_credentials)

"""A worker without keys of its own takes them from a Prefect block."""

from __future__ import annotations

import pytest

from reelmill.errors import StoreAccessDenied
from reelmill.storage.location import S3Location
from reelmill.storage.opening import open_store
from tests.s3_servers import S3Server
from tests.stores import new_bucket, using

pytestmark = pytest.mark.slow


def test_keys_come_from_the_block_that_the_setting_names(
    ministack: S3Server, prefect_server: str, monkeypatch: pytest.MonkeyPatch
):
    from tasks.s3_credentials import S3Credentials

    keys = {"access_key_id": ministack.access_key, "secret_access_key": ministack.secret_key}
    S3Credentials.model_validate(keys).save("lectures", overwrite=True)
    place = new_bucket(ministack)
    with using(ministack, monkeypatch, REELMILL_S3_CREDENTIALS_BLOCK="lectures"):
        without_keys(monkeypatch)
        store = open_store(S3Location(place.bucket, "a"))
        store.write("b", b"x")
        assert store.read("b") == b"x"


def test_block_that_is_not_there_is_said_so(ministack: S3Server, prefect_server: str, monkeypatch: pytest.MonkeyPatch):
    with using(ministack, monkeypatch, REELMILL_S3_CREDENTIALS_BLOCK="nothing"):
        without_keys(monkeypatch)
        with pytest.raises(StoreAccessDenied, match="nothing"):
            open_store(new_bucket(ministack)).read("b")


def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

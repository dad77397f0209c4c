"""Two quick servers, of which one is a named store."""

from __future__ import annotations

from tests.two_store_fixtures import far, other_ministack, s3_clients, source, stores

__all__ = ["far", "other_ministack", "s3_clients", "source", "stores"]

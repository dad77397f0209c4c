"""The base of models that are values."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of the value models: immutable, and strict about what they hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

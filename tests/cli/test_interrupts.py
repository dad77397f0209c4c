"""^C ends a job whatever the code that it hits makes of it."""

from __future__ import annotations

import signal

import pytest
from pydantic import BaseModel, field_serializer

from cli.progress_view import lasting_interrupt


class Written(BaseModel):
    """What ^C hits while it is written, as the settings are that go with a task to Dask."""

    name: str = ""

    @field_serializer("name")
    def write(self, name: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return name


def test_interrupt_that_became_another_error_is_one():
    with pytest.raises(KeyboardInterrupt), lasting_interrupt():
        Written().model_dump()


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="theirs"), lasting_interrupt():
        raise ValueError("theirs")

"""Jobs that are refused before anything is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelmill.errors import JobRejected
from reelmill.job import TranscodeJob
from reelmill.preparing import accept_job
from reelmill.settings import settings


def refusal(expected: type[JobRejected], **fields: object) -> str:
    """Return the message of the error, which must be of exactly this class, one line, and leave nothing."""
    with pytest.raises(JobRejected) as caught:
        accept_job(TranscodeJob.model_validate(fields))
    message = str(caught.value)
    assert type(caught.value) is expected, message
    assert message
    assert message.isprintable()
    assert not Path(settings().work_dir).exists()
    assert not settings().scratch_dir.exists()
    return message

"""The steps that make pictures: take stills from the source, and make one kind of picture of them."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from reelmill.manifest import PictureReport
from reelmill.media.source import Source
from reelmill.pictures.making import make_pictures as make_set
from reelmill.pictures.stills import take_stills as take
from reelmill.planning.picture_plan import PictureSet, PicturesPlan, Stills
from reelmill.publishing import draft_at_hand
from reelmill.records import StillsRecord
from reelmill.storage.at_once import at_once
from reelmill.storage.store import Draft, Staged
from reelmill.workspace import Workspace
from tasks.retrying import RETRY


@task(name="stills", task_run_name="stills-{stills.number:05d}", cache_policy=NO_CACHE, **RETRY)
def take_stills(
    source: Source, pictures: PicturesPlan, stills: Stills, workspace: Workspace, attempt: str
) -> StillsRecord:
    """Take frames from the source for all pictures, unless an earlier run did; the workspace keeps them."""
    return take(source, pictures, stills, workspace=workspace, attempt=attempt)


@task(name="pictures", task_run_name="pictures-{pictures.kind}", cache_policy=NO_CACHE, **RETRY)
def make_pictures(
    pictures: PictureSet, stills: list[StillsRecord], workspace: Workspace, draft: Draft, attempt: str
) -> tuple[PictureReport, tuple[Staged, ...]]:
    """Make one kind of pictures, open them again, and have them ready to be published."""
    with draft_at_hand(draft) as mine:
        out = mine.folder / pictures.file_name
        report = make_set(pictures, stills, workspace=workspace, out=out, attempt=attempt)
        return report, tuple(at_once(lambda each: mine.stage(each.file_name, each.sha256), report.stored))

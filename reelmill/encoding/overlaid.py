"""Opens what is laid over the frames of a rendition."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from reelmill.encoding.subtitle_script import script_text
from reelmill.media.fonts import font_family, font_file, refuse_other_font
from reelmill.planning.plan import PlannedSubtitles, VideoRendition
from reelmill.storage.pinning import opened
from reelmill.storage.readable import Readable
from reelmill.workspace import Workspace, scratch_folder


@dataclass(frozen=True)
class DrawnSubtitles:
    """The script that is drawn, and a folder with the one font that it may use."""

    script: Path
    fonts: Path


@dataclass(frozen=True)
class Overlaid:
    """The images of a rendition's overlays, in order, the file of the font of its texts, and its subtitles."""

    images: tuple[Readable, ...] = ()
    font: Path | None = None
    subtitles: DrawnSubtitles | None = None


@contextmanager
def overlaid(rendition: VideoRendition, workspace: Workspace) -> Generator[Overlaid]:
    """Open it for as long as the block runs.

    Raises SourceChanged where an image is not the plan's, InvalidWatermark where the font is not, StoreFailed.
    """
    planned = rendition.subtitles
    fonts = [each.font for each in rendition.overlays if each.font is not None]
    for each in (*fonts, *([planned.font] if planned else [])):
        refuse_other_font(each)
    with ExitStack() as stack:
        images = [stack.enter_context(opened(each.image.pinned)) for each in rendition.overlays if each.image]
        drawn = None if planned is None else stack.enter_context(_drawn(planned, rendition, workspace))
        yield Overlaid(tuple(images), font_file() if fonts else None, drawn)


@contextmanager
def _drawn(planned: PlannedSubtitles, rendition: VideoRendition, workspace: Workspace) -> Generator[DrawnSubtitles]:
    subtitles = workspace.load_subtitles(planned.digest)
    with scratch_folder() as folder:
        drawn = drawn_in(folder)
        drawn.script.write_text(script_text(subtitles, planned, rendition.size[1], font_family()), encoding="utf-8")
        drawn.fonts.mkdir()
        (drawn.fonts / font_file().name).symlink_to(font_file().absolute())
        yield drawn


def drawn_in(folder: Path) -> DrawnSubtitles:
    """Return where the subtitles and their font lie in a folder."""
    return DrawnSubtitles(folder / "subtitles.ass", folder / "fonts")

"""Opens what is laid over the frames of a rendition."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from reelmill.media.fonts import font_file, refuse_other_font
from reelmill.planning.plan import VideoRendition
from reelmill.storage.pinning import opened
from reelmill.storage.readable import Readable


@dataclass(frozen=True)
class Overlaid:
    """The images of a rendition's overlays, in order, and the file of the font of its texts."""

    images: tuple[Readable, ...] = ()
    font: Path | None = None


@contextmanager
def overlaid(rendition: VideoRendition) -> Generator[Overlaid]:
    """Open it for as long as the block runs.

    Raises SourceChanged where an image is not the plan's, InvalidWatermark where the font is not, StoreFailed.
    """
    fonts = [each.font for each in rendition.overlays if each.font is not None]
    for each in fonts:
        refuse_other_font(each)
    with ExitStack() as stack:
        images = [stack.enter_context(opened(each.image.pinned)) for each in rendition.overlays if each.image]
        yield Overlaid(tuple(images), font_file() if fonts else None)

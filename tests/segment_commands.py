"""What the tests of argv have in common: the source, and its plan in three segments."""

from pathlib import Path
from typing import Any

from reelmill.formats import FormatName
from reelmill.media.source import Source
from reelmill.planning.plan import Plan
from reelmill.storage.readable import Loopback
from tests.made_sources import made_plan

QUIET = ["-y", "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-nostats", "-progress", "pipe:1"]
MEDIA = Path("/media/in.mp4")
SERVED = Loopback("http://127.0.0.1:8000/secret", "in.mp4")
NO_TAGS = ["-map_chapters", "-1", "-map_metadata", "-1"]


def planned(source: Source, format: FormatName = "mp4", segment_s: float = 20, **video: Any) -> Plan:
    """A minute in three segments: frames 0 to 499, 500 to 999 and 1000 to 1499, all begun by a keyframe."""
    return made_plan(source, [format], {"video": video}, segment_s=segment_s)


def served(argv: list[str]) -> list[str]:
    """The same argv when the source is read from this machine's server: it may open nothing else, and no file."""
    protocols = argv.index("-protocol_whitelist") + 1
    address = argv.index("-i") + 1
    argv = [*argv]
    argv[protocols], argv[address] = "http,tcp", "http://127.0.0.1:8000/secret"
    return argv

"""What ffmpeg reads beside its argv: the list of pieces to join, metadata, and times."""

from array import array
from fractions import Fraction
from pathlib import Path

import pytest

from reelmill.encoding.argv import seconds
from reelmill.encoding.mux_commands import join_list_text, metadata_text
from reelmill.media.frame_index import EntryPoint, FrameIndex
from reelmill.media.source import Chapter
from reelmill.planning.plan import VideoRendition
from reelmill.planning.segments import segments_of
from tests.made_sources import late_source, made_plan, made_source


def ntsc_pieces(count: int) -> tuple[VideoRendition, list[Path]]:
    """A rendition in `count` segments of one frame of 1001/30000 s each, and names for its pieces."""
    time_base = Fraction(1001, 30_000)
    index = FrameIndex(time_base, array("q", range(count)), (EntryPoint(0, True),), 1, "packets")
    segments = segments_of(index, range(1, count))
    rendition = (
        made_plan(made_source(), ["mp4"]).video[0].model_copy(update={"time_base": time_base, "segments": segments})
    )
    return rendition, [Path(f"/pieces/{number}.mp4") for number in range(count)]


def test_join_list_names_pieces_in_order_with_exact_durations():
    rendition, pieces = ntsc_pieces(4)
    assert join_list_text(rendition, pieces) == (
        "ffconcat version 1.0\n"
        "file '0.mp4'\ninpoint 0\nduration 0.033367\n"
        "file '1.mp4'\ninpoint 0\nduration 0.033366\n"
        "file '2.mp4'\ninpoint 0\nduration 0.033367\n"
        "file '3.mp4'\ninpoint 0\n"
    )


def test_durations_of_a_thousand_pieces_add_up_without_drift():
    rendition, pieces = ntsc_pieces(1001)
    lines = join_list_text(rendition, pieces).splitlines()
    durations = [Fraction(line.removeprefix("duration ")) for line in lines if line.startswith("duration ")]
    reached = [sum(durations[:count], Fraction(0)) for count in range(1, 1001)]
    assert len(durations) == 1000
    assert max(abs(at - count * rendition.time_base) for count, at in enumerate(reached, 1)) <= Fraction(1, 2_000_000)
    assert reached[-1] == Fraction("33.366667")


def test_join_list_of_other_pieces_than_planned_is_refused():
    rendition, pieces = ntsc_pieces(4)
    with pytest.raises(ValueError, match="shorter"):
        join_list_text(rendition, pieces[:-1])


def test_metadata_escapes_what_the_format_reads_as_marks():
    source = late_source(tags={"title": "a=b; #1\\2\nc", "the=key": "é"})
    assert metadata_text(source) == ";FFMETADATA1\ntitle=a\\=b\\; \\#1\\\\2\\\nc\nthe\\=key=é\n"


def test_chapters_count_from_the_containers_start():
    chapters = (
        Chapter(start_s=Fraction(0), end_s=Fraction(7, 2), title="Opening; one"),
        Chapter(start_s=Fraction(7, 2), end_s=Fraction(25, 3), title=""),
    )
    assert metadata_text(late_source(chapters=chapters)) == (
        ";FFMETADATA1\n"
        "[CHAPTER]\nTIMEBASE=1/1000000\nSTART=0\nEND=3000000\ntitle=Opening\\; one\n"
        "[CHAPTER]\nTIMEBASE=1/1000000\nSTART=3000000\nEND=7833333\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0.000000"),
        (Fraction(1001, 30_000), "0.033367"),
        (Fraction(-1001, 30_000), "-0.033367"),
        (Fraction(-1, 10_000_000), "0.000000"),
        (Fraction(2, 3), "0.666667"),
        (Fraction(9_999_999, 10_000_000), "1.000000"),
        (Fraction(172_800), "172800.000000"),
        (Fraction(10**15, 3), "333333333333333.333333"),
    ],
)
def test_seconds_are_decimal_to_the_microsecond(value: Fraction, text: str):
    assert seconds(value) == text

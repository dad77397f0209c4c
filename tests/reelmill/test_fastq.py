"""Statistics of FASTQ: the same however the file is cut, and whatever its lines look like; and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reelmill.errors import FormatNotAllowed, RecordsInvalid, SourceChanged
from reelmill.fastq import FastqQuality, combine_counts, count_range
from reelmill.ranges import RangesJob, cut, divide_file
from reelmill.storage.pinning import pin
from tests.fastq_files import plainly, write_fastq

LENGTHS = st.integers(1, 200)


@st.composite
def records(draw: st.DrawFn, newline: str) -> str:
    """One record, whose qualities like to begin as names and third lines do."""
    bases = draw(st.text("ACGTNacgtn.", max_size=12))
    quality = draw(st.text("@+!~I", min_size=len(bases), max_size=len(bases)))
    name, again = draw(st.text("@+r 1", max_size=9)), draw(st.sampled_from(["", "r 1", "@", "+"]))
    return newline.join([f"@{name}", bases, f"+{again}", quality, ""])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    text = "".join(draw(st.lists(records(newline), max_size=12)))
    return (text.removesuffix(newline) if draw(st.booleans()) else text).encode()


def measured(content: bytes, range_bytes: int) -> FastqQuality | str:
    """Return the statistics of a file cut into ranges of a length; the code of the error where it is refused."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "reads.fastq"
        path.write_bytes(content)
        ranges = cut(pin(path), range_bytes, "fastq")
        try:
            return combine_counts("", ranges, [count_range(each, lambda _: None) for each in ranges])
        except RecordsInvalid as error:
            return error.code


@given(files(), LENGTHS)
@example(b"@1\nA\n+\n@\n@2\nC\n+\n+\n", 7)
@example(b"@1\n\n+\n\n@2\n\n+\n", 3)
def test_any_ranges_count_what_a_plain_pass_counts(content: bytes, range_bytes: int):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plain"
        path.write_bytes(content if content.endswith(b"\n") or not content else content + b"\n")
        assert measured(content, range_bytes) == plainly(path)


@given(files(), LENGTHS, st.data())
def test_file_cut_off_anywhere_is_refused_by_any_ranges_or_by_none(
    content: bytes, range_bytes: int, data: st.DataObject
):
    cut_off = content[: data.draw(st.integers(0, len(content)))]
    assert measured(cut_off, range_bytes) == measured(cut_off, 1 << 20)


@given(st.text("@+AI\n", max_size=60), LENGTHS)
def test_what_is_no_fastq_is_refused_by_any_ranges_or_by_none(text: str, range_bytes: int):
    assert measured(text.encode(), range_bytes) == measured(text.encode(), 1 << 20)


@pytest.mark.parametrize(
    "content",
    [
        b"@1\nACGT\n+\nIII",
        b"@1\nACGT\n+\n",
        b"@1\nACGT\n",
        b"@1",
        b"@1\nACGT\n+\nIIII\n\n",
        b">1\nACGT\n>2\nACGT\n",
        b"@1\nAC GT\n+\nIIIII\n",
        b"@1\nACGT\n+\nII\x80I\n",
        b"@1\nAC\nGT\n+\nII\nII\n",
        b"@1\nACGT\n+\nIIII\n@2\n",
    ],
)
@pytest.mark.parametrize("range_bytes", [1, 7, 1 << 20])
def test_what_is_not_whole_records_of_four_lines_is_refused(content: bytes, range_bytes: int):
    assert measured(content, range_bytes) == "RecordsInvalid"


def test_line_without_end_is_not_read_into_memory(tmp_path: Path):
    path = tmp_path / "reads.fastq"
    path.write_bytes(b"@1\n")
    with path.open("r+b") as file:
        file.truncate(1 << 33)  # sparse: eight GiB of zeros
    [portion] = cut(pin(path), 1 << 40, "fastq")
    with pytest.raises(RecordsInvalid):
        count_range(portion, lambda _: None)


def test_file_of_many_batches_and_ranges_counts_like_a_plain_pass(tmp_path: Path):
    path = write_fastq(tmp_path / "reads.fastq", 3 << 20)
    told: list[int] = []
    for range_bytes in (1 << 18, 1 << 30):
        ranges = cut(pin(path), range_bytes, "fastq")
        counts = [count_range(each, told.append) for each in ranges]
        assert combine_counts("", ranges, counts) == plainly(path)
    assert told[-1] == path.stat().st_size
    assert len(told) > 12 + 2


def test_long_reads_beside_short_ones_are_counted(tmp_path: Path):
    path = tmp_path / "reads.fastq"
    reads = [b"@1\n%b\n+\n%b\n" % (b"G" * length, b"I" * length) for length in (1, 40_000, 3, 2, 39_999, 5, 0)]
    path.write_bytes(b"".join(reads))
    assert measured(path.read_bytes(), 1 << 20) == plainly(path)


@pytest.mark.parametrize("name", ["reads.fastq.gz", "reads.fastq"])
def test_compressed_file_is_refused_by_its_content(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"@1\nACGT\n+\nIIII\n"))
    with pytest.raises(FormatNotAllowed, match="is compressed with gzip"):
        divide_file(RangesJob(source=str(path), output=str(tmp_path)), "fastq")


def test_file_that_was_changed_meanwhile_is_refused(tmp_path: Path):
    path = write_fastq(tmp_path / "reads.fastq", 1 << 16)
    [portion] = divide_file(RangesJob(source=str(path), output=str(tmp_path)), "fastq")
    with path.open("ab") as file:
        file.write(b"@1\nACGT\n+\nIIII\n")
    with pytest.raises(SourceChanged):
        count_range(portion, lambda _: None)


def test_keys_of_ranges_name_content_range_and_work(tmp_path: Path):
    path = write_fastq(tmp_path / "reads.fastq", 1 << 16)
    ranges = [cut(pin(path), 1 << 14, work) for work in ("fastq", "fastq", "other")]
    same, again, other = ([each.key for each in one] for one in ranges)
    assert same == again
    assert len({*same, *other}) == 2 * len(same)

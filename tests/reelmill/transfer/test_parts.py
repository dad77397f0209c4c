"""Parts cover an object once, within the limits of multipart uploads, and digests of parts fold into the whole's."""

from __future__ import annotations

import time
import zlib
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill.errors import InvalidParameter
from reelmill.storage.digests import crc32_text
from reelmill.transfer.checksums import combine_crc32, fold_crc32
from reelmill.transfer.pacing import Pacer
from reelmill.transfer.parts import (
    LARGEST_OBJECT,
    LARGEST_PART,
    MIB,
    MOST_PARTS,
    SMALLEST_PART,
    StreamRates,
    batches,
    choose_part_bytes,
    count_parts,
    parse_size,
    part_of,
    plan_parts,
    usual_part_bytes,
)

SIZES = st.one_of(st.integers(0, LARGEST_OBJECT), st.integers(0, 200 * MIB))


RATES = st.one_of(st.none(), st.floats(1, 1e10))
STREAM_RATES = st.builds(StreamRates, st.integers(1, 256), measured=RATES, allowed=RATES)


@given(SIZES, st.one_of(st.none(), st.integers(1, LARGEST_PART)), STREAM_RATES)
def test_parts_cover_the_object_once_and_stay_within_the_limits(size: int, of_source: int | None, rates: StreamRates):
    part_bytes = choose_part_bytes(size, rates, of_source=of_source)
    assert SMALLEST_PART <= part_bytes <= LARGEST_PART
    count = count_parts(size, part_bytes)
    assert 1 <= count <= MOST_PARTS
    last = part_of(count, size, part_bytes)
    assert last.end == size
    assert all(
        part_of(n, size, part_bytes).end == part_of(n + 1, size, part_bytes).start
        for n in (1, count - 1)
        if 0 < n < count
    )


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_parts_lie_end_to_end(size: int, part_bytes: int):
    parts = plan_parts(size, part_bytes)
    assert [each.number for each in parts] == list(range(1, len(parts) + 1))
    assert [each.start for each in parts] == [0, *(each.end for each in parts[:-1])]
    assert parts[-1].end == size
    assert all(each.size_bytes == part_bytes for each in parts[:-1])


@pytest.mark.parametrize(
    ("size", "of_source", "allowed", "expected"),
    [
        (2 << 30, None, None, 16 * MIB),
        (20 << 30, None, None, 64 * MIB),
        (8 << 30, None, None, 32 * MIB),
        (LARGEST_OBJECT, None, None, 525 * MIB),
        (2 << 30, 8 * MIB, None, 8 * MIB),
        (2 << 30, 5 << 30, None, 16 * MIB),  # one part would be one stream
        (2 << 30, 1 * MIB, None, 16 * MIB),  # smaller than any part may be
        (20 << 30, None, 1e6, 29 * MIB),
        (20 << 30, None, 1.0, 5 * MIB),
    ],
)
def test_size_of_parts_by_itself(size: int, of_source: int | None, allowed: float | None, expected: int):
    assert choose_part_bytes(size, StreamRates(8, allowed=allowed), of_source=of_source) == expected


@pytest.mark.parametrize(
    ("size", "of_source", "measured", "allowed", "expected"),
    [
        (20 << 30, None, 10e6, None, 48 * MIB),  # 5 s
        (20 << 30, None, 100e6, None, 477 * MIB),
        (20 << 30, None, 1e9, None, 512 * MIB),
        (4 << 30, None, 1e9, None, 128 * MIB),  # four for each of the eight streams
        (2 << 30, None, 1e5, None, 8 * MIB),
        (20 << 30, None, 100e6, 1e6, 29 * MIB),  # an allowance counts more than what was measured without
        (2 << 30, 16 * MIB, 100e6, None, 16 * MIB),  # one ETag counts more than any rate
    ],
)
def test_size_of_parts_by_what_was_measured(
    size: int, of_source: int | None, measured: float, allowed: float | None, expected: int
):
    assert choose_part_bytes(size, StreamRates(8, measured=measured, allowed=allowed), of_source=of_source) == expected


@pytest.mark.parametrize(("size", "wanted"), [(1 << 30, 4 * MIB), (1 << 30, (5 << 30) + 1), (1 << 40, 64 * MIB)])
def test_size_that_no_store_takes_is_refused(size: int, wanted: int):
    with pytest.raises(InvalidParameter, match="part_size"):
        choose_part_bytes(size, StreamRates(8), wanted=wanted)


def test_object_larger_than_any_is_refused():
    with pytest.raises(InvalidParameter, match="5,497,558,138,881 bytes"):
        choose_part_bytes(LARGEST_OBJECT + 1, StreamRates(8))


@pytest.mark.parametrize(
    ("size", "parts", "expected"),
    [(100_000_000, 12, [8]), (100_000_000, 6, [16]), (100_000_000, 8, []), (12 * MIB, 2, [6, 8, 10])],
)
def test_usual_part_sizes_are_those_that_make_so_many_parts(size: int, parts: int, expected: list[int]):
    assert usual_part_bytes(size, parts) == [each * MIB for each in expected]


@given(st.lists(st.integers(1, 10_000), unique=True), st.integers(1, 64))
def test_batches_hold_every_number_once_in_order(numbers: list[int], streams: int):
    made = list(batches(numbers, streams))
    assert [n for each in made for n in each] == numbers
    sizes = [len(each) for each in made]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes, default=0) <= 64
    assert set(sizes[-streams:]) <= {1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64MiB", 64 * MIB),
        ("64M", 64 * MIB),
        ("50MB", 50_000_000),
        ("8388608", 8388608),
        ("1.5 GiB", 3 << 29),
        ("10b", 10),
    ],
)
def test_sizes_are_read(text: str, expected: int):
    assert parse_size(text, "x") == expected


@pytest.mark.parametrize("text", ["", "MiB", "-1", "0", "1e6", "5 furlongs", "nan"])
def test_text_that_is_no_size_is_refused(text: str):
    with pytest.raises(InvalidParameter, match="rate"):
        parse_size(text, "rate")


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_crcs_of_parts_fold_into_that_of_the_whole(parts: list[bytes]):
    whole = b"".join(parts)
    assert fold_crc32((zlib.crc32(each), len(each)) for each in parts) == zlib.crc32(whole)


def test_crc_is_combined_without_reading():
    whole, size = zlib.crc32(bytes(MIB)), MIB
    while size < 64 * MIB:
        whole, size = combine_crc32(whole, whole, size), size * 2
    assert whole == zlib.crc32(bytes(64 * MIB))


def test_crc_is_written_as_s3_does():
    assert crc32_text(zlib.crc32(b"123456789")) == "y/Q5Jg=="  # the check value of CRC-32, cbf43926


def test_threads_share_one_rate():
    pace, waited = Pacer(1_000_000), list[float]()

    def take() -> None:
        waited.extend(pace.take(50_000) for _ in range(10))

    threads = [Thread(target=take) for _ in range(4)]
    began = time.monotonic()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert max(waited) == pytest.approx(2.0 - (time.monotonic() - began), abs=0.3)


def test_rest_is_not_made_up_for():
    pace = Pacer(1000)
    pace._free_at -= 3600
    assert pace.take(1000) == pytest.approx(0.75, abs=0.05)


def test_without_a_rate_nobody_waits():
    assert Pacer(None).take(1 << 40) == 0

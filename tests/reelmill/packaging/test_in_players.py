"""A package is played as people do: by hls.js and dash.js in a browser, which decodes it by its own means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.packages import PackageJob, luma_of, make_talk, package, prepare_package, streaming_profile
from tests.pipeline import Encoded, encode_video
from tests.players import chromium, playing

SECONDS = 42
HEIGHTS = (360, 240, 144)
HLS, DASH = "master.m3u8", "manifest.mpd"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a headless Chromium. Skips where none is installed."""
    found = chromium()
    if found is None:
        pytest.skip("no chromium: .ci/system-packages installs it")
    with sync_playwright() as playwright, playwright.chromium.launch(
        executable_path=found, args=["--autoplay-policy=no-user-gesture-required"]
    ) as browser:  # fmt: skip
        page = browser.new_page()
        page.set_default_timeout(30_000)
        yield page


@pytest.fixture(scope="module")
def encoded(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    folder = tmp_path_factory.mktemp("played")
    talk = make_talk(folder / "talk.mkv", seconds=SECONDS)
    return encode_video(prepare_package(talk, folder, streaming_profile(*HEIGHTS), segment_s=11), folder)


@pytest.fixture(scope="module")
def in_files(encoded: Encoded, tmp_path_factory: pytest.TempPathFactory) -> PackageJob:
    return package(encoded, tmp_path_factory.mktemp("files"), in_ranges=False)


@pytest.fixture(scope="module")
def in_ranges(encoded: Encoded, tmp_path_factory: pytest.TempPathFactory) -> PackageJob:
    return package(encoded, tmp_path_factory.mktemp("ranges"), in_ranges=True)


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    job: PackageJob = request.getfixturevalue(request.param)
    return job.folder


ALL_WAYS = pytest.mark.parametrize(
    ("folder", "entry"),
    [("in_files", HLS), ("in_files", DASH), ("in_ranges", HLS), ("in_ranges", DASH)], indirect=["folder"],
)  # fmt: skip
BOTH_PLAYERS = pytest.mark.parametrize(
    ("folder", "entry"), [("in_files", HLS), ("in_ranges", DASH)], indirect=["folder"]
)

BOTH_THE_OTHER_WAY = pytest.mark.parametrize(
    ("folder", "entry"), [("in_ranges", HLS), ("in_files", DASH)], indirect=["folder"]
)


@ALL_WAYS
def test_every_ten_seconds_can_be_sought_and_the_picture_is_that_of_the_time(page: Page, folder: Path, entry: str):
    with playing(page, folder, entry):
        assert page.evaluate("video.duration") == pytest.approx(SECONDS, abs=0.1)
        shown = {second: page.evaluate(f"shownAt({second}.5)") for second in (30, 10, 40, 0, 20)}
        assert shown == {second: pytest.approx(luma_of(second), abs=1.9) for second in shown}
        assert page.evaluate("problems") == []


@BOTH_PLAYERS
def test_the_quality_is_switched_while_it_plays(page: Page, folder: Path, entry: str):
    with playing(page, folder, entry):
        assert sorted(page.evaluate("player.heights()")) == sorted(HEIGHTS)
        page.evaluate("video.play()")
        for height in (144, 360):
            page.evaluate(f"player.choose({height})")
            page.wait_for_function(f"video.videoHeight === {height}")
            now, luma = page.evaluate("[video.currentTime, lumaNow()]")
            assert luma == pytest.approx(luma_of(int(now)), abs=luma_of(1) - luma_of(0) + 1.9)
        assert page.evaluate("problems") == []


@BOTH_THE_OTHER_WAY
def test_it_plays_to_the_end_without_a_gap(page: Page, folder: Path, entry: str):
    with playing(page, folder, entry):
        page.evaluate("video.play()")
        page.wait_for_function(f"video.buffered.length && video.buffered.end(0) > {SECONDS - 0.2}")
        [[start, end]] = page.evaluate("ranges()")
        assert (start, end) == (pytest.approx(0, abs=0.001), pytest.approx(SECONDS, abs=0.1))
        page.evaluate(f"video.currentTime = {SECONDS - 12}; video.playbackRate = 3")
        page.wait_for_function("video.ended")
        assert page.evaluate("video.getVideoPlaybackQuality().corruptedVideoFrames") == 0
        assert page.evaluate("problems") == []


@BOTH_PLAYERS
def test_languages_of_sound_and_text_can_be_chosen(page: Page, folder: Path, entry: str):
    with playing(page, folder, entry):
        assert page.evaluate("player.languages()") == ["en", "de"]
        assert page.evaluate("player.texts()") == ["en", "de"]
        page.evaluate("player.hear('de'); player.read('de'); video.play()")
        page.wait_for_function("video.currentTime > 1")
        page.wait_for_function("cues().some(([start, text]) => start === 3 && text === 'deu 3')")
        assert page.evaluate("problems") == []

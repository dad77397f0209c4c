"""A package is played as people do: by hls.js and dash.js in a browser, which decodes it by its own means."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.packages import PackageJob, luma_of, make_packaged, make_talk, streaming_profile
from tests.players import chromium, playing

SECONDS = 42
HEIGHTS = (360, 240, 144)
ENTRIES = ["master.m3u8", "manifest.mpd"]
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


@pytest.fixture(scope="module", params=["segments", "renditions"])
def job(request: pytest.FixtureRequest, page: Page, tmp_path_factory: pytest.TempPathFactory) -> PackageJob:
    folder = tmp_path_factory.mktemp("played")
    profile = streaming_profile(*HEIGHTS, streaming={"segment_s": 2, "files": request.param})
    return make_packaged(make_talk(folder / "talk.mkv", seconds=SECONDS), folder / "job", profile, segment_s=11)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_ten_seconds_can_be_sought_and_the_picture_is_that_of_the_time(page: Page, job: PackageJob, entry: str):
    with playing(page, job.folder, entry):
        assert page.evaluate("video.duration") == pytest.approx(SECONDS, abs=0.1)
        shown = {}
        for second in (30, 10, 40, 0, 20):
            shown[second] = page.evaluate(f"shownAt({second}.5)")
        assert shown == {second: pytest.approx(luma_of(second), abs=1.9) for second in shown}
        assert page.evaluate("problems") == []


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_quality_is_switched_while_it_plays(page: Page, job: PackageJob, entry: str):
    with playing(page, job.folder, entry):
        assert sorted(page.evaluate("player.heights()")) == sorted(HEIGHTS)
        page.evaluate("video.play()")
        for height in (144, 360, 240):
            page.evaluate(f"player.choose({height})")
            page.wait_for_function(f"video.videoHeight === {height}")
            now, luma = page.evaluate("[video.currentTime, lumaNow()]")
            assert luma == pytest.approx(luma_of(int(now)), abs=luma_of(1) - luma_of(0) + 1.9)
        assert page.evaluate("problems") == []


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_plays_to_the_end_without_a_gap(page: Page, job: PackageJob, entry: str):
    with playing(page, job.folder, entry):
        page.evaluate("video.play()")
        page.wait_for_function(f"video.buffered.length && video.buffered.end(0) > {SECONDS - 0.2}")
        [[start, end]] = page.evaluate("ranges()")
        assert (start, end) == (pytest.approx(0, abs=0.001), pytest.approx(SECONDS, abs=0.1))
        page.evaluate("video.playbackRate = 8")
        page.wait_for_function("video.ended")
        quality = page.evaluate(
            "(({totalVideoFrames, corruptedVideoFrames}) => [totalVideoFrames, corruptedVideoFrames])(video.getVideoPlaybackQuality())"
        )
        assert quality[0] > 0
        assert quality[1] == 0
        assert page.evaluate("problems") == []


@pytest.mark.parametrize("entry", ENTRIES)
def test_languages_of_sound_and_text_can_be_chosen(page: Page, job: PackageJob, entry: str):
    with playing(page, job.folder, entry):
        assert page.evaluate("player.languages()") == ["en", "de"]
        assert page.evaluate("player.texts()") == ["en", "de"]
        page.evaluate("player.hear('de'); player.read('de'); video.play()")
        page.wait_for_function("video.currentTime > 1")
        page.wait_for_function("[...video.textTracks].some(each => each.cues && each.cues.length >= %d)" % SECONDS)
        texts = page.evaluate(
            "[...video.textTracks].filter(each => each.cues?.length).map(each => [each.cues[3].startTime, each.cues[3].text])"
        )
        assert [3, "deu 3"] in texts
        assert page.evaluate("problems") == []

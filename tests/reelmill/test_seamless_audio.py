"""Sound comes out of twenty joins of the picture as one run: without a click, without drift, where it was."""

from pathlib import Path

import av
import numpy
import pytest

from reelmill.formats import FormatName
from reelmill.profiles.profile import Profile
from tests.hard_media import HardMedia, sine_source
from tests.pipeline import run_job

pytestmark = pytest.mark.slow

SECONDS = 60
PIECES = 21
TONE_HZ = 1000
RATE_HZ = 48_000
WINDOW_S = 0.02
"""Length around a join, and beside it, whose residual is measured: a codec's frame or so."""
BESIDE_S = (-1.1, -0.8, -0.5, -0.2, 0.2, 0.5, 0.8, 1.1)
"""Places that a join is compared with. Encoders take seconds to settle, so what is far away says little."""


@pytest.fixture(scope="session")
def sine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sine") / "sine.mkv"
    sine_source(path, SECONDS, RATE_HZ)
    return path


@pytest.mark.parametrize(
    ("format", "codec", "slack"),
    [
        ("mp4", "aac", 1024),
        ("flv", "aac", 2 * 1024),  # FLV does not mark what the encoder puts before the start
        ("mkv", "opus", 960),
        ("webm", "opus", 960),
        ("mp4", "mp3", 1152),
        ("avi", "mp3", 1152),
    ],
)
def test_tone_has_no_click_at_a_join_and_does_not_drift(
    format: FormatName, codec: str, slack: int, sine: Path, tmp_path: Path
):
    job = run_job(sine, tmp_path, (format,), SECONDS / PIECES, fast(format, codec=codec))
    segments = job.plan.video[0].segments
    assert len(segments) == PIECES
    video_start_s, start_s, sound = decoded(job.path(format))
    tones = Tone(sound)
    joins_s = [float(each.start * job.plan.video[0].time_base) for each in segments[1:]]
    # Times of the container to places in the sound; before and behind it there is nothing to join.
    places_s = [join_s + video_start_s - start_s for join_s in joins_s]
    for place_s, at_join_db in zip(places_s, tones.residuals_db(places_s), strict=True):
        beside_db = tones.residuals_db([place_s + away_s for away_s in BESIDE_S])
        assert at_join_db <= max(beside_db) + 3, f"a click at {place_s:.2f} s"
    assert abs(tones.delay_s(SECONDS - 2.0) - tones.delay_s(1.0)) <= 0.001
    assert abs(len(sound) - SECONDS * RATE_HZ) <= slack


class Tone:
    """A sine fitted to the middle of `sound`, and what is left of the sound without it."""

    def __init__(self, sound: numpy.ndarray):
        self.sound = sound
        times_s = numpy.arange(len(sound)) / RATE_HZ
        inside = slice(RATE_HZ, -RATE_HZ)
        phases = 2 * numpy.pi * TONE_HZ * times_s
        self._basis = numpy.stack([numpy.sin(phases), numpy.cos(phases)])
        amplitudes, *_ = numpy.linalg.lstsq(self._basis[:, inside].T, sound[inside], rcond=None)
        self.residual = sound - amplitudes @ self._basis
        self.amplitude = float(numpy.hypot(*amplitudes))

    def residuals_db(self, places_s: list[float]) -> list[float]:
        """The power of the residual around each place, against the tone's."""
        half = int(WINDOW_S * RATE_HZ / 2)
        powers = [
            float(numpy.mean(self.residual[int(place_s * RATE_HZ) - half : int(place_s * RATE_HZ) + half] ** 2))
            for place_s in places_s
        ]
        return [10 * float(numpy.log10(power / (self.amplitude**2 / 2))) for power in powers]

    def delay_s(self, place_s: float) -> float:
        """The time by which the tone is late around a place, between minus and plus half its period."""
        around = slice(int((place_s - 0.25) * RATE_HZ), int((place_s + 0.25) * RATE_HZ))
        sine, cosine = numpy.linalg.lstsq(self._basis[:, around].T, self.sound[around], rcond=None)[0]
        return float(-numpy.arctan2(cosine, sine)) / (2 * numpy.pi * TONE_HZ)


def fast(format: FormatName, *, codec: str | None = None) -> Profile:
    """A profile that spends little on the picture, which is not what is tried here."""
    video = {"preset": "8", "codec": "vp9"} if format == "webm" else {"preset": "ultrafast"}
    return Profile.model_validate(
        {"version": 1, "name": "fast", "video": video | {"height": 64}, "audio": {"codec": codec}}
    )


def decoded(path: Path) -> tuple[float, float, numpy.ndarray]:
    """When the picture and the sound start in a file, in seconds, and the sound without its priming."""
    with av.open(path) as container:
        video_start_s = min(frame.time or 0.0 for frame, _ in zip(container.decode(video=0), range(5), strict=False))
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
    return (
        video_start_s,
        frames[0].time or 0.0,
        numpy.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(float),
    )


@pytest.mark.parametrize("formats", [("mp4", "mkv", "flv"), ("webm",)], ids="-".join)
@pytest.mark.parametrize(
    ("name", "offset_s"),
    [("audio_late", 0.7), ("audio_late_mkv", 0.7), ("video_late", -0.72), ("video_late_mkv", -0.72), ("cfr_h264", 0)],
)
def test_offset_of_sound_to_picture_is_kept(
    name: str, offset_s: float, formats: tuple[FormatName, ...], hard_media: HardMedia, tmp_path: Path
):
    job = run_job(hard_media(name), tmp_path, formats, 4.1, fast(formats[0]))
    source_s = heard_after_seen_s(hard_media(name))
    assert source_s == pytest.approx(offset_s, abs=0.03)
    for format in formats:
        assert heard_after_seen_s(job.path(format)) == pytest.approx(source_s, abs=0.03), format


def heard_after_seen_s(path: Path) -> float:
    """How long after the first picture the first sound is heard: not the first packet, which may be silence."""
    video_start_s, start_s, sound = decoded(path)
    loud = numpy.abs(sound) > numpy.abs(sound).max() / 10
    return start_s + int(numpy.argmax(loud)) / RATE_HZ - video_start_s

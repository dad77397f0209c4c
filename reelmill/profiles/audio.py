"""What a profile says of the sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reelmill.profiles.encoders import AUDIO_ENCODERS, CONTAINER_SAMPLE_RATES, AudioCodec
from reelmill.profiles.problems import Problem, not_allowed, refuse


class AudioSettings(BaseModel):
    """How every audio track is encoded. Whatever is left out is taken from the source or the encoder's defaults."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    codec: Literal[AudioCodec, "copy"] | None = Field(
        default=None, json_schema_extra={"position": 1},
        description="Codec of the audio, or `copy` to keep the source's packets; the format's own when left out",
    )  # fmt: skip
    bitrate_bps: int | None = Field(
        default=None, ge=6_000, le=2_048_000, json_schema_extra={"position": 2},
        description="Bits a second of a track, all its channels together",
    )  # fmt: skip
    channels: int | None = Field(
        default=None, ge=1, le=8, json_schema_extra={"position": 3},
        description="Channels of a track: 1 is mono, 2 stereo, 6 is 5.1; the source's when left out",
    )  # fmt: skip
    sample_rate_hz: int | None = Field(
        default=None, ge=8_000, le=96_000, json_schema_extra={"position": 4},
        description="Samples a second; the source's, where the encoder takes it, when left out",
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse(self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        if self.codec == "copy":
            for name in ("bitrate_bps", "channels", "sample_rate_hz"):
                if getattr(self, name) is not None:
                    yield Problem(name, "can't be changed where codec is copy; allowed: leave it out")
        elif self.codec is not None:
            yield from encoder_problems(self, self.codec, f" for {self.codec}")


def encoder_problems(audio: AudioSettings, codec: str, reason: str) -> Iterator[Problem]:
    """Yield what `audio` asks of the encoder of `codec` that it can't do. `reason` says where the codec comes from."""
    encoder = AUDIO_ENCODERS[codec]
    low, high = encoder.bitrate_range_bps(audio.channels or encoder.max_channels)
    if audio.bitrate_bps is not None and not low <= audio.bitrate_bps <= high:
        with_channels = "" if audio.channels is None else f" with channels {audio.channels}"
        yield not_allowed("bitrate_bps", audio.bitrate_bps, f"{low} to {high}", reason + with_channels)
    if audio.channels is not None and audio.channels not in encoder.channel_counts:
        yield not_allowed("channels", audio.channels, _listed(encoder.channel_counts), reason)
    if audio.sample_rate_hz is not None and audio.sample_rate_hz not in encoder.sample_rates:
        yield not_allowed("sample_rate_hz", audio.sample_rate_hz, _listed(encoder.sample_rates), reason)


def container_problems(audio: AudioSettings, codec: str, container: str) -> Iterator[Problem]:
    """Yield the sample rate where `container` can't take it of `codec` although the encoder can."""
    rates = CONTAINER_SAMPLE_RATES.get((container, codec))
    if rates is not None and audio.sample_rate_hz is not None and audio.sample_rate_hz not in rates:
        yield not_allowed("sample_rate_hz", audio.sample_rate_hz, _listed(rates), f" for {codec} in {container}")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))

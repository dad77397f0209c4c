"""Writes the DASH manifest (ISO/IEC 23009-1): one period, an adaptation set for the video and one for each track."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from reelmill.packaging.package import SUBTITLES_FILE, AudioOffer, Package, SubtitlesOffer, TrackOffer
from reelmill.packaging.packaged import Packaged

MANIFEST = "manifest.mpd"
_FILES, _RANGES = "urn:mpeg:dash:profile:isoff-live:2011", "urn:mpeg:dash:profile:isoff-on-demand:2011"
_CICP = "urn:mpeg:mpegB:cicp:TransferCharacteristics"
_TRANSFERS = {"PQ": "16", "HLG": "18"}
_ROLES = "urn:mpeg:dash:role:2011"
_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"


def dash_manifest(package: Package) -> str:
    """Return the text of the manifest."""
    longest_s = max(max(each.durations_s) for each in package.renditions)
    root = Element("MPD", {
        "xmlns": "urn:mpeg:dash:schema:mpd:2011", "type": "static",
        "profiles": f"{_FILES if package.file_per_segment else _RANGES},urn:mpeg:dash:profile:cmaf:2019",
        "mediaPresentationDuration": _duration(package.duration_s), "minBufferTime": _duration(longest_s),
        "maxSegmentDuration": _duration(longest_s),
    })  # fmt: skip
    period = SubElement(root, "Period", {"id": "0", "start": "PT0S", "duration": _duration(package.duration_s)})
    if package.videos:
        _add_video(period, package)
    for audio in package.audio:
        _add_audio(period, audio)
    for subtitles in package.subtitles:
        _add_subtitles(period, subtitles)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_video(period: Element, package: Package) -> None:
    offers = package.videos
    group = SubElement(period, "AdaptationSet", {
        "contentType": "video", "mimeType": "video/mp4", "segmentAlignment": "true", "startWithSAP": "1",
        "maxWidth": str(max(each.width for each in offers)), "maxHeight": str(max(each.height for each in offers)),
    })  # fmt: skip
    if offers[0].video_range != "SDR":
        value = _TRANSFERS[offers[0].video_range]
        SubElement(group, "EssentialProperty", {"schemeIdUri": _CICP, "value": value})
    SubElement(group, "Role", {"schemeIdUri": _ROLES, "value": "main"})
    for each in offers:
        shape, rate = each.sample_aspect_ratio, each.frame_rate
        _add_rendition(group, each.packaged, {
            "width": str(each.width), "height": str(each.height), "sar": f"{shape.numerator}:{shape.denominator}",
            **({} if rate is None else {"frameRate": str(rate)}),
        })  # fmt: skip


def _add_audio(period: Element, audio: AudioOffer) -> None:
    group = _add_track(period, audio, {
        "contentType": "audio", "mimeType": "audio/mp4", "segmentAlignment": "true", "startWithSAP": "1",
    })  # fmt: skip
    below = _add_rendition(group, audio.packaged, {"audioSamplingRate": str(audio.sample_rate_hz)})
    below.insert(0, Element("AudioChannelConfiguration", {"schemeIdUri": _CHANNELS, "value": str(audio.channels)}))


def _add_subtitles(period: Element, subtitles: SubtitlesOffer) -> None:
    group = _add_track(period, subtitles, {"contentType": "text", "mimeType": "text/vtt"})
    role = "forced-subtitle" if subtitles.is_forced else "subtitle"
    SubElement(group, "Role", {"schemeIdUri": _ROLES, "value": role})
    below = SubElement(group, "Representation", {"id": subtitles.id, "bandwidth": "1000"})
    SubElement(below, "BaseURL").text = f"{subtitles.id}/{SUBTITLES_FILE}"


def _add_track(period: Element, track: TrackOffer, attributes: dict[str, str]) -> Element:
    language = {"lang": track.language} if track.language else {}
    group = SubElement(period, "AdaptationSet", attributes | language)
    SubElement(group, "Label").text = track.name
    SubElement(group, "Role", {"schemeIdUri": _ROLES, "value": "main" if track.is_default else "alternate"})
    return group


def _add_rendition(group: Element, packaged: Packaged, attributes: dict[str, str]) -> Element:
    below = SubElement(group, "Representation", {
        "id": packaged.id, "codecs": packaged.media.codecs, "bandwidth": str(packaged.peak_bps), **attributes,
    })  # fmt: skip
    if packaged.file_per_segment:
        _add_timeline(below, packaged)
    else:
        _add_ranges(below, packaged)
    return below


def _add_timeline(below: Element, packaged: Packaged) -> None:
    template = SubElement(below, "SegmentTemplate", {
        "timescale": str(packaged.media.timescale), "startNumber": "1",
        "initialization": f"{packaged.id}/{packaged.init.file_name}", "media": f"{packaged.id}/$Number%05d$.m4s",
    })  # fmt: skip
    timeline = SubElement(template, "SegmentTimeline")
    for number, (duration, count) in enumerate(_runs(packaged)):
        start = {"t": str(packaged.media.segments[0].start)} if number == 0 else {}
        again = {"r": str(count - 1)} if count > 1 else {}
        SubElement(timeline, "S", {**start, "d": str(duration), **again})


def _runs(packaged: Packaged) -> Iterator[tuple[int, int]]:
    """Yield the durations of the segments, in ticks, and how many in a row have it."""
    durations = [each.duration for each in packaged.media.segments]
    first = 0
    for number in range(1, len(durations) + 1):
        if number == len(durations) or durations[number] != durations[first]:
            yield durations[first], number - first
            first = number


def _add_ranges(below: Element, packaged: Packaged) -> None:
    media = packaged.media
    SubElement(below, "BaseURL").text = f"{packaged.id}/{packaged.init.file_name}"
    base = SubElement(below, "SegmentBase", {
        "timescale": str(media.timescale), "indexRangeExact": "true",
        "indexRange": f"{media.init_bytes}-{media.init_bytes + media.index_bytes - 1}",
    })  # fmt: skip
    SubElement(base, "Initialization", {"range": f"0-{media.init_bytes - 1}"})


def _duration(seconds: Fraction) -> str:
    micros = round(seconds * 1_000_000)
    return f"PT{micros // 1_000_000}.{micros % 1_000_000:06d}S"

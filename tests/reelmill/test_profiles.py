"""Profiles: what is accepted, what is refused and in which words."""

from __future__ import annotations

import os
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from reelmill.errors import InvalidProfile, InvalidUri
from reelmill.formats import FORMAT_NAMES, FORMATS
from reelmill.profiles.encoders import AUDIO_ENCODERS, VIDEO_ENCODERS
from reelmill.profiles.loading import MAX_PROFILE_BYTES, builtin_profiles, load_profile, parse_profile
from reelmill.profiles.profile import AudioSettings, Profile, VideoSettings, check_formats, codec_for
from reelmill.profiles.reference import EXAMPLE, profiles_reference

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"
ALIAS_BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"


def profile_text(body: str = "") -> str:
    return f"version: 1\nname: test\n{body}"


def refusal(body: str) -> str:
    with pytest.raises(InvalidProfile) as caught:
        parse_profile(profile_text(body), "web.yaml")
    return str(caught.value)


def outcome(text: str) -> str:
    try:
        return parse_profile(text, "p").name
    except InvalidProfile as error:
        return str(error)


@pytest.mark.parametrize(
    ("row", "body", "sentence"),
    [
        (40, "video: {codec: h264 -f null}",
         "video.codec: h264 -f null is not allowed; allowed: h264, hevc, vp9, av1, copy"),
        (40, "audio: {codec: 'aac -y'}", "audio.codec: aac -y is not allowed; allowed: aac, opus, mp3, copy"),
        (41, "video: {crf: 999}", "video.crf: 999 is not allowed; allowed: 0 to 51"),
        (41, "video: {crf: .nan}", "video.crf: nan is not allowed; allowed: 0 to 51 (h264, hevc), 0 to 63 (vp9, av1)"),
        (41, "video: {crf: true}", "video.crf: true is not allowed; allowed: 0 to 51 (h264, hevc), 0 to 63 (vp9, av1)"),
        (41, "video: {bitrate_bps: true}", "video.bitrate_bps: true is not allowed; allowed: 1000 to 1000000000"),
        (42, "video: {width: 641, pixel_format: yuv420p}",
         "video.width: 641 is not allowed; allowed: 16 to 16384, even unless pixel_format is yuv444p or yuv444p10le"),
        (43, "formats: [mp3]\nvideo: {codec: vp9}",
         "video.codec: vp9 is not allowed, mp3 can't hold it; allowed: leave it out"),
        (47, "video: !!python/object/apply:os.system [id]",
         "line 3: tags such as tag:yaml.org,2002:python/object/apply:os.system are not allowed"),
        (47, ALIAS_BOMB, "line 3: anchors are not allowed"),
        (48, "video: {crff: 20}",
         "video.crff: unknown field (did you mean crf?); known: " + ", ".join(VideoSettings.model_fields)),
        (48, "colour: red", "colour: unknown field; known: " + ", ".join(Profile.model_fields)),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line_with_file_field_and_allowed_values(row: int, body: str, sentence: str):
    assert refusal(body) == f"web.yaml: {sentence}"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("video: {codec: h264, crf: 51.5}", "video.crf: 51.5 is not allowed; allowed: 0 to 51"),
        ("video: {codec: vp9, crf: 64}\nformats: [webm]", "video.crf: 64 is not allowed; allowed: 0 to 63"),
        ("video: {crf: 20, bitrate_bps: 900000}", "video.crf: excludes bitrate_bps; allowed: one of the two"),
        ("video: {max_bitrate_bps: 900000}",
         "video.max_bitrate_bps: needs vbv_buffer_bits; allowed: both or none of the two"),
        ("video: {vbv_buffer_bits: 900000}",
         "video.vbv_buffer_bits: needs max_bitrate_bps; allowed: both or none of the two"),
        ("video: {max_bitrate_bps: 1000000, vbv_buffer_bits: 11000000}",
         "video.vbv_buffer_bits: 11000000 is not allowed with max_bitrate_bps 1000000; allowed: 20000 to 10000000"),
        ("video: {bitrate_bps: 2000000, max_bitrate_bps: 1000000, vbv_buffer_bits: 1000000}",
         "video.max_bitrate_bps: 1000000 is not allowed; allowed: bitrate_bps, 2000000, or more"),
        ("video: {codec: vp9, max_bitrate_bps: 1000000, vbv_buffer_bits: 1000000}",
         "video.max_bitrate_bps: vp9 takes it only together with bitrate_bps"),
        ("video: {codec: av1, bitrate_bps: 1000000, max_bitrate_bps: 1000000, vbv_buffer_bits: 1000000}",
         "video.max_bitrate_bps: av1 takes it only together with crf, not with bitrate_bps"),
        ("video: {codec: av1, bitrate_bps: 200000000}",
         "video.bitrate_bps: 200000000 is not allowed for av1; allowed: 1000 to 100000000"),
        ("video: {codec: av1, preset: medium}", "video.preset: medium is not allowed; allowed: 0, 1, 2, 3, 4, 5, 6, 7, "
         "8, 9, 10, 11, 12, 13"),
        ("video: {codec: av1, pixel_format: yuv422p}",
         "video.pixel_format: yuv422p is not allowed for av1; allowed: source, yuv420p, yuv420p10le"),
        ("video: {preset: $(id)}", "video.preset: $(id) is not allowed; allowed: ultrafast to placebo by name "
         "(h264, hevc), 0 to 8 (vp9), 0 to 13 (av1)"),
        ("video: {codec: copy, width: 640}",
         "video.width: can't be changed where codec is copy; allowed: leave it out"),
        ("video: {frame_rate: 29.97}",
         "video.frame_rate: 29.97 is not text, put it in quotes; allowed: 1 to 1000, a whole number or a fraction such "
         "as 30000/1001"),
        ("video: {frame_rate: 1/0}",
         "video.frame_rate: 1/0 is not allowed; allowed: 1 to 1000, a whole number or a fraction such as 30000/1001"),
        ("audio: {codec: opus, sample_rate_hz: 44100}\nformats: [webm]",
         "audio.sample_rate_hz: 44100 is not allowed for opus; allowed: 8000, 12000, 16000, 24000, 48000"),
        ("audio: {codec: mp3, channels: 6}", "audio.channels: 6 is not allowed for mp3; allowed: 1, 2"),
        ("audio: {codec: opus, channels: 1, bitrate_bps: 300000}",
         "audio.bitrate_bps: 300000 is not allowed for opus with channels 1; allowed: 6000 to 256000"),
        ("audio: {codec: copy, channels: 2}",
         "audio.channels: can't be changed where codec is copy; allowed: leave it out"),
        ("audio: {sample_rate_hz: 8000, codec: mp3}",
         "audio.sample_rate_hz: 8000 is not allowed for mp3 in mp4; allowed: 16000, 22050, 24000, 32000, 44100, 48000"),
        ("formats: [mp4, mp4]", "formats: mp4 is named twice"),
        ("formats: []", "formats: an empty list is not allowed; allowed: " + ", ".join(FORMAT_NAMES)),
        ("formats: [gif]", "formats.0: gif is not allowed; allowed: " + ", ".join(FORMAT_NAMES)),
        ("description: 720", "description: 720 is not text, put it in quotes; allowed: text of at most 500 characters"),
        ("video: 5", "video: 5 is not allowed; allowed: fields of its own"),
        ("2: 5", "2: Keys should be strings"),
        ("formats: [webm]\nvideo: {preset: fast}",
         "video.preset: fast is not allowed for vp9, the codec of webm; allowed: 0, 1, 2, 3, 4, 5, 6, 7, 8"),
        ("formats: [opus]\naudio: {sample_rate_hz: 22050}", "audio.sample_rate_hz: 22050 is not allowed for opus, the "
         "codec of opus; allowed: 8000, 12000, 16000, 24000, 48000"),
        ("formats: [mp4, webm]\nvideo: {codec: h264}",
         "video.codec: h264 is not allowed, webm can't hold it; allowed: vp9, av1"),
    ],
)  # fmt: skip
def test_settings_no_encoder_or_container_takes_are_refused(body: str, sentence: str):
    assert refusal(body) == f"web.yaml: {sentence}"


def test_all_that_is_wrong_is_said_at_once():
    assert refusal("video: {crf: .inf, width: 8}\nformats: [gif]") == (
        f"web.yaml: formats.0: gif is not allowed; allowed: {', '.join(FORMAT_NAMES)}; "
        "video.crf: inf is not allowed; allowed: 0 to 51 (h264, hevc), 0 to 63 (vp9, av1); "
        "video.width: 8 is not allowed; allowed: 16 to 16384, even unless pixel_format is yuv444p or yuv444p10le"
    )


def test_errors_without_end_are_counted_and_not_listed():
    body = "".join(f"field{n}: 1\n" for n in range(5000))
    assert refusal(body).endswith("; and 4990 more")
    assert len(refusal(body)) < 2000


@pytest.mark.parametrize("version", ["true", "1.0", "2", "'1'"])
def test_version_is_the_whole_number_one(version: str):
    with pytest.raises(InvalidProfile, match=r"^p: version: .* is not allowed; allowed: 1$"):
        parse_profile(f"version: {version}\nname: test", "p")


@pytest.mark.parametrize("name", ["", "Web", "../x", "a" * 65, "-a", "a b", "a\n"])
def test_names_that_are_not_file_names_are_refused(name: str):
    with pytest.raises(InvalidProfile, match=r"^p: name: "):
        parse_profile(yaml.safe_dump({"version": 1, "name": name}), "p")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "null is not a profile; allowed: fields and values"),
        ("- a", "a list is not a profile; allowed: fields and values"),
        ("name: a\nname: b", "line 2: name is given twice"),
        ("video: *base", "line 1: aliases are not allowed"),
        ("name: !!str a", "line 1: tags such as tag:yaml.org,2002:str are not allowed"),
        ("[" * 50_000, "line 1: nested more than 8 deep"),
        ("name: a\n---\nname: b", "line 2: expected a single document in the stream, but found another document"),
        ("!" * 5000, "line 1: tags such as tag:yaml.org,2002:" + "!" * 62 + " are not allowed"),
        ("? [a]\n: b", "line 1: a key is not plain text"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("#" * (MAX_PROFILE_BYTES + 1), "is larger than 65536 bytes"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(text: str, sentence: str):
    with pytest.raises(InvalidProfile) as caught:
        parse_profile(text, "p.yaml")
    assert str(caught.value) == f"p.yaml: {sentence}"


def test_words_of_old_yaml_are_text():
    assert parse_profile(profile_text("description: no"), "p").description == "no"


@given(st.text() | st.text(alphabet="{}[]:,-&*!?|>'\"%@`# \n\tab01.", max_size=60))
@example("a: 1:30:30")
@example("\ud800")
@example("a: 2020-99-99")
@example("a: " + "9" * 5000)
def test_no_text_gives_anything_but_a_profile_or_one_line(text: str):
    assert "\n" not in outcome(text)


@given(st.sampled_from(sorted(VIDEO_ENCODERS)), st.floats())
def test_crf_is_accepted_exactly_within_the_range_of_its_codec(codec: str, crf: float):
    possible = 0 <= crf <= VIDEO_ENCODERS[codec].max_crf
    try:
        VideoSettings.model_validate({"codec": codec, "crf": crf})
    except ValidationError:
        assert not possible
    else:
        assert possible


@given(st.integers(1, 99_999), st.integers(1, 9_999))
def test_frame_rate_is_exact(numerator: int, denominator: int):
    asked = Fraction(numerator, denominator)
    text = {"frame_rate": f"{numerator}/{denominator}"}
    if 1 <= asked <= 1000:
        assert VideoSettings.model_validate(text).frames_per_s == asked
    else:
        with pytest.raises(ValidationError):
            VideoSettings.model_validate(text)


def test_numbers_that_are_texts_need_no_quotes():
    video = parse_profile(profile_text("video: {codec: av1, preset: 8, frame_rate: 25}"), "p").video
    assert (video.preset, video.frames_per_s) == ("8", Fraction(25))


def test_odd_sizes_are_possible_without_subsampling():
    assert VideoSettings(width=641, height=361, pixel_format="yuv444p").width == 641


@pytest.mark.parametrize("profile", builtin_profiles().values(), ids=lambda profile: profile.name)
def test_profile_is_the_same_after_a_round_through_yaml(profile: Profile):
    assert parse_profile(yaml.safe_dump(profile.model_dump(mode="json")), "p") == profile


def test_built_in_profiles_bear_the_names_of_their_files():
    files = resources.files("reelmill.profiles").joinpath("builtin").iterdir()
    assert sorted(file.name for file in files) == [f"{name}.yaml" for name in builtin_profiles()]
    assert {"web-720p", "web-1080p", "archive-hevc", "small-av1", "audio-podcast", "fast-preview"} <= {
        *builtin_profiles()
    }


def test_changing_the_table_of_built_in_profiles_changes_nothing():
    builtin_profiles().clear()
    assert load_profile("web-720p").video.height == 720


def test_unknown_name_lists_the_built_in_profiles():
    with pytest.raises(InvalidProfile) as caught:
        load_profile("web-720")
    names = ", ".join(builtin_profiles())
    assert str(caught.value) == f"no profile is named web-720 (did you mean web-720p?); built in: {names}"


def test_path_is_read_as_a_file_and_named_in_the_error(tmp_path: Path):
    path = tmp_path / "mine.yml"
    path.write_bytes(b"\xef\xbb\xbf" + profile_text("video: {crf: 18}").encode())
    assert load_profile(str(path)).video.crf == 18
    path.write_text(profile_text("video: {crf: -1}"))
    with pytest.raises(InvalidProfile) as caught:
        load_profile(str(path))
    assert str(caught.value) == f"{path}: video.crf: -1 is not allowed; allowed: 0 to 51"


def test_files_that_are_no_text_files_are_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    (tmp_path / "large.yaml").write_bytes(b" " * (MAX_PROFILE_BYTES + 1))
    names = {
        "fifo": "there is no such file", "folder": "there is no such file", "absent": "there is no such file",
        "latin": "is not UTF-8 text", "large": "is larger than 65536 bytes",
    }  # fmt: skip
    for name, sentence in names.items():
        with pytest.raises(InvalidProfile, match=sentence):
            load_profile(str(tmp_path / f"{name}.yaml"))
    with pytest.raises(InvalidUri, match="more than the 255 bytes of a name"):
        load_profile(str(tmp_path / f"{'x' * 300}.yaml"))


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_default_codecs_of_every_format_can_be_encoded_and_held(name: str):
    container = FORMATS[name]
    profile = Profile(version=1, name="plain")
    check_formats(profile, [container.name])
    video, audio = codec_for(container.name, profile)
    assert (video, audio) == (container.default_video, container.default_audio)
    assert audio in AUDIO_ENCODERS
    assert video is None or video in VIDEO_ENCODERS


def test_format_asked_for_later_is_checked_too():
    profile = Profile(version=1, name="web", video=VideoSettings(codec="h264"), audio=AudioSettings(codec="aac"))
    check_formats(profile, ["mp4", "mkv", "m4a"])
    with pytest.raises(InvalidProfile) as caught:
        check_formats(profile, ["mp4", "webm"])
    assert str(caught.value) == (
        "profile web: video.codec: h264 is not allowed, webm can't hold it; allowed: vp9, av1; "
        "audio.codec: aac is not allowed, webm can't hold it; allowed: opus"
    )


def test_copy_is_left_to_the_source():
    profile = Profile(version=1, name="keep", video=VideoSettings(codec="copy"), audio=AudioSettings(codec="copy"))
    check_formats(profile, [each for each in FORMAT_NAMES if not FORMATS[each].packaged])
    assert codec_for("webm", profile) == ("copy", "copy")
    assert codec_for("mp3", profile) == (None, "copy")


@pytest.mark.parametrize("model", [Profile, VideoSettings, AudioSettings])
def test_every_field_has_a_description_and_its_place_in_the_form(model: type[BaseModel]):
    fields = model.model_json_schema()["properties"].values()
    assert [field["position"] for field in fields] == list(range(1, len(fields) + 1))
    assert all(field["description"] and "\n" not in field["description"] for field in fields)


def test_profiles_can_not_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        load_profile("web-720p").video.crf = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_reference_in_docs_is_current():
    assert DOCS.read_text() == profiles_reference(), "run: python -m reelmill.profiles.reference > docs/profiles.md"
    assert parse_profile(EXAMPLE, "example").name == "team-review"

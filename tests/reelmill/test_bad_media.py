"""Bad input: each kind has its own code and one sentence, opens nothing else and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelmill.errors import JobRejected, MediaDamaged, MediaTruncated
from reelmill.job import TranscodeJob
from reelmill.settings import settings
from tests.bad_media import BAD_MEDIA, BadMedia
from tests.ffmpeg_tool import frame_times
from tests.live_jobs import alive_with, files_below, noted_opens
from tests.pipeline import finish, prepare_job

ONLY_DECODING_TELLS = 7
REFUSED = [each for each in BAD_MEDIA if each.code and each.row != ONLY_DECODING_TELLS]
SURVIVED = [each for each in BAD_MEDIA if not each.code]
PLAYLISTS = [each for each in BAD_MEDIA if each.row in (8, 9, 10, 11)]


def name_of(media: BadMedia) -> str:
    return f"{media.row:02d}-{media.name}"


def media_named(name: str) -> BadMedia:
    return next(each for each in BAD_MEDIA if each.name == name)


def built(media: BadMedia, tmp_path: Path) -> Path:
    """Build the media in a folder of its own."""
    source = tmp_path / "source" / media.filename
    source.parent.mkdir()
    media.build(source)
    return source


def job_for(media: BadMedia, source: Path, tmp_path: Path, **choices: object) -> TranscodeJob:
    return TranscodeJob.model_validate(
        {"source": str(source), "formats": media.formats, "output": str(tmp_path / "out"), **choices}
    )


def assert_one_sentence_about(source: Path, message: str) -> None:
    assert source.name in message
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 400


def assert_nothing_left(tmp_path: Path, before: list[str]) -> None:
    assert files_below(tmp_path / "source") == before
    assert not (tmp_path / "out").exists()
    assert files_below(Path(settings().work_dir)) == files_below(settings().scratch_dir) == []
    assert alive_with(tmp_path) == []


@pytest.mark.parametrize("media", REFUSED, ids=name_of)
def test_bad_media_is_refused_with_its_code_before_anything_is_written(media: BadMedia, tmp_path: Path):
    source = built(media, tmp_path)
    before = files_below(tmp_path / "source")
    with pytest.raises(JobRejected) as caught:
        prepare_job(job_for(media, source, tmp_path))
    assert caught.value.code == media.code
    assert_one_sentence_about(source, str(caught.value))
    assert_nothing_left(tmp_path, before)


@pytest.mark.parametrize("media", PLAYLISTS, ids=name_of)
def test_what_a_playlist_points_to_is_never_opened(media: BadMedia, tmp_path: Path):
    source = built(media, tmp_path)
    beside = [each for each in source.parent.iterdir() if each != source]
    assert beside
    with noted_opens([*beside, source]) as opened, pytest.raises(JobRejected):
        prepare_job(job_for(media, source, tmp_path))
    assert set(opened) == {source}


@pytest.mark.parametrize(("name", "kind"), [("hls", "hls"), ("ffconcat", "concat"), ("dash", "dash"), ("svg", "svg")])
def test_refusal_of_a_playlist_says_which_kind_it_is(name: str, kind: str, tmp_path: Path):
    media = media_named(name)
    with pytest.raises(JobRejected, match=f"{kind}$"):
        prepare_job(job_for(media, built(media, tmp_path), tmp_path))


def test_refusal_of_half_a_file_says_how_far_it_goes(tmp_path: Path):
    media = media_named("half_mkv")
    with pytest.raises(MediaTruncated, match=r"1?\d\.\d of 20\.\d s"):
        prepare_job(job_for(media, built(media, tmp_path), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half_mkv", "half_flv"])
def test_half_a_file_is_made_into_what_is_there_when_asked_to_salvage(name: str, tmp_path: Path, prefect_server: str):
    from flows.transcode_video import transcode_video

    media = media_named(name)
    source = built(media, tmp_path)
    manifest = transcode_video(job_for(media, source, tmp_path, damage="salvage"))
    frames = len(frame_times(tmp_path / "out" / "half.mp4"))
    assert 200 < frames < 300
    assert manifest.outputs[0].frames == frames


def test_damage_is_refused_by_the_first_piece_that_has_it_when_strict(tmp_path: Path):
    media = media_named("corrupt")
    source = built(media, tmp_path)
    job = job_for(media, source, tmp_path, damage="strict", segment_s=5)
    with pytest.raises(MediaDamaged) as caught:
        finish(prepare_job(job), tmp_path / "work")
    assert caught.value.code == media.code
    assert_one_sentence_about(source, str(caught.value))
    assert [each for each in files_below(tmp_path / "work") if each.endswith(".part")] == []
    assert alive_with(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("media", SURVIVED, ids=name_of)
def test_odd_media_is_made_into_the_output_and_nothing_else(media: BadMedia, tmp_path: Path, prefect_server: str):
    from flows.transcode_video import transcode_video

    source = built(media, tmp_path)
    manifest = transcode_video(job_for(media, source, tmp_path))
    output = tmp_path / "out" / f"{source.stem}.mp4"
    assert set(files_below(tmp_path / "out")) == {"manifest.json", output.name}
    assert files_below(tmp_path / "source") == [source.name]
    assert [str(each) for each in tmp_path.rglob("x")] == []
    assert files_below(Path(settings().work_dir)) == []
    assert manifest.outputs[0].frames == len(frame_times(output)) == len(frame_times(source))

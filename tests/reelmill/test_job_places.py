"""Where a job may read and write: names are taken literally, and paths stay where they must."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from reelmill.errors import (
    BucketNotAllowed,
    InvalidKey,
    InvalidUri,
    JobRejected,
    PathEscape,
    SourceNotFound,
    UriSchemeNotAllowed,
)
from reelmill.job import TranscodeJob
from reelmill.preparing import accept_job
from reelmill.settings import settings
from tests.conftest import Set
from tests.ffmpeg_tool import frame_times
from tests.live_jobs import files_below
from tests.pipeline import finish, prepare_job
from tests.refused_jobs import refusal

# Rows 26 to 28: paths that lead out


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/b", "..", ".", "", "a\\b", "a\0b", "x" * 201])
def test_name_that_is_not_a_plain_file_name_is_refused(name: str, clip: Path, tmp_path: Path):
    assert "name" in refusal(PathEscape, source=str(clip), output=str(tmp_path / "out"), name=name)


def test_source_whose_name_the_results_can_not_have_wants_another_for_them(clip: Path, tmp_path: Path):
    source = str(shutil.copy(clip, tmp_path / f"{'ü' * 124}.mp4"))
    message = refusal(PathEscape, source=source, output=str(tmp_path / "out"))
    assert message.startswith("source: the results would be named after it")
    assert "--name" in message
    assert accept_job(TranscodeJob(source=source, output=str(tmp_path / "out"), name="short"))


@pytest.mark.parametrize("name", ["a\nb", "\ud800"], ids=["newline", "no_text"])
def test_name_that_is_no_line_of_text_is_refused(name: str, clip: Path, tmp_path: Path):
    with pytest.raises(JobRejected):
        accept_job(TranscodeJob(source=str(clip), output=str(tmp_path / "out"), name=name))


@pytest.mark.parametrize("path", ["../secret.mp4", "../../etc/passwd", "a/../../secret.mp4", "/etc/passwd"])
def test_source_outside_its_root_is_refused(path: str, root: Path, set_to: Set):
    set_to(source_root=root)
    assert "source" in refusal(PathEscape, source=path, output=str(root / "out"))


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/tmp/out"])
def test_output_outside_its_root_is_refused(path: str, root: Path, set_to: Set):
    set_to(output_root=root)
    assert "output" in refusal(PathEscape, source=str(root / "clip.mp4"), output=path)


def test_link_that_leaves_the_source_root_is_refused(root: Path, set_to: Set):
    (root / "link.mp4").symlink_to("../secret.mp4")
    (root / "folder").symlink_to("..")
    set_to(source_root=root)
    for source in ("link.mp4", "folder/secret.mp4", str(root / "link.mp4")):
        refusal(PathEscape, source=source, output=str(root / "out"))


def test_link_that_leaves_the_output_root_is_refused(root: Path, set_to: Set):
    (root / "link").symlink_to("..")
    set_to(output_root=root)
    refusal(PathEscape, source=str(root / "clip.mp4"), output="link")
    refusal(PathEscape, source=str(root / "clip.mp4"), output="link/out")


def test_folder_beside_the_root_with_its_name_in_front_is_outside(root: Path, set_to: Set, clip: Path):
    beside = root.with_name("root-too")
    beside.mkdir()
    shutil.copy(clip, beside)
    set_to(source_root=root)
    refusal(PathEscape, source="../root-too/clip.mp4", output=str(root / "out"))


def test_paths_count_from_their_roots(root: Path, set_to: Set):
    set_to(source_root=root, output_root=root)
    accepted = accept_job(TranscodeJob(source="clip.mp4"))
    assert (accepted.source.location, accepted.output) == (root / "clip.mp4", root / "clip.mp4.reelmill")


@pytest.mark.parametrize("has_source_root", [True, False])
def test_sources_of_one_name_have_output_folders_of_their_own_in_a_common_root(
    has_source_root: bool, root: Path, set_to: Set, tmp_path: Path
):
    sources = [root / "clip.mp4", root / "a" / "clip.mp4", root / "b" / "clip.mp4", root / "b" / "clip.mkv"]
    for each in sources[1:]:
        each.parent.mkdir(exist_ok=True)
        shutil.copy(sources[0], each)
    set_to(output_root=tmp_path / "results", **({"source_root": root} if has_source_root else {}))
    outputs = {accept_job(TranscodeJob(source=str(each))).output for each in sources}
    assert len(outputs) == len(sources)
    assert {Path(str(each)).is_relative_to(tmp_path / "results") for each in outputs} == {True}


def test_source_above_the_current_folder_has_its_default_output_in_the_root(
    root: Path, set_to: Set, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(root)
    set_to(output_root=root / "results")
    output = accept_job(TranscodeJob(source="../secret.mp4")).output
    assert Path(str(output)).is_relative_to(root / "results")


def test_absolute_path_inside_its_root_is_taken(root: Path, set_to: Set):
    set_to(source_root=root, output_root=root)
    accepted = accept_job(TranscodeJob(source=str(root / "clip.mp4"), output=str(root / "out")))
    assert (accepted.source.location, accepted.output) == (root / "clip.mp4", root / "out")


# Rows 29 to 31: names are taken literally


@pytest.mark.parametrize(
    "name", ["-version", "100%d.mp4", "concat:a|b", "-i.mp4", "it's; $(x) `y`.mp4", "film 1 [x]*?.mp4", "Фильм.mp4"]
)
def test_odd_names_are_taken_literally(name: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(clip, folder / name)
    monkeypatch.chdir(folder)
    (report,) = finish(prepare_job(TranscodeJob(source=name)), tmp_path / "work").reports.values()
    assert report.file_name == f"{Path(name).stem}.mp4"
    assert report.frames == len(frame_times(clip))
    assert files_below(folder) == [name]


# Rows 32 to 35: what is no path


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.169.254/latest/meta-data", "https://example.org/x.mp4", "HTTP://example.org/x.mp4",
        "file:///etc/passwd", "FILE://etc/passwd", "ftp://x/y", "data://x", "pipe://0",
        "http://0.0.0.0/", "rtmp://x/y",
    ],
)  # fmt: skip
def test_addresses_are_not_opened(field: str, uri: str, clip: Path, tmp_path: Path):
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: uri}
    assert uri.partition(":")[0].lower() in refusal(UriSchemeNotAllowed, **fields)


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize(
    "uri", ["s3://bkt@evil/k", "s3://[::1/k", "s3://", "s3:///k", "s3://ab/k", "s3://Upper/k", "s3://10.0.0.1/k"]
)
def test_name_that_no_bucket_can_have_is_refused(field: str, uri: str, clip: Path, tmp_path: Path):
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: uri}
    assert field in refusal(InvalidUri, **fields)


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize("uri", ["s3://bucket/../k", "s3://bucket/a/..", "s3://bucket/./k"])
def test_key_that_leads_out_is_refused(field: str, uri: str, clip: Path, tmp_path: Path):
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: uri}
    assert field in refusal(PathEscape, **fields, name="x")


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize("key", ["a\nb", "a\0b", "\ud800", "x" * 1025, "é" * 513], ids=ascii)
def test_key_that_no_object_can_have_is_refused(field: str, key: str, clip: Path, tmp_path: Path):
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: f"s3://bucket/{key}"}
    assert field in refusal(InvalidKey, **fields, name="x")


@pytest.mark.parametrize("field", ["source", "output"])
def test_bucket_that_is_not_on_the_list_is_refused(
    field: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REELMILL_S3_BUCKETS", "mine, ours")
    settings.cache_clear()
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: "s3://theirs/clip.mp4"}
    assert "mine, ours" in refusal(BucketNotAllowed, **fields, name="x")


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize("uri", ["s3://bucket/other/k", "s3://bucket/mine-too/k", "s3://other/mine/k", "../k"])
def test_address_outside_a_root_in_a_bucket_is_refused(field: str, uri: str, clip: Path, tmp_path: Path, set_to: Set):
    set_to(**{f"{field}_root": "s3://bucket/mine"})
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: uri}
    assert field in refusal(PathEscape, **fields, name="x")


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize("uri", ["http://[::1", "http://[not-an-address]/x"])
def test_malformed_address_is_refused_like_any_other(field: str, uri: str, clip: Path, tmp_path: Path):
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: uri}
    assert field in refusal(UriSchemeNotAllowed, **fields)


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a\0b.mp4", "control character"), ("a\nb.mp4", "newline"), ("\0", "control"), ("\n", "newline"),
        (os.fsdecode(b"\xff.mp4"), "not UTF-8"), ("ü" * 128, "the 255 bytes of a name"), ("ü/" * 2000, "4000 bytes"),
    ],
)  # fmt: skip
def test_path_that_no_file_should_have_is_refused(field: str, path: str, why: str, clip: Path, tmp_path: Path):
    fields = {"source": str(clip), "output": str(tmp_path / "out"), field: path}
    message = refusal(InvalidUri, **fields)
    assert field in message
    assert why in message


def test_empty_source_is_refused(tmp_path: Path):
    refusal(InvalidUri, source="", output=str(tmp_path / "out"))


def test_name_of_bytes_that_are_no_text_is_taken_or_refused(clip: Path, tmp_path: Path):
    """Linux has such names, and Python makes surrogates of them."""
    source = tmp_path / os.fsdecode(b"\xff.mp4")
    shutil.copy(clip, source)
    with suppress(JobRejected):
        (report,) = finish(prepare_job(TranscodeJob(source=str(source))), tmp_path / "work").reports.values()
        assert report.frames == len(frame_times(clip))


@pytest.mark.parametrize("path", ["x" * 300 + ".mp4", "x/" * 3000 + "a.mp4"], ids=["name", "path"])
def test_path_longer_than_any_can_be_is_refused(path: str, tmp_path: Path):
    with pytest.raises(JobRejected):
        accept_job(TranscodeJob(source=path, name="x", output=str(tmp_path / "out")))


def test_source_that_is_not_there_or_no_file_is_not_found(tmp_path: Path):
    assert "no file" in refusal(SourceNotFound, source=str(tmp_path / "missing.mp4"), output=str(tmp_path / "out"))
    assert "not a file" in refusal(SourceNotFound, source=str(tmp_path), output=str(tmp_path / "out"))
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a file" in refusal(SourceNotFound, source=str(tmp_path / "pipe.mp4"), output=str(tmp_path / "out"))

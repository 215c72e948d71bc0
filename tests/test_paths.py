"""Paths that a user gives, as `local_path` takes them, and what checks them before work begins."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from elegant_tf import paths
from elegant_tf.errors import UserError
from elegant_tf.paths import any_path, check_loadable, check_new_directory, find_beside, local_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("~", "{home}"),
        ("~/faces", "{home}/faces"),
        ("~root/x", "/root/x"),
        ("./~x", "./~x"),
        ("./faces", "./faces"),
        ("faces/", "faces"),
        (Path("~/faces/"), "{home}/faces"),
        ("/", "/"),
        (".", "."),
        ("a[b]/c\\d*?", "a[b]/c\\d*?"),
        (" x y", " x y"),
        ("a:b", "a:b"),
        ("C:/x", "C:/x"),
        ("caf\udce9", "caf\udce9"),
    ],
)
def test_a_path_as_the_user_means_it(given, meant, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path(given, "out") == meant.format(home=tmp_path)
    assert local_path(local_path(given)) == local_path(given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "must be a path; it is empty"),
        (" ", "must be a path; it is empty"),
        ("a\0b", "null bytes"),
        ("a\nb", "line breaks"),
        ("gs://bucket/x", "must be a path on this machine, not on gs://: mount the remote directory, or copy it here"),
        (
            "s3://bucket/x",
            "must be a path on this machine, not on s3://: mount the remote directory, or copy it here",
        ),
        ("hdfs://x", "mount the remote directory, or copy it here"),
        ("http://x/y", "mount the remote directory, or copy it here"),
        ("host:/x", "mount the remote directory, or copy it here"),
        (Path("gs://bucket/x"), "mount the remote directory, or copy it here"),
        ("~nobody-of-this-name/x", "no user 'nobody-of-this-name' here; for a file of this name, write ./~nobody-of"),
    ],
)
def test_what_is_no_path_here_is_refused_naming_the_flag(given, reason):
    with pytest.raises(UserError) as error:
        local_path(given, "data_dir")
    assert str(error.value).startswith("--data_dir=")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError) as error:
        local_path(given)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("gs://bucket/x", "gs://bucket/x"),
        ("GS://bucket//x/", "gs://bucket/x"),
        ("ram://bucket", "ram://bucket"),
        ("file:///faces/", "/faces"),
        ("faces/", "faces"),
        ("~", "{home}"),
    ],
)
def test_a_path_here_or_on_an_object_store(given, meant, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert any_path(given, "out") == meant.format(home=tmp_path)
    assert any_path(any_path(given)) == any_path(given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("s3://bucket/x", "must be a path on this machine, gs:// or ram://; nothing here opens s3://: mount"),
        ("hdfs://x", "nothing here opens hdfs://"),
        ("gs://", "must be gs://BUCKET/PATH"),
        ("gs://bucket/../x", "must be gs://BUCKET/PATH, without . and .."),
        ("gs://bucket/*", "without control characters, *"),
        ("gs://bucket/a\nb", "without control characters"),
        ("gs://bucket/caf\udce9", "in UTF-8"),
        (Path("gs://bucket/x"), "must be a path on this machine"),
        ("host:/x", "must be a path on this machine"),
        ("file://host/x", ""),
        ("", "must be a path; it is empty"),
    ],
)
def test_what_no_store_holds_is_refused_naming_the_flag(given, reason):
    with pytest.raises(UserError) as error:
        any_path(given, "data_dir")
    assert str(error.value).startswith("--data_dir=")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_what_another_package_opens_is_taken(monkeypatch):
    monkeypatch.setattr(paths, "known_schemes", lambda: ("gs", "s3"))
    assert any_path("s3://bucket/x") == "s3://bucket/x"


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_name_in_its_other_unicode_form_is_found(on_disk, tmp_path):
    there = tmp_path / unicodedata.normalize(on_disk, "été")
    there.mkdir()
    for form in ("NFC", "NFD"):
        assert local_path(tmp_path / unicodedata.normalize(form, "été")) == str(there)
    missing = str(tmp_path / unicodedata.normalize("NFD", "é"))
    assert local_path(missing) == missing


def test_a_file_is_found_as_given_or_else_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "labels.csv").touch()
    assert find_beside("labels.csv", "data") == Path("data/labels.csv")
    assert find_beside("data/labels.csv", "data") == Path("data/labels.csv")
    assert find_beside("other.csv", "data") == Path("other.csv")
    (tmp_path / "labels.csv").touch()
    assert find_beside("labels.csv", "data") == Path("labels.csv")


def test_a_new_directory_may_be_missing_or_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    check_new_directory(tmp_path / "empty")
    check_new_directory(tmp_path / "new" / "one")


def test_a_directory_that_is_not_new_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for given, reason in (("../file", "exists already"), ("..", "exists already"), ("/", "exists already"),
                          (".", "is the current directory")):  # fmt: skip
        with pytest.raises(UserError, match=f"--out={given}: {reason}"):
            check_new_directory(given)


def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused(tmp_path, monkeypatch):
    check_loadable(tmp_path / "été {a,b} ]")
    with pytest.raises(UserError, match=r"from a path with \[ \\; choose another directory"):
        check_loadable("a[b\\c[d]")
    with pytest.raises(UserError, match="from a path with bytes that are not UTF-8; choose another"):
        check_loadable("caf\udce9")
    (tmp_path / "[x]").mkdir()
    monkeypatch.chdir(tmp_path / "[x]")
    with pytest.raises(UserError, match="--out=models: TensorFlow loads no SavedModel"):
        check_loadable("models")

"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os

import disk
import pytest

from elegant_tf.errors import UserError
from elegant_tf.files import (
    atomic_directory,
    atomic_file,
    check_writable,
    file_sha256,
    read_json_lines,
    remove_parts,
    write_json,
)

both = pytest.mark.parametrize("atomic", [atomic_file, atomic_directory])


def fill(aside, text):
    """Writes a file, or a directory that holds one."""
    (aside / "inner" if aside.is_dir() else aside).write_text(text)


def break_off(context):
    with context as aside:
        fill(aside, "half")
        raise KeyError


@both
def test_it_appears_when_it_is_full(tmp_path, atomic):
    target = tmp_path / "deep" / "new"
    with atomic(target) as aside:
        fill(aside, "text")
        assert not target.exists()
        assert aside.parent == target.parent
    assert (target / "inner" if atomic is atomic_directory else target).read_text() == "text"
    assert [path.name for path in target.parent.iterdir()] == ["new"]


@both
def test_a_failure_leaves_nothing(tmp_path, atomic):
    with pytest.raises(KeyError):
        break_off(atomic(tmp_path / "new"))
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_file(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(KeyError):
        break_off(atomic_file(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_directory_that_is_there_stays(tmp_path):
    (tmp_path / "new").mkdir()
    with atomic_directory(tmp_path / "new") as aside:  # an empty one is filled
        fill(aside, "mine")
    with pytest.raises(UserError, match="new: cannot be written"), atomic_directory(tmp_path / "new"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "inner"]


@both
def test_a_place_that_cannot_be_written_is_named(tmp_path, atomic):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "new", tmp_path / "a\0new"):
        with pytest.raises(UserError, match=r"new.*: cannot be written"), atomic(place):
            pass


@both
def test_a_users_mistake_inside_keeps_its_text(tmp_path, atomic):
    with pytest.raises(UserError, match=r"^mine$"), atomic(tmp_path / "new"):
        raise UserError("mine")


def test_json_is_indented_utf8(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"ü": [1]})
    text = (tmp_path / "new" / "a.json").read_text("utf-8")
    assert json.loads(text) == {"ü": [1]}
    assert text == '{\n "ü": [\n  1\n ]\n}\n'


def test_json_keeps_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_json(tmp_path / "a.json", [name])
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [name]


def test_a_mistake_inside_a_directory_names_its_place_to_be(tmp_path):
    def fail():
        with atomic_directory(tmp_path / "new") as aside:
            fill(aside, "text")
            write_json(aside / "inner" / "a", 1)

    with pytest.raises(UserError, match=rf"^{tmp_path}/new/inner/a: cannot be written: "):
        fail()


@pytest.mark.parametrize("place", ["there", "deep/new"])
def test_a_place_is_tried_without_a_trace(tmp_path, place):
    (tmp_path / "there").mkdir()
    check_writable(tmp_path / place)
    with disk.full(), pytest.raises(UserError, match=rf"--run_dir={tmp_path}/{place}: cannot be written.*: File too"):
        check_writable(tmp_path / place, "run_dir")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path):
    for name in (f".{'0a' * 16}.part", ".mine.part", "part"):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.part", "part"]


@pytest.mark.parametrize("last", ["", '{"step": ', "\0\0\0", "\udcff"])
def test_a_last_line_that_was_cut_short_is_passed_over(tmp_path, last):
    (tmp_path / "a").write_text(f'{{"step": 1}}\n[2]\n{last}', "utf-8", "surrogateescape")
    assert read_json_lines(tmp_path / "a") == [{"step": 1}, [2]]


def test_other_lines_that_are_no_json_are_named(tmp_path):
    (tmp_path / "a").write_text("1\n{2\n3\n")
    with pytest.raises(UserError, match="a, line 2: is not JSON"):
        read_json_lines(tmp_path / "a")
    with pytest.raises(UserError, match=f"{tmp_path}: cannot be read: Is a directory"):
        read_json_lines(tmp_path)


def test_checksum(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()

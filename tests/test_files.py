"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import json

import pytest

from elegant_tf.errors import UserError
from elegant_tf.files import atomic_directory, atomic_file, write_json

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

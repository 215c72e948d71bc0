"""Files that appear whole or not at all."""

from __future__ import annotations

import pytest

from elegant_tf.errors import UserError
from elegant_tf.files import whole_file


def test_it_appears_when_it_is_full(tmp_path):
    target = tmp_path / "deep" / "new.txt"
    with whole_file(target) as aside:
        aside.write_text("text")
        assert not target.exists()
    assert target.read_text() == "text"
    assert [path.name for path in target.parent.iterdir()] == ["new.txt"]


def test_a_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")

    def fill():
        with whole_file(target) as aside:
            aside.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="new: cannot be written"), whole_file(tmp_path / "file" / "new"):
        pass


def test_a_users_mistake_inside_keeps_its_text(tmp_path):
    with pytest.raises(UserError, match=r"^mine$"), whole_file(tmp_path / "new"):
        raise UserError("mine")

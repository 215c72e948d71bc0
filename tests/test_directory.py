from __future__ import annotations

import pytest

from elegant_tf.errors import UserError
from elegant_tf.export.directory import new_directory


def test_it_appears_when_it_is_full(tmp_path):
    target = tmp_path / "deep" / "new"
    with new_directory(target) as aside:
        (aside / "file").write_text("text")
        assert not target.exists()
        assert aside.parent == target.parent
    assert (target / "file").read_text() == "text"
    assert [path.name for path in target.parent.iterdir()] == ["new"]


def test_a_failure_leaves_nothing(tmp_path):
    def fill():
        with new_directory(tmp_path / "new") as aside:
            (aside / "file").write_text("text")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").touch()
    with pytest.raises(UserError, match="new: cannot be written"), new_directory(tmp_path / "new"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "mine"]


def test_a_place_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), new_directory(tmp_path / "file" / "new"):
        pass

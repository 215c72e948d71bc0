"""A record of long work that outlives a kill."""

from __future__ import annotations

import disk
import pytest

from elegant_tf.data.journal import Journal, says_how_to_go_on
from elegant_tf.errors import UserError

OPTIONS = {"size": 3}


def test_rows_are_added_and_one_cut_short_is_left_out(tmp_path):
    path = tmp_path / "new" / "journal"
    journal = Journal(path)
    assert (journal.options, journal.rows) == (None, [])
    journal.add(OPTIONS, {"photo": 1})
    journal.add(OPTIONS, {"photo": "\udcff"})
    path.write_text(path.read_text() + '{"photo')
    journal = Journal(path)
    assert (journal.options, journal.rows) == (OPTIONS, [{"photo": 1}, {"photo": "\udcff"}])
    journal.add(OPTIONS, {"photo": 3})
    assert [row["photo"] for row in Journal(path).rows] == [1, "\udcff", 3]
    journal.write(OPTIONS, [{"photo": 4}])
    assert Journal(path).rows == [{"photo": 4}]


def test_a_disk_without_room(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.add(OPTIONS, {})
    with disk.full(), pytest.raises(UserError, match="journal: cannot be written: File too large"):
        journal.add(OPTIONS, {})
    assert Journal(tmp_path / "journal").rows == [{}]


@pytest.mark.parametrize(
    ("finished", "text"), [("", "no room"), ("3 photos", "no room. 3 photos, and the same command goes on from there")]
)
def test_errors_say_how_to_go_on(finished, text):
    with pytest.raises(UserError) as error, says_how_to_go_on(lambda: finished):
        raise UserError("no room")
    assert str(error.value) == text

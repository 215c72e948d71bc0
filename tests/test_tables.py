"""Tables as spreadsheets, pandas and people write them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.data.tables import landmark_columns, read_files, read_labels, read_points, read_splits, read_table
from elegant_tf.errors import UserError


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """A function that writes columns of values in either format and reads them."""

    def make(**columns):
        path = tmp_path / f"labels.{request.param}"
        if request.param == "parquet":
            pyarrow = pytest.importorskip("pyarrow")
            from pyarrow import parquet

            parquet.write_table(pyarrow.table(list(columns.values()), names=list(columns)), path)
        else:
            with open(path, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
        return read_table(path)

    return make


def attributes(table):
    place, files = read_files(table)
    return read_labels(table, files, [place])


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        *[("1.0", "0.0"), ("1", "-1"), ("TRUE", "False"), ("Yes", "no"), (" 1 ", "-1.0"), ("yes", "0")],
        *[(1.0, 0.0), (1, 0), (1, -1), (True, False)],
    ],
)
def test_labels(table, yes, no):
    found = attributes(table(file=["a", "b", "c"], Cap=[1, 0, 1], Hat=[yes, no, yes]))
    assert found.select(["Hat"]).labels.tolist() == [[1], [0], [1]]


@pytest.mark.parametrize(
    "odd", [[0, 1, 2, 0], ["a", "", "x" * 200_000, "b"], [0.5, None, 7.0, 1.0], [1, -1, 0, 1], [None] * 4]
)
def test_columns_that_were_not_chosen_never_matter(table, odd):
    found = attributes(table(file=list("abcd"), emotion=odd, Hat=[1, 0, 1, 0]))
    assert found.names == ("Hat",)
    assert found.select(["Hat"]).labels.ravel().tolist() == [1, 0, 1, 0]
    with pytest.raises(UserError, match=r"labels.\w+, line \d: emotion (is|has 0)"):
        found.select(["emotion"])


def test_an_unnamed_and_a_repeated_column(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(",file,Hat,Cap,Cap\n0,a,1,1,0\n1,b,0,0,1\n")
    found = attributes(read_table(path))
    assert found.names == ("Hat",)
    with pytest.raises(UserError, match=r"line 1: .*each once; 'Cap' is twice"):
        found.select(["Cap"])


@pytest.mark.parametrize("name", ["File", " FILENAME ", "Image", "image_ID", "Path"])
def test_the_column_of_files_in_any_case(table, name):
    found = table(**{"Hat": [1, 0], name: ["a", "b"]})
    assert read_files(found) == (1, ["a", "b"])


@pytest.mark.parametrize("name", ["Split", " SPLIT ", "Partition"])
def test_the_column_of_splits_in_any_case(table, name):
    found = table(**{"file": list("abc"), "Hat": [1, 0, 1], name: ["Train", "valid", "TEST"]})
    assert read_splits(found, found.find(["split", "partition"])).tolist() == [0, 1, 2]


def test_the_name_of_a_person_is_not_that_of_a_file(table):
    assert read_files(table(name=["Ann", "Bob"], file=["a", "b"])) == (1, ["a", "b"])


def test_landmarks_in_any_case_and_with_gaps(table):
    columns = {name.upper(): [float(number), None] for number, name in enumerate(COLUMNS)}
    found = table(file=["a", "b"], **columns)
    points = read_points(found, landmark_columns(found))
    assert points[0].tolist() == np.arange(10).reshape(5, 2).tolist()
    assert np.isnan(points[1]).all()


def test_a_landmark_that_is_none_is_named(table):
    found = table(file=["a", "b"], **{name: ["1", "one" if name == "nose_y" else "2"] for name in COLUMNS})
    with pytest.raises(UserError, match=r"line 3: nose_y is 'one'"):
        read_points(found, landmark_columns(found))


def test_tabs_in_csv(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file\tHat\na, b.png\t1\nc.png\t0\n")
    assert read_files(read_table(path)) == (0, ["a, b.png", "c.png"])

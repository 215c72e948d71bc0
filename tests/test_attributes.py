"""CelebA's tables: names, readers, and an error with file and line for anything malformed."""

from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.data.attributes import CELEBA_ATTRIBUTES, AttributeTable, read_attributes, read_partition
from elegant_tf.errors import UserError

GOOD = "3\nBangs Smiling Male\n000001.jpg -1  1 -1\n000002.jpg  1  1 -1\n000003.jpg -1 -1  1\n"


@pytest.fixture
def table() -> AttributeTable:
    labels = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1]], np.int8)
    return AttributeTable(("Bangs", "Smiling", "Male"), ("a.jpg", "b.jpg", "c.jpg"), labels)


def write(tmp_path, text, name="list_attr_celeba.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_celeba_names_are_forty_in_the_files_order():
    assert len(set(CELEBA_ATTRIBUTES)) == len(CELEBA_ATTRIBUTES) == 40
    assert (CELEBA_ATTRIBUTES[0], CELEBA_ATTRIBUTES[-1]) == ("5_o_Clock_Shadow", "Young")
    # The file's columns are in ASCII order.
    assert list(CELEBA_ATTRIBUTES) == sorted(CELEBA_ATTRIBUTES)


def test_reads_signed_labels(tmp_path):
    table = read_attributes(write(tmp_path, GOOD))
    assert table.names == ("Bangs", "Smiling", "Male")
    assert table.files == ("000001.jpg", "000002.jpg", "000003.jpg")
    assert table.labels.dtype == np.int8
    assert table.labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        GOOD + "\n \n",
        "\ufeff" + GOOD,
        GOOD.replace("-1", " 0"),
        GOOD.replace("Male\n", "Male \n"),
        GOOD.replace("-1", " 0.0").replace(" 1", " 1.0"),
        GOOD.replace("-1", " No").replace(" 1", " YES"),
        GOOD.replace("-1", " FALSE").replace(" 1", " True"),
    ],
    ids=[
        *("windows line ends", "blank tail", "byte order mark", "zeros and ones", "CelebA's trailing space"),
        *("decimals", "yes and no", "true and false"),
    ],
)
def test_reads_variants(tmp_path, text):
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert read_attributes(path).labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_utf_16_with_its_mark(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(GOOD.encode("utf-16"))
    assert read_attributes(path).names == ("Bangs", "Smiling", "Male")


@pytest.mark.parametrize("odd", ["2", "", "?", "nan", "0"])
def test_columns_that_were_not_chosen_do_not_matter(tmp_path, odd):
    text = GOOD.replace("000002.jpg  1  1", f"000002.jpg  1  {odd or 'none'}")
    table = read_attributes(write(tmp_path, text))
    assert table.select(["Bangs", "Male"]).labels.tolist() == [[0, 0], [1, 0], [0, 1]]
    with pytest.raises(UserError, match=r"list_attr_celeba.txt, line 4: Smiling (is|has 0)"):
        table.select(["Smiling"])


def test_a_name_in_its_other_unicode_form_is_the_same(tmp_path):
    table = read_attributes(write(tmp_path, "1\nFa\u0308t\na.jpg 1\n"))
    assert table.names == ("F\u00e4t",)
    assert table.column("Fa\u0308t").tolist() == [1]


def test_file_names_may_hold_spaces_and_any_letters(tmp_path):
    table = read_attributes(write(tmp_path, "1\nBangs Male\nmy höhle 顔 1.jpg -1 1\n", "étiquettes 1.txt"))
    assert table.files == ("my höhle 顔 1.jpg",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "0 lines"),
        ("1\n", "1 lines"),
        ("many\nBangs\na.jpg 1\n", "line 1: expected the number of images"),
        ("2\nBangs\na.jpg 1\n", "says 2 images, but 1 rows"),
        ("1\nBangs Bangs\na.jpg 1 1\n", "line 2: expected names of columns, each once; 'Bangs' is twice"),
        ("1\n\na.jpg 1\n", "line 2: expected the attribute names"),
        ("2\nBangs Male\na.jpg 1 1\nb.jpg 1\n", "line 4: expected a file name and 2 values; found 1"),
        ("2\nBangs Male\na.jpg 1 1\nb.jpg 1 1 1\n", "line 4: expected a file name and 2 values; found 3"),
        ("2\nBangs Male\na.jpg 1 1\n\n b.jpg 1 1\n", "line 4: expected a file name"),
        ("2\nBangs\na.jpg 1\nb.jpg 2\n", "line 4: Bangs is '2'; expected 1 or 0"),
        ("2\nBangs\na.jpg 1\nb.jpg si\n", "line 4: Bangs is 'si'; expected 1 or 0"),
        ("2\nBangs\na.jpg -1\nb.jpg 0\n", "line 4: Bangs has 0 where other lines have -1"),
        ("3\nBangs\na.jpg 1\nb.jpg 1\na.jpg -1\n", "line 5: 'a.jpg' was already on line 3"),
    ],
)
def test_malformed_label_files_name_file_and_line(tmp_path, text, expected):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_attributes(path)
    assert expected in str(error.value)
    assert str(path) in str(error.value)


def test_unreadable_label_files(tmp_path):
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xd8\xff\xe0 not text")
    for path, expected in (
        (tmp_path / "none.txt", "no such file"),
        (tmp_path, "cannot be read"),
        (binary, "line 1: is not a text file"),
    ):
        with pytest.raises(UserError, match=expected) as error:
            read_attributes(path)
        assert str(path) in str(error.value)


def test_reads_partition(tmp_path):
    assert read_partition(write(tmp_path, "a.jpg 0\nb c.jpg 1\nd.jpg 2\n")) == {
        "a.jpg": 0,
        "b c.jpg": 1,
        "d.jpg": 2,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.jpg 0\nb.jpg 3\n", "line 2: found '3'"),
        ("a.jpg 0\nb.jpg\n", "line 2: expected a file name and 1 values; found 0"),
        ("a.jpg 0\na.jpg 1\n", "line 2: 'a.jpg' was already on line 1"),
    ],
)
def test_malformed_partitions_name_file_and_line(tmp_path, text, expected):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_partition(path)
    assert expected in str(error.value)
    assert str(path) in str(error.value)


def test_select_keeps_the_order_asked_for(table):
    selected = table.select(["Male", "Bangs"])
    assert selected.names == ("Male", "Bangs")
    assert selected.files == table.files
    assert selected.labels.tolist() == [[0, 0], [0, 1], [1, 0]]


def test_column_and_take(table):
    assert table.column("Smiling").tolist() == [1, 1, 0]
    taken = table.take(np.array([2, 0]))
    assert taken.files == ("c.jpg", "a.jpg")
    assert taken.labels.tolist() == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("name", ["smiling", "Smilling", "SMILING"])
def test_unknown_attribute_gets_a_suggestion(table, name):
    with pytest.raises(UserError, match="did you mean Smiling") as error:
        table.column(name)
    assert repr(name) in str(error.value)
    assert "Bangs, Smiling, Male" in str(error.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Zebra"], "unknown attribute 'Zebra': Known are"),
        ([], "empty"),
        (["Male", "Male"], "twice"),
        ("Male", "list"),
    ],
)
def test_senseless_selections(table, names, expected):
    with pytest.raises(UserError, match=expected):
        table.select(names)

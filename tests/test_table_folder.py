"""A user's own images and table, as spreadsheets and people write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from elegant_tf.data.collection import CollectionSource
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.data.table_folder import open_table_folder
from elegant_tf.data.tables import read_table
from elegant_tf.errors import UserError

FILES = ("a.png", "b.png", "sub/c.png", "d, e.png")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mes animaux"
    (root / "sub").mkdir(parents=True)
    for number, file in enumerate(FILES):
        Image.new("RGB", (20, 30), (60 * number,) * 3).save(root / file)
    return root


def write(folder, text, name="labels.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder


PLAIN = 'file,Striped,Fat\na.png,1,0\nb.png,0,1\nsub/c.png,1,1\n"d, e.png",0,0\n'
VARIANTS = {
    "plain": PLAIN,
    "minus": 'file,Striped,Fat\na.png,1,-1\nb.png,-1,1\nsub/c.png,1,1\n"d, e.png",-1,-1\n',
    "words": 'file,Striped,Fat\na.png,TRUE,false\nb.png,False,true\nsub/c.png,true,True\n"d, e.png",false,FALSE\n',
    "crlf and bom": "\ufeff" + PLAIN.replace("\n", "\r\n"),
    "blank lines and spaces": PLAIN.replace("\n", "\n\n").replace(",1", ", 1 "),
    "semicolons": "file;Striped;Fat\na.png;1;0\nb.png;0;1\nsub/c.png;1;1\nd, e.png;0;0\n",
    "other column": 'weight,path,Striped,Fat\n7.5,a.png,1,0\n8,b.png,0,1\n,./sub/c.png,1,1\nx,"d, e.png",0,0\n',
    "backslashes": PLAIN.replace("sub/c", "sub\\c"),
    "unknown file column": PLAIN.replace("file,", "Bild,"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_tables_of_all_kinds(folder, variant):
    source = CollectionSource(open_table_folder(write(folder, VARIANTS[variant])), ["Fat", "Striped"], 32, "train")
    assert source.files == FILES
    assert source.labels.tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]
    np.testing.assert_allclose(source.load(3), 180, atol=2)


def test_every_other_column_is_known_as_text(folder):
    text = "file,Striped,split,region,age,region\na.png,1,0,north,4,x\nb.png,0,0, south ,5,x\nsub/c.png,1,0,,6,x\n"
    write(folder, text + '"d, e.png",0,2,north,7,x\n')
    collection = open_table_folder(folder)
    assert collection.columns == ("Striped", "region", "age")
    source = CollectionSource(collection, ["Striped"], 32, "train")
    assert source.columns == collection.columns
    assert source.column("Striped").tolist() == ["yes", "no", "yes"]
    assert source.column("age").tolist() == ["4", "5", "6"]
    with pytest.raises(UserError, match="'region' is twice"):
        source.column("region")
    write(folder, text.replace("age,region", "age,other") + '"d, e.png",0,2,north,7,x\n')
    assert open_table_folder(folder).column("region").tolist() == ["north", "south", "", "north"]


def test_tabs(folder):
    text = PLAIN.replace('"d, e.png"', "d| e.png").replace(",", "\t").replace("|", ",")
    assert open_table_folder(write(folder, text, "labels.TSV")).table.files == FILES


def test_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"file": list(FILES), "Striped": [True, False, True, False], "Fat": [0, 1, 1, 0]}
    parquet.write_table(pyarrow.table(columns), folder / "labels.parquet")
    collection = open_table_folder(folder)
    assert collection.table.labels.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]
    (folder / "labels.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match=r"labels.parquet: cannot be read"):
        open_table_folder(folder)


def test_splits_and_landmarks(folder):
    rows = [f'"{file}",1,{split},' + ",".join(map(str, range(10))) for file, split in zip(FILES, "0012", strict=True)]
    write(folder, "\n".join(["file,Striped,split," + ",".join(COLUMNS), *rows]))
    collection = open_table_folder(folder)
    assert collection.table.names == ("Striped",)
    assert collection.splits.tolist() == [0, 0, 1, 2]
    assert collection.landmarks[1].tolist() == np.arange(10).reshape(5, 2).tolist()
    assert collection.rows("validation").tolist() == [2]


def test_a_table_elsewhere(folder, tmp_path):
    write(tmp_path, PLAIN, "mine.csv")
    assert open_table_folder(folder, tmp_path / "mine.csv").table.files == FILES


def test_a_table_beside_the_images_or_as_given(folder, tmp_path, monkeypatch):
    write(folder, PLAIN, "mine.csv")
    write(folder, PLAIN.replace("Fat", "Slim"), "other.csv")
    monkeypatch.chdir(tmp_path)
    assert open_table_folder(folder, "mine.csv").table.names == ("Striped", "Fat")
    write(tmp_path, PLAIN.replace("Fat", "Old"), "mine.csv")
    assert open_table_folder(folder, "mine.csv").table.names == ("Striped", "Old")
    with pytest.raises(UserError, match=r"--labels_file=none.csv: no such file, here or in .*mes animaux"):
        open_table_folder(folder, "none.csv")


def test_hidden_tables_are_not_tables(folder):
    for name in ("._labels.csv", "~$labels.csv", ".labels.csv"):
        write(folder, "binary", name)
    assert open_table_folder(write(folder, PLAIN)).table.files == FILES


def test_a_file_named_twice_in_different_ways(folder):
    with pytest.raises(UserError, match=r"line 3: 'sub/c.png' was already on line 2"):
        open_table_folder(write(folder, "file,Fat\nsub/c.png,1\nsub/../sub//c.png,1\n"))


def test_landmarks_that_are_no_numbers_do_not_stop_training(folder):
    rows = [f'"{file}",1,' + ",".join("0123456?89") for file in FILES]
    collection = open_table_folder(write(folder, "\n".join(["file,Fat," + ",".join(COLUMNS), *rows])))
    assert collection.landmarks is None
    assert "line 2: leftmouth_y is '?'" in collection.landmarks_problem


def test_missing_images_and_rows_are_named(folder):
    write(folder, PLAIN.replace("b.png", "gone.png"))
    collection = open_table_folder(folder)
    assert (collection.missing, collection.unlabelled) == (("gone.png",), ("b.png",))
    with pytest.raises(UserError, match=r"lacks 1 of the 4 images in .*labels.csv \(gone.png\)"):
        collection.check_agreement()
    write(folder, PLAIN.replace("b.png,0,1\n", ""))
    with pytest.raises(UserError, match=r"no labels for 1 of the 4 images .*\(b.png\)"):
        open_table_folder(folder).check_agreement()


def test_links_in_circles_are_not_followed(folder):
    (folder / "sub" / "again").symlink_to(folder, target_is_directory=True)
    assert not open_table_folder(write(folder, PLAIN)).unlabelled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("file,Fat\n", "has no rows"),
        ("file,Fat,Fat\na.png,1,0\n", "line 1: expected names of columns, each once"),
        (",,\na.png,1,0\n", "line 1: expected names"),
        ("file,File,Fat\na.png,a.png,0\n", "line 1: names two columns 'file'"),
        ("file,Fat\na.png,1\nb.png,1,0\n", "line 3: has 3 values, the header 2"),
        ("file,Fat\na.png,1\nd, e.png,0\n", "line 3: has 3 values, the header 2; a name with a comma needs quotes"),
        ("file,Fat\na.png,1\nb.png\n", "line 3: has 1 values"),
        ("file,Fat\na.png,1\nb.png,0\na.png,0\n", "line 4: 'a.png' was already on line 2"),
        ("file,Fat\na.png,1\n,0\n", "line 3: names no file"),
        ("file,Fat\na.png,1\nb.png,0\nsub/c.png,2\n", "line 4: Fat is '2'; expected 1 or 0, 1 or -1, yes or no"),
        ("file,Fat\na.png,1\nb.png,0\nsub/c.png,\n", "line 4: Fat is ''"),
        ("file,Fat\na.png,-1\nb.png,0\nsub/c.png,1\n", "line 3: Fat has 0 where other lines have -1"),
        ("file,weight\na.png,12\nb.png,13\n", "no column of labels (1 or 0"),
        ("file,Fat,split\na.png,1,train\nb.png,0,exam\n", "line 3: split is 'exam'"),
        ('file,Fat\n"a.png,1\n', "line"),
    ],
)
def test_malformed_tables_name_file_and_line(folder, text, expected):
    write(folder, text)
    with pytest.raises(UserError) as error:
        open_table_folder(folder)
    assert expected in str(error.value)
    assert "labels.csv" in str(error.value)


def test_which_table(folder, tmp_path):
    with pytest.raises(UserError, match="found none: name it with --labels_file"):
        open_table_folder(folder)
    write(write(folder, PLAIN), PLAIN, "more.csv")
    with pytest.raises(UserError, match=r"found labels.csv, more.csv"):
        open_table_folder(folder)
    with pytest.raises(UserError, match=r"labels.xlsx: expected a name ending"):
        open_table_folder(folder, "labels.xlsx")
    with pytest.raises(UserError, match="no such file"):
        open_table_folder(folder, tmp_path / "none.csv")
    with pytest.raises(UserError, match="is not a text file"):
        open_table_folder(write(folder, "file,Fät\n", "latin.csv", "latin-1"), folder / "latin.csv")
    with pytest.raises(UserError, match="no such directory"):
        open_table_folder(tmp_path / "none")


def test_a_folder_without_images(tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        open_table_folder(write(tmp_path, PLAIN))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1, max_size=5))
def test_any_name_survives_the_table(tmp_path_factory, names):
    import csv

    path = tmp_path_factory.mktemp("names") / "labels.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "Fat"], *([f"x{name}.png", "1"] for name in names)])
    assert read_table(path).column("file") == [f"x{name}.png" for name in names]

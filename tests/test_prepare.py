"""Records: written from any collection, and equal for equal input, whatever happens in between."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dirty
import disk
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from elegant_tf.data.celeba_layout import open_celeba
from elegant_tf.data.collection import CollectionSource
from elegant_tf.data.preparation import Settings, encode
from elegant_tf.data.prepare import prepare
from elegant_tf.data.records import RecordsSource, open_records
from elegant_tf.data.similarity import align, target_points
from elegant_tf.data.table_folder import open_table_folder
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, resize
from elegant_tf.runlock import WRITING, locked
from elegant_tf.synthetic import make_face, write_celeba

COUNT, SEED, SIZE = 24, 5, 64


@pytest.fixture(scope="module")
def celeba(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("prepare") / "celeba"
    write_celeba(out, COUNT, 80, SEED, counterfactuals=0)
    return out


@pytest.fixture(scope="module")
def records(celeba) -> Path:
    out = celeba.parent / "records"
    prepare(open_celeba(celeba), out, Settings(SIZE, encoding="png", shard_images=10))
    return out


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_manifest_says_what_is_there(records, celeba):
    manifest = json.loads((records / "manifest.json").read_text())
    labels = open_celeba(celeba).table
    assert (manifest["images"], manifest["dropped"]) == (COUNT, [])
    assert manifest["splits"] == {"train": 20, "validation": 2, "test": 2}
    assert manifest["positives"] == dict(zip(labels.names, labels.labels.sum(axis=0).tolist(), strict=True))
    assert [shard["images"] for shard in manifest["shards"]] == [10, 10, 4]
    for shard in manifest["shards"]:
        path = records / shard["file"]
        assert path.stat().st_size == shard["bytes"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
    assert manifest["settings"] == {
        "image_size": SIZE,
        "alignment": "similarity",
        "encoding": "png",
        "quality": 95,
        "shard_images": 10,
    }


def test_records_are_the_aligned_images(records, celeba):
    collection, source = open_celeba(celeba), RecordsSource(open_records(records), ["Bangs"], "train")
    for index in (0, 9, 19):
        row = collection.table.files.index(source.files[index])
        face, _ = align(collection.read(row), collection.landmarks[row], SIZE)
        assert (source.load(index) == face).all()
    landmarks = open_records(records).collection.landmarks
    assert landmarks.shape == (COUNT, 5, 2)
    assert abs(landmarks[:, :2] - target_points(SIZE)[:2]).max() < 4  # drawn faces differ from the mean face


def test_records_have_the_same_labels_and_splits(records, celeba):
    ours, theirs = open_records(records).collection, open_celeba(celeba)
    assert (ours.table.names, ours.table.files) == (theirs.table.names, theirs.table.files)
    assert (ours.table.labels == theirs.table.labels).all()
    assert (ours.splits == theirs.splits).all()


def test_any_reader_of_tfrecords_can_read_them(records, celeba):
    collection = open_celeba(celeba)
    shards = sorted(str(path) for path in records.glob("*.tfrecord"))
    examples = [tf.train.Example.FromString(data.numpy()) for data in tf.data.TFRecordDataset(shards)]
    assert len(examples) == COUNT
    for row, example in enumerate(examples):
        feature = example.features.feature
        assert feature["file"].bytes_list.value[0].decode() == collection.table.files[row]
        assert list(feature["labels"].int64_list.value) == collection.table.labels[row].tolist()
        assert feature["row"].int64_list.value[0] == row
        assert tf.io.decode_png(feature["image"].bytes_list.value[0]).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("workers", [1, 5])
def test_equal_input_gives_equal_files(records, celeba, tmp_path, workers):
    settings = Settings(SIZE, encoding="png", shard_images=10)
    prepare(open_celeba(celeba), tmp_path / "again", settings, workers=workers)
    assert contents(tmp_path / "again") == contents(records)


def test_crop_and_jpeg(celeba, tmp_path):
    prepare(open_celeba(celeba), tmp_path / "out", Settings(40, "crop"))
    source = RecordsSource(open_records(tmp_path / "out"), ["Bangs"], "train")
    expected = resize(read_image(celeba / "img_align_celeba" / "000003.jpg"), 40)
    assert source.encoded(2)[:2] == b"\xff\xd8"
    assert abs(source.load(2).astype(int) - expected).mean() < 3
    landmarks = open_records(tmp_path / "out").collection.landmarks
    np.testing.assert_allclose(landmarks[2], make_face(SEED, 2).landmarks(80) / 2 - 0.25, atol=0.3)


@pytest.mark.parametrize(("size", "across"), [(64, 1), (128, 2)])
def test_small_jpegs_have_colour_at_every_pixel(size, across):
    """Large ones have it at every other pixel, like photos, which is faster to decode."""
    data = encode(np.zeros((size, size, 3), np.uint8), Settings(size))
    with Image.open(io.BytesIO(data)) as image:
        luminance, *colours = [component[1:3] for component in image.layer]
    assert (luminance, colours) == ((across, across), [(1, 1), (1, 1)])


def test_images_as_they_are(celeba, tmp_path):
    settings = Settings(256, "none", encoding="png")
    manifest = prepare(open_celeba(celeba), tmp_path / "out", settings)
    assert manifest["settings"]["image_size"] == 0
    collection = open_records(tmp_path / "out").collection
    assert (collection.read(3) == open_celeba(celeba).read(3)).all()
    assert CollectionSource(collection, ["Bangs"], 32, "train").load(0).shape == (32, 32, 3)


def table_folder(tmp_path) -> tuple[Path, list[str], list[str]]:
    root = tmp_path / "dirty"
    good, bad = dirty.write(root)
    bad.remove("nowhere.jpg")
    (root / "nowhere.jpg").unlink()
    lines = [f'"{file}",{number % 2}' for number, file in enumerate([*good, *bad])]
    (root / "labels.csv").write_bytes(("\ufefffile,Odd\r\n" + "\r\n".join(lines)).encode())
    return root, good, bad


def test_dirty_data_is_named_and_nothing_else_is_lost(tmp_path):
    root, good, bad = table_folder(tmp_path)
    manifest = prepare(open_table_folder(root), tmp_path / "out", Settings(32, "crop", encoding="png"))
    assert [entry["file"] for entry in manifest["dropped"]] == bad
    for entry in manifest["dropped"]:
        assert entry["file"] in entry["reason"]
    collection = open_records(tmp_path / "out").collection
    assert collection.table.files == tuple(good)
    for row, file in enumerate(good):
        assert (collection.read(row) == resize(read_image(root / file), 32)).all()
        assert collection.table.labels[row, 0] == row % 2


def test_unreadable_permissions(tmp_path):
    """As another user, if this one may read everything."""
    root, _, _ = table_folder(tmp_path)
    (root / "cmyk.jpg").chmod(0)
    program = (
        "import os, sys; from elegant_tf.images import read_image, BadImage\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: read_image('cmyk.jpg')\n"
        "except BadImage as error: print(error)"
    )
    for folder in (root, tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout == "cmyk.jpg: cannot be opened: Permission denied\n", done.stderr


def test_landmarks_of_another_variant_are_reported(celeba, tmp_path):
    """Landmarks in pixels of larger images, such as the in-the-wild variant's, would make black crops."""
    root = tmp_path / "celeba"
    root.mkdir()
    for path in celeba.iterdir():
        if path.name != "list_landmarks_align_celeba.txt":
            (root / path.name).symlink_to(path)
    lines = (celeba / "list_landmarks_align_celeba.txt").read_text().splitlines()
    rows = [line.split() for line in lines[2:]]
    rows = [" ".join([row[0], *(str(int(word) + 300) for word in row[1:])]) for row in rows]
    (root / "list_landmarks_align_celeba.txt").write_text("\n".join([*lines[:2], *rows]))
    with pytest.raises(UserError, match=r"landmarks lie outside most images.*another variant"):
        prepare(open_celeba(root), tmp_path / "out", Settings(SIZE))
    (root / "list_landmarks_align_celeba.txt").write_text("\n".join(lines))
    assert prepare(open_celeba(root), tmp_path / "out", Settings(SIZE))["images"] == COUNT


def test_without_landmarks(celeba, tmp_path):
    root = tmp_path / "celeba"
    root.mkdir()
    for name in ("img_align_celeba", "list_attr_celeba.txt"):
        (root / name).symlink_to(celeba / name)
    with pytest.raises(UserError, match=r"aligned, but there is no list_landmarks_align_celeba.txt.*--detect"):
        prepare(open_celeba(root), tmp_path / "out", Settings(SIZE))
    points = np.array(make_face(SEED, 0).landmarks(80))
    prepare(open_celeba(root), tmp_path / "out", Settings(SIZE), detect=lambda image: points)
    assert len(open_records(tmp_path / "out").collection.table.files) == COUNT


def test_faces_that_are_not_found_are_left_out(celeba, tmp_path):
    collection = open_celeba(celeba)

    def detect(image):
        if not image[0, 0].sum() % 2:
            raise UserError("no face was found")
        return make_face(SEED, 0).landmarks(80)

    object.__setattr__(collection, "landmarks", None)
    manifest = prepare(collection, tmp_path / "out", Settings(SIZE), detect)
    assert manifest["dropped"]
    assert manifest["images"] + len(manifest["dropped"]) == COUNT
    assert all(entry["reason"] == f"{entry['file']}: no face was found" for entry in manifest["dropped"])


def test_an_interrupted_run_continues(records, celeba, tmp_path, monkeypatch):
    settings, out = Settings(SIZE, encoding="png", shard_images=10), tmp_path / "out"
    collection = open_celeba(celeba)
    read, seen = collection.read, []

    def fail(index):
        seen.append(index)
        if index == 15:
            raise KeyboardInterrupt
        return read(index)

    object.__setattr__(collection, "read", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare(collection, out, settings, workers=1)
    assert sorted(path.name for path in out.iterdir()) == [
        "images-00000-of-00003.npz",
        "images-00000-of-00003.tfrecord",
        "settings.json",
    ]
    with pytest.raises(UserError, match=r"has no manifest.json.*the same command continues"):
        open_records(out)
    seen.clear()
    object.__setattr__(collection, "read", lambda index: seen.append(index) or read(index))
    prepare(collection, out, settings)
    assert min(seen) == 10
    assert contents(out) == contents(records)


def test_a_run_that_an_older_version_began_continues(records, celeba, tmp_path):
    """Its shards were called pictures-…"""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("images-00000-of-00003.npz", "images-00000-of-00003.tfrecord", "settings.json"):
        shutil.copy(records / name, out / name.replace("images", "pictures"))
    manifest = prepare(open_celeba(celeba), out, Settings(SIZE, encoding="png", shard_images=10))
    assert [shard["file"] for shard in manifest["shards"]] == [f"pictures-0000{k}-of-00003.tfrecord" for k in range(3)]
    assert {name.replace("pictures", "images") for name in contents(out)} == contents(records).keys()


@pytest.fixture
def unread(celeba):
    """The collection, and a list of the rows that are read from now on."""
    collection, rows = open_celeba(celeba), []
    read = collection.read
    object.__setattr__(collection, "read", lambda row: rows.append(row) or read(row))
    return collection, rows


PNG = Settings(SIZE, encoding="png", shard_images=10)


def test_a_finished_one_is_left_as_it_is(records, unread, capsys):
    before = {path: path.stat().st_ino for path in records.glob("images-*")}
    assert prepare(unread[0], records, PNG) == json.loads((records / "manifest.json").read_text())
    assert not unread[1]
    assert {path: path.stat().st_ino for path in records.glob("images-*")} == before
    assert "24 of 24 images are finished already" in capsys.readouterr().err


def test_a_disk_without_room_is_noticed_before_the_work(unread, tmp_path):
    with disk.full(), pytest.raises(UserError, match=r"--out=.*out: cannot be written in .*: File too large"):
        prepare(unread[0], tmp_path / "out", PNG)
    assert not unread[1]
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_keeps_what_is_finished(records, celeba, tmp_path):
    collection, out = open_celeba(celeba), tmp_path / "out"
    read = collection.read
    said = r"00001-of-00003.tfrecord: cannot be written: File too large. 10 of 24 images are finished, and the same"
    with disk.filling() as fill:
        object.__setattr__(collection, "read", lambda row: (row == 15 and fill(), read(row))[1])
        with pytest.raises(UserError, match=said):
            prepare(collection, out, PNG, workers=1)
    assert not list(out.glob(".*"))
    prepare(open_celeba(celeba), out, PNG)
    assert contents(out) == contents(records)


@pytest.mark.parametrize("name", ["images-00001-of-00003.npz", "images-00001-of-00003.tfrecord", "manifest.json"])
def test_a_file_that_a_crash_emptied_is_written_again(records, unread, tmp_path, name):
    out = shutil.copytree(records, tmp_path / "out")
    (out / name).write_bytes(bytes(3))
    (out / f".{'0' * 32}.part").write_bytes(b"left by a kill")
    prepare(unread[0], out, PNG)
    assert sorted(unread[1]) == ([] if name == "manifest.json" else list(range(10, 20)))
    assert contents(out) == contents(records)


def test_one_call_at_a_time_writes_into_a_directory(celeba, tmp_path):
    with (
        locked(tmp_path / "out", WRITING),
        pytest.raises(UserError, match=f"process {os.getpid()} on .* has been w"),
    ):
        prepare(open_celeba(celeba), tmp_path / "out", PNG)
    assert not (tmp_path / "out").exists()


def test_what_a_kill_left_first_is_no_ones(celeba, tmp_path):
    (tmp_path / f".{'0' * 32}.part").touch()
    prepare(open_celeba(celeba), tmp_path, PNG)


def test_images_that_were_mended_or_changed_are_taken_in(tmp_path):
    root, good, bad = table_folder(tmp_path)
    settings, out = Settings(32, "crop", shard_images=4), tmp_path / "out"
    prepare(open_table_folder(root), out, settings)
    untouched = [path.stat().st_ino for path in sorted(out.glob("images-00003-*"))]
    shutil.copy(root / good[0], root / bad[0])  # mended; it is in shard 2
    shutil.copy(root / good[1], root / good[2])  # changed
    table = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(table.replace('"turned.jpg",1', '"turned.jpg",0'))
    manifest = prepare(open_table_folder(root), out, settings)
    assert [entry["file"] for entry in manifest["dropped"]] == bad[1:]
    assert [path.stat().st_ino for path in sorted(out.glob("images-00003-*"))] == untouched
    prepare(open_table_folder(root), tmp_path / "anew", settings)
    assert contents(out) == contents(tmp_path / "anew")


KILLED = """
import sys
from elegant_tf.data.celeba_layout import open_celeba
from elegant_tf.data.preparation import Settings
from elegant_tf.data.prepare import prepare
prepare(open_celeba(sys.argv[1]), sys.argv[2], Settings(256, encoding="png", shard_images=2), workers=1)
"""


def test_a_killed_run_leaves_no_bad_shard(celeba, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(celeba), str(out)], stderr=subprocess.PIPE)
    killer = threading.Timer(120, process.kill)
    killer.start()
    while not list(out.glob("*.npz")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killer.cancel()
    for index in out.glob("*.npz"):
        with np.load(index) as places:
            data = index.with_suffix(".tfrecord").read_bytes()
            for offset, length in zip(places["offsets"], places["lengths"], strict=True):
                assert data[offset : offset + length].startswith(b"\x89PNG")
    settings = Settings(256, encoding="png", shard_images=2)
    collection = open_celeba(celeba)
    prepare(collection, out, settings)
    prepare(collection, tmp_path / "undisturbed", settings)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_other_settings_or_input_are_refused(records, celeba, tmp_path):
    collection = open_celeba(celeba)
    with pytest.raises(UserError, match=r"holds other records: image_size \(there 64, now 32\)"):
        prepare(collection, records, Settings(32, encoding="png", shard_images=10))
    other = tmp_path / "other"
    write_celeba(other, 4, 48, 1, counterfactuals=0)
    with pytest.raises(UserError, match=r"holds other records: images \(there 24, now 4\)"):
        prepare(open_celeba(other), records, Settings(SIZE, encoding="png", shard_images=10))
    with pytest.raises(UserError, match="already exists"):
        prepare(collection, celeba, Settings(SIZE))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        prepare(collection, tmp_path / "file" / "out", Settings(SIZE))


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"image_size": 8}, "--image_size=8"),
        ({"image_size": 9999}, "--image_size=9999"),
        ({"alignment": "magic"}, "--alignment=magic"),
        ({"encoding": "gif"}, "--encoding=gif"),
        ({"quality": 0}, "--quality=0"),
        ({"shard_images": 0}, "--shard_images=0"),
    ],
)
def test_senseless_settings(options, flag):
    with pytest.raises(UserError, match=flag):
        Settings(**options)


def test_images_and_labels_that_disagree(celeba, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("file,Odd\na.png,1\nb.png,0\n")
    with pytest.raises(UserError, match=r"lacks 1 of the 2 images .*\(b.png\)"):
        prepare(open_table_folder(tmp_path), tmp_path / "out", Settings(32, "crop"))
    assert not (tmp_path / "out").exists()

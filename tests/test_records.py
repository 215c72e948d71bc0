"""Reading records, and what can happen to them."""

from __future__ import annotations

import commands
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from elegant_tf.config import DataConfig
from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.preparation import Settings
from elegant_tf.data.prepare import prepare
from elegant_tf.data.records import RecordsSource
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.table_folder import open_table_folder
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, to_float
from elegant_tf.sources import open_source

COUNT, SIZE = 120, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of noise, every second of which is labelled striped, and their table."""
    root = tmp_path_factory.mktemp("records") / "folder"
    root.mkdir()
    random = np.random.default_rng(0)
    for number in range(COUNT):
        noise = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        noise.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(root / f"{number:03d}.png")
    rows = [f"{number:03d}.png,{number % 2},{number // 2 % 2}" for number in range(COUNT)]
    (root / "labels.csv").write_text("\n".join(["file,Striped,Fat", *rows]))
    return root


@pytest.fixture(params=["png", "jpeg"])
def records(folder, tmp_path, request):
    settings = Settings(SIZE, "crop", encoding=request.param, shard_images=50)
    prepare(open_table_folder(folder), tmp_path / "records", settings)
    return tmp_path / "records"


def read(place, attributes=("Striped",), size=SIZE, kind="records"):
    return open_source(DataConfig(kind=kind, data_dir=str(place)), attributes, size)


def batches(source, count, start=0, **options):
    sampler = PairSampler(source.labels, 12, "round_robin", 3, flip=True)
    dataset = pair_dataset(source, sampler, start, **options)
    return list(dataset.take(count).as_numpy_iterator())


def same(first, second):
    return all((first[key] == second[key]).all() for key in first)


def test_batches_of_records_are_those_of_the_files(records, folder):
    """Decoded by TensorFlow, mirrored, in the same order."""
    ours, theirs = read(records, ("Striped", "Fat")), read(folder, ("Striped", "Fat"), kind="folder")
    assert isinstance(ours, RecordsSource)
    jpeg = ours.encoded(0)[:2] == b"\xff\xd8"
    for first, second in zip(batches(ours, 8), batches(theirs, 8), strict=True):
        assert first.keys() == second.keys()
        for key in ("y_a", "y_b", "attribute"):
            assert (first[key] == second[key]).all()
        for key in ("a", "b"):
            assert abs(first[key] - second[key]).mean() < (0.05 if jpeg else 1e-6)


def test_tensorflow_decodes_as_pillow_does(records):
    source = read(records)
    sampler = PairSampler(source.labels, 12, "round_robin", 3)
    batch = next(iter(pair_dataset(source, sampler)))
    expected = to_float(np.stack([source.load(index) for index in sampler.batch(0).a.tolist()]))
    assert abs(batch["a"].numpy() - expected).max() < 3 / 127.5


def test_records_resume_by_number_and_are_the_same_for_any_parallel_calls(records):
    source = read(records)
    whole = batches(source, 20)
    for options in ({"parallel": 1}, {"parallel": 7, "prefetch": 1}):
        assert all(map(same, whole, batches(source, 20, **options)))
    assert all(map(same, whole[13:], batches(source, 7, start=13)))


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_every_batch(records, workers):
    source = read(records)
    parts = [batches(source, 5, worker=worker, workers=workers) for worker in range(workers)]
    for k, whole in enumerate(batches(source, 5)):
        joined = {key: np.concatenate([part[k][key] for part in parts]) for key in whole}
        assert same(joined, whole)


def test_a_batch_that_workers_cannot_share(records):
    with pytest.raises(UserError, match="must be a multiple of the 5 workers"):
        batches(read(records), 1, workers=5)


def test_other_sizes_are_resized(records):
    source = read(records, size=16)
    assert source.load(5).shape == (16, 16, 3)
    assert batches(source, 1)[0]["a"].shape == (12, 16, 16, 3)


def damage(records, row):
    """Changes a byte in the middle of an image; returns the shard's path."""
    image = read(records).encoded(row)
    for path in records.glob("*.tfrecord"):
        content = path.read_bytes()
        place = content.find(image)
        if place >= 0:
            place += len(image) // 2
            path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
            return path
    raise AssertionError("no shard holds it")


def test_a_damaged_record_is_named_and_replaced(records):
    path = damage(records, 55)
    source = read(records)
    with pytest.raises(BadImage, match=r"055.png: is damaged") as error:
        source.encoded(55)
    assert str(path) in str(error.value)
    bad_images = BadImages(COUNT)
    for batch in batches(source, 10, bad_images=bad_images):
        assert (batch["y_a"] == 1).all()
    assert bad_images.count == 1


def test_many_damaged_records_end_in_a_user_error(records):
    for row in (55, 57):
        damage(records, row)
    bad_images = BadImages(COUNT)
    with pytest.raises(tf.errors.OpError):
        batches(read(records), 10, bad_images=bad_images)
    assert "055.png: is damaged" in bad_images.failure


def test_records_of_another_size_are_not_decoded_by_tensorflow(records):
    assert not isinstance(read(records, size=64), RecordsSource)


@pytest.mark.parametrize(
    ("pattern", "content", "expected"),
    [
        ("*.tfrecord", b"cut", r"tfrecord: has 3 bytes, expected \d+"),
        ("*.tfrecord", None, "tfrecord: it or its index cannot be read"),
        ("*.npz", None, "tfrecord: it or its index cannot be read"),
        ("*.npz", b"PK no more", "tfrecord: it or its index cannot be read"),
        ("manifest.json", None, r"has no manifest.json"),
        ("manifest.json", b"{", r"manifest.json: cannot be read"),
        ("manifest.json", b'{"version": 99}', "has version 99, expected 1"),
    ],
)
def test_broken_directories_are_refused(records, pattern, content, expected):
    path = next(records.glob(pattern))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read(records)


def test_no_directory(tmp_path):
    with pytest.raises(UserError, match=r"has no manifest.json"):
        read(tmp_path / "none")


def test_records_of_older_versions_still_open(records):
    """The manifest names the shards, which were called pictures-…"""
    for path in records.glob("images-*"):
        path.rename(path.with_name(path.name.replace("images", "pictures")))
    manifest = records / "manifest.json"
    manifest.write_text(manifest.read_text().replace("images-0", "pictures-0"))
    assert read(records).load(5).shape == (SIZE, SIZE, 3)


FEW_DESCRIPTORS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from elegant_tf.config import DataConfig
from elegant_tf.data.pairs import pair_dataset
from elegant_tf.data.preparation import Settings
from elegant_tf.data.prepare import prepare
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.table_folder import open_table_folder
from elegant_tf.sources import open_source
folder, out = sys.argv[1:]
assert len(prepare(open_table_folder(folder), out, Settings(32, "crop", shard_images=1))["shards"]) == 120
source = open_source(DataConfig(kind="records", data_dir=out), ["Striped"], 32)
next(iter(pair_dataset(source, PairSampler(source.labels, 60, "round_robin", 0))))
"""


def test_many_shards_and_few_file_descriptors(folder, tmp_path):
    done = commands.run(["-c", FEW_DESCRIPTORS, str(folder), str(tmp_path / "records")])
    assert done.returncode == 0, done.stderr

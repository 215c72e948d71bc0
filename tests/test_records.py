"""Reading records, and what can happen to them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.preparation import Settings
from elegant_tf.data.prepare import prepare
from elegant_tf.data.records import RecordsSource
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.sources import open_collection, open_source
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, to_float

COUNT, SIZE = 120, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of noise of which every second is striped, and a table."""
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
    prepare(open_collection("folder", folder), tmp_path / "records", settings)
    return tmp_path / "records"


def batches(source, count, start=0, **options):
    sampler = PairSampler(source.labels, 12, "cycle", 3, flip=True)
    dataset = pair_dataset(source, sampler, start, **options)
    return list(dataset.take(count).as_numpy_iterator())


def same(first, second):
    return all((first[key] == second[key]).all() for key in first)


def test_batches_of_records_are_those_of_the_files(records, folder):
    """Decoded by TensorFlow, mirrored, in the same order."""
    ours, theirs = (
        open_source(kind, place, ["Striped", "Fat"], SIZE) for kind, place in (("records", records), ("folder", folder))
    )
    assert isinstance(ours, RecordsSource)
    jpeg = ours.encoded(0)[:2] == b"\xff\xd8"
    for first, second in zip(batches(ours, 8), batches(theirs, 8), strict=True):
        assert first.keys() == second.keys()
        for key in ("y_a", "y_b", "attribute"):
            assert (first[key] == second[key]).all()
        for key in ("a", "b"):
            assert abs(first[key] - second[key]).mean() < (0.05 if jpeg else 1e-6)


def test_tensorflow_decodes_as_pillow_does(records):
    source = open_source("records", records, ["Striped"], SIZE)
    sampler = PairSampler(source.labels, 12, "cycle", 3)
    batch = next(iter(pair_dataset(source, sampler)))
    expected = to_float(np.stack([source.load(index) for index in sampler.batch(0).a.tolist()]))
    assert abs(batch["a"].numpy() - expected).max() < 3 / 127.5


def test_records_resume_by_number_and_are_the_same_for_any_parallel_calls(records):
    source = open_source("records", records, ["Striped"], SIZE)
    whole = batches(source, 20)
    for options in ({"parallel": 1}, {"parallel": 7, "prefetch": 1}):
        assert all(map(same, whole, batches(source, 20, **options)))
    assert all(map(same, whole[13:], batches(source, 7, start=13)))


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_every_batch(records, workers):
    source = open_source("records", records, ["Striped"], SIZE)
    parts = [batches(source, 5, worker=worker, workers=workers) for worker in range(workers)]
    for k, whole in enumerate(batches(source, 5)):
        joined = {key: np.concatenate([part[k][key] for part in parts]) for key in whole}
        assert same(joined, whole)


def test_a_batch_that_workers_cannot_share(records):
    with pytest.raises(UserError, match="must be a multiple of the 5 workers"):
        batches(open_source("records", records, ["Striped"], SIZE), 1, workers=5)


def test_other_sizes_are_resized(records):
    source = open_source("records", records, ["Striped"], 16)
    assert source.load(5).shape == (16, 16, 3)
    assert batches(source, 1)[0]["a"].shape == (12, 16, 16, 3)


def damage(records, row):
    """Changes a byte in the middle of a picture; the shard's path."""
    picture = open_source("records", records, ["Striped"], SIZE).encoded(row)
    for path in records.glob("*.tfrecord"):
        content = path.read_bytes()
        place = content.find(picture)
        if place >= 0:
            place += len(picture) // 2
            path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
            return path
    raise AssertionError("no shard holds it")


def test_a_damaged_record_is_named_and_replaced(records):
    path = damage(records, 55)
    source = open_source("records", records, ["Striped"], SIZE)
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
        batches(open_source("records", records, ["Striped"], SIZE), 10, bad_images=bad_images)
    assert "055.png: is damaged" in bad_images.failure


def test_a_source_that_does_not_fit_the_size_cannot_be_opened_by_mistake(records):
    assert not isinstance(open_source("records", records, ["Striped"], 64), RecordsSource)


def cut(root):
    path = next(root.glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-5])


def lose_shard(root):
    next(root.glob("*.tfrecord")).unlink()


def lose_index(root):
    next(root.glob("*.npz")).unlink()


def garble_index(root):
    next(root.glob("*.npz")).write_bytes(b"PK no more")


def lose_manifest(root):
    (root / "manifest.json").unlink()


def garble_manifest(root):
    (root / "manifest.json").write_text("{")


def future_manifest(root):
    (root / "manifest.json").write_text(json.dumps({"version": 99}))


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (cut, r"tfrecord: has \d+ bytes, expected \d+"),
        (lose_shard, "tfrecord: it or its index cannot be read"),
        (lose_index, "tfrecord: it or its index cannot be read"),
        (garble_index, "tfrecord: it or its index cannot be read"),
        (lose_manifest, r"has no manifest.json"),
        (garble_manifest, r"manifest.json: cannot be read"),
        (future_manifest, "is of version 99, expected 1"),
    ],
)
def test_broken_directories_are_refused(records, harm, expected):
    harm(records)
    with pytest.raises(UserError, match=expected):
        open_source("records", records, ["Striped"], SIZE)


def test_no_directory(tmp_path):
    with pytest.raises(UserError, match=r"has no manifest.json"):
        open_source("records", tmp_path / "none", ["Striped"], SIZE)
    with pytest.raises(UserError, match="--data=records needs --data_dir"):
        open_source("records", "", ["Striped"], SIZE)

"""Pair batches: the properties of the choice, and what reaches the training step."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.data.celeba_layout import open_celeba
from elegant_tf.data.collection import CollectionSource
from elegant_tf.data.disturbance import jittered
from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.sampler import SCHEDULES, PairSampler
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, to_float

schedules = st.sampled_from(SCHEDULES)
fifty = settings(max_examples=50)


@st.composite
def labels_of_both_kinds(draw) -> np.ndarray:
    """int8 [M, n]; every attribute has an image with and one without."""
    images, attributes = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    labels = (random.random((images, attributes)) < draw(st.floats(0.05, 0.95))).astype(np.int8)
    labels[0], labels[1] = 0, 1
    return labels


def same(first, second) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))


@fifty
@given(labels_of_both_kinds(), st.integers(1, 50), schedules, st.integers(0, 2**40), st.integers(0, 10**7))
def test_a_has_the_attribute_and_b_lacks_it(labels, batch_size, schedule, seed, k):
    pairs = PairSampler(labels, batch_size, schedule, seed).batch(k)
    assert (labels[pairs.a, pairs.attribute] == 1).all()
    assert (labels[pairs.b, pairs.attribute] == 0).all()
    assert [part.dtype for part in pairs] == [np.int64, np.int64, np.int32, bool, bool, np.float64, np.float64]
    assert [part.shape for part in pairs] == [(batch_size,)] * 5 + [(batch_size, 4)] * 2


@fifty
@given(labels_of_both_kinds(), st.integers(1, 20), schedules, st.permutations(range(40)))
def test_batch_is_a_function_of_seed_and_number(labels, batch_size, schedule, order):
    used = PairSampler(labels, batch_size, schedule, 7, flip=True)
    batches = {k: used.batch(k) for k in order}
    for k in (0, 13, 39):
        assert same(batches[k], PairSampler(labels, batch_size, schedule, 7, flip=True).batch(k))


@fifty
@given(labels_of_both_kinds(), st.integers(1, 20), schedules)
def test_every_image_once_an_epoch(labels, batch_size, schedule):
    """Cut the stream of a pool into epochs: each holds every image of the pool once."""
    n = labels.shape[1]
    sampler = PairSampler(labels, batch_size, schedule, 1)
    batches = [sampler.batch(k) for k in range(n * (3 * len(labels) // batch_size + 2))]
    attributes = np.concatenate([batch.attribute for batch in batches])
    for side, label in (("a", 1), ("b", 0)):
        images = np.concatenate([getattr(batch, side) for batch in batches])
        for attribute in range(n):
            stream = images[attributes == attribute]
            pool = np.flatnonzero(labels[:, attribute] == label)
            assert len(stream) >= 3 * len(pool)
            for start in range(0, len(stream) - len(pool) + 1, len(pool)):
                assert sorted(stream[start : start + len(pool)]) == pool.tolist()


@fifty
@given(st.integers(1, 8), st.integers(1, 40), st.integers(0, 1000))
def test_round_robin_takes_the_attributes_in_turn(n, batch_size, k):
    labels = np.repeat([[0], [1]], n, axis=1)
    assert (PairSampler(labels, batch_size, "round_robin", 0).batch(k).attribute == k % n).all()


@fifty
@given(st.integers(1, 8), st.integers(1, 40), st.integers(0, 1000))
def test_mixed_is_balanced_in_and_across_batches(n, batch_size, k):
    sampler = PairSampler(np.repeat([[0], [1]], n, axis=1), batch_size, "mixed", 0)
    counts = [np.bincount(sampler.batch(k + j).attribute, minlength=n) for j in range(n)]
    for count in counts:
        assert set(count) <= {batch_size // n, -(-batch_size // n)}
    assert (np.sum(counts, axis=0) == batch_size).all()


def test_orders_differ_between_epochs_seeds_attributes_and_sides():
    labels = np.zeros((200, 2), np.int8)
    labels[::2, 0] = labels[1::2, 1] = 1  # the pools of one attribute are those of the other, exchanged
    sampler, other = PairSampler(labels, 100, "round_robin", 0), PairSampler(labels, 100, "round_robin", 1)
    streams = [sampler.batch(0).a, sampler.batch(2).a, sampler.batch(1).b, other.batch(0).a]
    for stream in streams:
        assert sorted(stream) == list(range(0, 200, 2))
    assert len({tuple(stream) for stream in streams}) == 4


def test_a_meets_another_b_in_every_epoch():
    labels = np.arange(40)[:, None] % 2
    sampler = PairSampler(labels, 20, "round_robin", 0)
    pairs = Counter((a, b) for k in range(10) for a, b in zip(*sampler.batch(k)[:2], strict=True))
    assert len(pairs) > 140  # of 200 draws among 400 pairs, 157 different ones are expected


def test_flips():
    labels = np.arange(400)[:, None] % 2
    plain, flipped = (PairSampler(labels, 100, "round_robin", 0, flip).batch(3) for flip in (False, True))
    assert not plain.flip_a.any()
    assert not plain.flip_b.any()
    assert same(plain[:3], flipped[:3])
    assert 25 < flipped.flip_a.sum() < 75
    assert 25 < flipped.flip_b.sum() < 75
    assert (flipped.flip_a != flipped.flip_b).any()


def test_jitter_moves_each_image_by_itself_and_changes_nothing_else():
    labels = np.arange(400)[:, None] % 2
    plain, moved = (PairSampler(labels, 100, "mixed", 0, flip=True, jitter=jitter) for jitter in (0.0, 0.02))
    assert same(plain.batch(3)[:5], moved.batch(3)[:5])
    assert not np.any(plain.batch(3)[5:])
    drawn = np.concatenate([*moved.batch(3)[5:], *moved.batch(4)[5:]])
    assert len(np.unique(drawn)) == drawn.size == 1600
    assert -0.02 <= drawn.min() < -0.019
    assert 0.019 < drawn.max() <= 0.02


def test_sampler_mistakes():
    with pytest.raises(UserError, match="--attribute_schedule=random: expected one of round_robin, mixed"):
        PairSampler(np.array([[0], [1]]), 4, "random", 0)
    with pytest.raises(UserError, match="--match_attributes=some: expected one of none, all"):
        PairSampler(np.array([[0], [1]]), 4, "mixed", 0, match="some")
    with pytest.raises(UserError, match="attribute 1 is the same"):
        PairSampler(np.array([[0, 1], [1, 1]]), 4, "round_robin", 0)


class NumberedSource:
    """Image k is all k, but dark in its left half; some images are bad."""

    name = "numbered"
    attributes = ("Bangs", "Smiling")
    image_size = 8

    def __init__(self, count: int = 120, bad: tuple[int, ...] = ()) -> None:
        self.labels = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2], axis=1).astype(np.int8)
        self.bad = bad

    def load(self, index: int) -> np.ndarray:
        if index in self.bad:
            raise BadImage(f"{index}.jpg: is bad")
        image = np.full((8, 8, 3), index, np.uint8)
        image[:, :4] = 0
        return image


def elements(dataset: tf.data.Dataset, count: int) -> list[dict[str, np.ndarray]]:
    return list(dataset.take(count).as_numpy_iterator())


def numbers(images: np.ndarray) -> np.ndarray:
    """Which images of a NumberedSource these are."""
    return np.rint((images.max(axis=(1, 2, 3)) + 1) * 127.5).astype(int)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_dataset_yields_the_samplers_batches(schedule):
    source = NumberedSource()
    sampler = PairSampler(source.labels, 6, schedule, 5, flip=True)
    for k, element in enumerate(elements(pair_dataset(source, sampler, start=11), 20), 11):
        pairs = sampler.batch(k)
        for side, indices, flips in (("a", pairs.a, pairs.flip_a), ("b", pairs.b, pairs.flip_b)):
            pixels = np.stack([source.load(i)[:, :: -1 if flip else 1] for i, flip in zip(indices, flips, strict=True)])
            np.testing.assert_allclose(element[side], to_float(pixels), atol=1e-6)
            assert (element[f"y_{side}"] == source.labels[indices]).all()
        assert (element["attribute"] == pairs.attribute).all()


def test_dataset_is_typed_shaped_and_endless():
    source = NumberedSource()
    dataset = pair_dataset(source, PairSampler(source.labels, 6, "round_robin", 0))
    images, labels = tf.TensorSpec((6, 8, 8, 3), tf.float32), tf.TensorSpec((6, 2), tf.float32)
    attribute = tf.TensorSpec((6,), tf.int32)
    assert dataset.element_spec == {"a": images, "b": images, "y_a": labels, "y_b": labels, "attribute": attribute}
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY


def test_dataset_goes_on_where_it_is_told():
    source = NumberedSource()
    whole, rest = (
        elements(pair_dataset(source, PairSampler(source.labels, 6, "mixed", 0, flip=True), start), 10 - start)
        for start in (0, 7)
    )
    for first, second in zip(whole[7:], rest, strict=True):
        assert all((first[key] == second[key]).all() for key in first)


class Encoded(NumberedSource):
    """The same images as PNG files."""

    def encoded(self, index: int) -> bytes:
        return tf.io.encode_png(self.load(index)).numpy()


@pytest.mark.parametrize("kind", [NumberedSource, Encoded])
def test_jittered_batches_hold_the_moved_images_and_resume_in_parts(kind):
    source = kind()
    sampler = PairSampler(source.labels, 4, "mixed", 5, flip=True, jitter=0.1)
    whole = elements(pair_dataset(source, sampler), 6)
    for k, element in enumerate(whole):
        pairs = sampler.batch(k)
        for side, flips, jitters in (("a", pairs.flip_a, pairs.jitter_a), ("b", pairs.flip_b, pairs.jitter_b)):
            images = [source.load(index) for index in getattr(pairs, side)]
            images = [image[:, ::-1] if flip else image for image, flip in zip(images, flips, strict=True)]
            moved = np.stack([jittered(image, jitter) for image, jitter in zip(images, jitters, strict=True)])
            np.testing.assert_allclose(element[side], to_float(moved), atol=1e-6)
            assert (moved != np.stack(images)).any()
    parts = [elements(pair_dataset(source, sampler, 4, worker=worker, workers=2), 2) for worker in range(2)]
    for element, first, second in zip(whole[4:], *parts, strict=True):
        assert all((element[key] == np.concatenate([first[key], second[key]])).all() for key in element)


def test_a_thousand_batches_are_the_same_however_they_are_read():
    """In one go, resumed, one by one or many at a time, and by two workers whose parts are joined."""
    source = NumberedSource()

    def read(count, start=0, **options):
        sampler = PairSampler(source.labels, 6, "mixed", 3, flip=True)
        return elements(pair_dataset(source, sampler, start, **options), count)

    whole = read(1000)
    halves = [read(1000, worker=worker, workers=2) for worker in range(2)]
    joined = [
        {key: np.concatenate([part[key] for part in parts]) for key in whole[0]} for parts in zip(*halves, strict=True)
    ]
    for others in (read(437) + read(563, 437), read(1000, parallel=1), read(1000, parallel=16), joined):
        for first, second in zip(whole, others, strict=True):
            assert all((first[key] == second[key]).all() for key in first)


def test_bad_images_are_replaced_from_their_pool_and_counted_once():
    source = NumberedSource(count=240, bad=(4, 8))
    bad_images = BadImages(240)
    sampler = PairSampler(source.labels, 12, "round_robin", 0)
    # Pools of 120: 20 batches of each attribute use each image twice.
    for k, element in enumerate(elements(pair_dataset(source, sampler, bad_images=bad_images), 40)):
        pairs = sampler.batch(k)
        for side, indices, label in (("a", pairs.a, 1), ("b", pairs.b, 0)):
            loaded = numbers(element[side])
            pool = sampler.pool(k % 2, bool(label))
            following = dict(zip(pool, np.roll(pool, -1), strict=True))
            assert loaded.tolist() == [following[index] if index in source.bad else index for index in indices]
            assert (element[f"y_{side}"] == source.labels[loaded]).all()
            assert (element[f"y_{side}"][:, k % 2] == label).all()
    assert not bad_images.failure
    assert bad_images.count == 2
    assert bad_images.messages == ["4.jpg: is bad", "8.jpg: is bad"]
    assert "2 of 240 images were bad" in bad_images.report()


def test_too_many_bad_images_end_the_data_with_a_user_error():
    source = NumberedSource(count=120, bad=(4, 8))
    bad_images = BadImages(120)
    dataset = pair_dataset(source, PairSampler(source.labels, 12, "round_robin", 0), bad_images=bad_images)
    with pytest.raises(tf.errors.OpError):
        elements(dataset, 40)
    for text in ("more than 1%", "4.jpg: is bad", "8.jpg: is bad"):
        assert text in bad_images.failure


def test_a_pool_without_readable_images_names_the_attribute():
    source = NumberedSource(count=200, bad=(1,))
    source.labels[:, 1] = np.arange(200) == 1
    bad_images = BadImages(200)
    with pytest.raises(tf.errors.OpError):
        elements(pair_dataset(source, PairSampler(source.labels, 2, "mixed", 0), bad_images=bad_images), 1)
    assert "no readable image with Smiling" in bad_images.failure


@pytest.mark.parametrize(("total", "allowed"), [(1, 1), (150, 1), (200, 2), (202_599, 2025)])
def test_one_percent_may_be_bad_and_always_one(total, allowed):
    bad_images = BadImages(total)
    assert bad_images.report() == "All images could be read."
    for index in range(allowed):
        bad_images.add(index, f"{index}.jpg: is bad")
        bad_images.add(index, f"{index}.jpg: is bad")
    assert bad_images.count == allowed
    with pytest.raises(UserError):
        bad_images.add(allowed, "one more")


def test_report_stays_short():
    bad_images = BadImages(100_000)
    for index in range(500):
        bad_images.add(index, f"{index}.jpg: is bad")
    assert len(bad_images.report().splitlines()) == 12
    assert "and 490 more" in bad_images.report()


DYING = """
import time
import numpy as np
from elegant_tf.data.pairs import pair_dataset
from elegant_tf.data.sampler import PairSampler

class SlowSource:
    attributes, image_size, labels = ("Bangs",), 64, np.array([[0], [1]] * 50, np.int8)
    def load(self, index):
        time.sleep(0.02)
        return np.zeros((64, 64, 3), np.uint8)

def main():
    batches = iter(pair_dataset(SlowSource(), PairSampler(SlowSource.labels, 16, "round_robin", 0)))
    next(batches)
    raise RuntimeError("while images are being read")

main()
"""


def test_a_process_that_fails_while_reading_ends():
    """While reads are running at the interpreter's end, TensorFlow would wait for them forever."""
    process = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True, timeout=240)
    assert process.returncode == 1
    assert process.stderr.rstrip().endswith("RuntimeError: while images are being read")


FAILING = """
import numpy as np
import tensorflow as tf
from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.sampler import PairSampler
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage

class BadSource:
    attributes, image_size, labels = ("Bangs",), 16, np.array([[0], [1]] * 200, np.int8)
    def load(self, index):
        if index % 7 == 3:
            raise BadImage(f"{index}: is bad")
        return np.zeros((16, 16, 3), np.uint8)

def use():
    bad_images = BadImages(400)
    sampler = PairSampler(BadSource.labels, 16, "round_robin", 0)
    batches = iter(pair_dataset(BadSource(), sampler, bad_images=bad_images, parallel=8))
    try:
        while True:
            next(batches)
    except tf.errors.OpError as error:
        raise UserError(bad_images.failure) from error

for _ in range(30):
    try:
        use()
    except UserError:
        pass
"""


def test_a_process_that_met_too_many_bad_images_ends():
    """Several threads fail at once: none of them may be left with the last reference to its own iterator."""
    subprocess.run([sys.executable, "-c", FAILING], capture_output=True, timeout=240, check=True)


def test_truncated_files_in_a_folder(tmp_path):
    """From files to batches: one truncated JPEG among the images of a CelebA folder."""
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    lines = []
    for number in range(12):
        path = folder / f"{number:06d}.jpg"
        pixels = np.full((218, 178, 3), 20 * number, np.uint8)
        tf.io.write_file(str(path), tf.io.encode_jpeg(pixels))
        lines.append(f"{path.name} {number % 2 * 2 - 1}")
    path = folder / "000003.jpg"
    path.write_bytes(path.read_bytes()[:300])
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["12", "Bangs", *lines]))
    source = CollectionSource(open_celeba(tmp_path), ["Bangs"], 8, "train")
    bad_images = BadImages(12)
    batches = elements(pair_dataset(source, PairSampler(source.labels, 6, "round_robin", 0), bad_images=bad_images), 2)
    for batch in batches:
        found = np.rint((batch["a"].mean(axis=(1, 2, 3)) + 1) * 127.5 / 20).astype(int)
        assert sorted(found) == [1, 5, 5, 7, 9, 11]
    assert bad_images.count == 1
    assert str(path) in bad_images.messages[0]

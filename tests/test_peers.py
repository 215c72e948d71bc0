"""The methods that ELEGANT is compared with, in `benchmarks/peers`, and the driver of the comparison."""

from __future__ import annotations

import dataclasses
import json
import math
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.peers import __main__ as driver
from benchmarks.peers import cyclegan, dnagan, elegant, plumbing, stargan
from benchmarks.peers.cyclegan import CycleGAN
from benchmarks.peers.dnagan import DNAGAN
from benchmarks.peers.plumbing import PeerEditor, Task
from benchmarks.peers.scoring import draw_galleries, rank_one
from benchmarks.peers.stargan import StarGAN
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.data.sampler import PairSampler
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.counterfactuals import read_counterfactuals
from elegant_tf.evaluation.edits import edit_all
from elegant_tf.images import write_image
from elegant_tf.synthetic import WEARABLE, make_face, write_dressed
from elegant_tf.synthetic.photo_list import list_photos

pytestmark = pytest.mark.usefixtures("quick_training")

NAMES = ("Eyeglasses", "Mustache")
PEERS = {StarGAN: NAMES, DNAGAN: NAMES, CycleGAN: NAMES[:1]}
TINY = 1 / 32
BLOCKS = stargan.BLOCKS, cyclegan.BLOCKS


@pytest.fixture(autouse=True)
def one_block():
    """Generators with one residual block, except where their size is tested."""
    with mock.patch.object(stargan, "BLOCKS", 1), mock.patch.object(cyclegan, "BLOCKS", 1):
        yield


@pytest.fixture(scope="module")
def peers(quick_training) -> dict[type, plumbing.Peer]:
    """One of each, for tests that change nothing in it."""
    with mock.patch.object(stargan, "BLOCKS", 1), mock.patch.object(cyclegan, "BLOCKS", 1):
        return {make: make(attributes, 32, TINY) for make, attributes in PEERS.items()}


class Recorder:
    """In the place of a step: keeps the loss and moves nothing."""

    variables = ()

    def __call__(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        self.loss = float(loss)


def batch(attributes: int, pairs: int = 4, size: int = 32) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(0)
    own = np.arange(pairs) % attributes
    y_a, y_b = random.integers(0, 2, (2, pairs, attributes)).astype(np.float32)
    y_a[range(pairs), own], y_b[range(pairs), own] = 1, 0
    a, b = random.uniform(-1, 1, (2, pairs, size, size, 3)).astype(np.float32)
    made = {name: tf.constant(value) for name, value in (("a", a), ("b", b), ("y_a", y_a), ("y_b", y_b))}
    return {**made, "attribute": tf.constant(own, tf.int32)}


def weights(network) -> np.ndarray:
    return np.concatenate([np.ravel(variable) for variable in network.trainable_variables])


def recorded(peer) -> list[Recorder]:
    peer.steps = [Recorder(), Recorder()]
    return peer.steps


def mean_of_image(images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(images, axis=[1, 2, 3])


@pytest.mark.parametrize("make", PEERS)
def test_an_edit_is_an_image(make, peers):
    peer = peers[make]
    images, own = batch(1)["a"], tf.one_hot([0] * 4, len(PEERS[make]))
    edited = peer.edit(images, images[::-1], own, own, tf.constant([0.0, 1, 0, 1]))
    assert edited.shape == images.shape
    assert np.abs(edited).max() <= 1


def test_networks_have_the_published_sizes():
    """Counts that the authors' programs print: StarGAN's with 5 attributes, CycleGAN's with 9 blocks, less 3 here."""
    of_block = 2 * (9 * 256 * 256 + 256)
    with mock.patch.object(stargan, "BLOCKS", BLOCKS[0]), mock.patch.object(cyclegan, "BLOCKS", BLOCKS[1]):
        made = {
            8_430_528: stargan.make_generator(5, 64, 64),
            11_378_179 - 3 * of_block: cyclegan.make_generator(64, 64),
            2_764_737: cyclegan.make_discriminator(64, 64),
        }
    for count, network in made.items():
        assert sum(np.size(variable) for variable in network.trainable_variables) == count
    assert stargan.make_discriminator(5, 64, 2).output_shape == [(None, 2, 2, 1), (None, 5)]
    assert stargan.make_discriminator(5, 128, 2).output_shape == [(None, 2, 2, 1), (None, 5)]
    assert dnagan.make_encoder(64, 1.0).output_shape == (None, 8, 8, 512)
    assert [dnagan.block_channels(512, count) for count in (2, 3, 4, 7)] == [128, 128, 102, 64]


@pytest.mark.parametrize("make", PEERS)
def test_first_weights_are_a_function_of_the_seed_and_differ_between_layers(make):
    def kernels(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        peer = make(PEERS[make], 32, TINY)
        variables = (variable for network in peer.networks.values() for variable in network.trainable_variables)
        return [np.asarray(tf.convert_to_tensor(variable)) for variable in variables if len(variable.shape) == 4]

    first, again, other = map(kernels, (0, 0, 1))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert np.abs(one - different).max() > 0
    assert len({kernel.tobytes() for kernel in first}) == len(first)


def test_stargans_losses():
    peer = StarGAN(NAMES, 32, TINY)
    peer.generator = lambda inputs: 0.5 * inputs[0]
    peer.discriminator = lambda images: (mean_of_image(images), tf.zeros([2, 2]))
    of_generator, of_discriminator = recorded(peer)
    images, labels = tf.ones([2, 4, 4, 3]), tf.constant([[1.0, 0.0], [0.0, 0.0]])
    classified = 2 * math.log(2)
    losses = peer.train_generator(images, labels, labels)
    assert float(losses["reconstruction"]) == pytest.approx(0.75)
    assert of_generator.loss == pytest.approx(-0.5 + classified + 10 * 0.75)
    losses = peer.train_discriminator(images, labels, labels)
    slope = 48**-0.5  # of a mean of 48 numbers
    assert float(losses["penalty"]) == pytest.approx((slope - 1) ** 2, rel=1e-5)
    assert of_discriminator.loss == pytest.approx(0.5 - 1 + classified + 10 * (slope - 1) ** 2, rel=1e-5)


def test_dnagans_losses():
    peer = DNAGAN(NAMES, 32, TINY)
    peer.judge = lambda images, batch, labels: mean_of_image(images)
    given = {"a": tf.ones([2, 4, 4, 3]), "b": tf.zeros([2, 4, 4, 3])}
    of_generator, of_discriminator = recorded(peer)
    having, without = tf.fill([2, 4, 4, 3], 0.25), tf.fill([2, 4, 4, 3], -0.5)
    peer.train_discriminator(given, without, having)
    assert of_discriminator.loss == pytest.approx((0.25 - 1) + (-0.5 - 0))
    peer.generate = lambda batch: (0.5 * given["a"], given["b"] - 1, without, having)
    losses = peer.train_generator(given)
    assert float(losses["reconstruction"]) == pytest.approx(0.25 + 0.5)
    assert of_generator.loss == pytest.approx(0.75 - (0.25 - 0.5))


def test_dnagan_judges_for_an_attribute_under_labels_of_minus_one_and_one():
    peer, given = DNAGAN(NAMES, 32, TINY), batch(2, pairs=2)
    peer.discriminator = lambda inputs, training: inputs[1] * [1.0, 10.0]
    expected = (2 * given["y_b"].numpy() - 1) * [1, 10]
    np.testing.assert_allclose(peer.judge(given["a"], given, "y_b"), expected[[0, 1], [0, 1]])


def test_cyclegans_losses():
    peer = CycleGAN(NAMES[:1], 32, TINY)
    peer.remover, peer.adder = lambda images: images - 1, lambda images: images + 0.5
    peer.judge_of_a = peer.judge_of_b = mean_of_image
    of_generators, of_discriminators = recorded(peer)
    a, b = tf.ones([1, 4, 4, 3]), tf.zeros([1, 4, 4, 3])
    losses, without, having = peer.train_generators(a, b)
    # A goes to 0 and back to 0.5; B to 0.5 and back to -0.5; the judges want 1.
    adversarial, cycle, identity = (1 + 0.25), (0.5 + 0.5), (0.5 + 1)
    assert [float(value) for value in losses.values()] == pytest.approx([adversarial, cycle, identity])
    assert of_generators.loss == pytest.approx(adversarial + 10 * cycle + 5 * identity)
    peer.train_discriminators(a, b, without, having)
    assert of_discriminators.loss == pytest.approx(0.5 * ((0 + 0.25) + (1 + 0)))


def test_stargan_trains_its_generator_in_every_fifth_update():
    peer, given = StarGAN(NAMES, 32, TINY), batch(2)
    moved = []
    for _ in range(5):
        before = [weights(network) for network in (peer.generator, peer.discriminator)]
        peer.update(given)
        after = [weights(network) for network in (peer.generator, peer.discriminator)]
        moved.append(tuple(bool((x != y).any()) for x, y in zip(before, after, strict=True)))
    assert moved == [(False, True)] * 4 + [(True, True)]


def test_dnagan_trains_both_sides_and_its_discriminator_more_often_at_first():
    peer, given = DNAGAN(NAMES, 32, TINY), batch(2)
    before = [weights(network) for network in peer.networks.values()]
    with mock.patch.object(dnagan, "OFTEN", 3):
        peer.update(given)
        peer.update(given)
    assert [int(step.optimizer.iterations) for step in peer.steps] == [2, 4]
    after = [weights(network) for network in peer.networks.values()]
    assert all((x != y).any() for x, y in zip(before, after, strict=True))
    assert np.abs(after[-1]).max() <= np.float32(0.01)


def test_cyclegan_trains_all_four_networks():
    peer, given = CycleGAN(NAMES[:1], 32, TINY), batch(1, pairs=1)
    before = [weights(network) for network in peer.networks.values()]
    peer.update(given)
    after = [weights(network) for network in peer.networks.values()]
    assert all((x != y).any() for x, y in zip(before, after, strict=True))


def test_dnagans_codes_exchanged_twice_are_the_codes():
    peer = DNAGAN(NAMES, 32, 1 / 16)
    random = np.random.default_rng(0)
    a, b = tf.constant(random.normal(size=(2, 4, *peer.encoder.output_shape[1:])), tf.float32)
    own = tf.one_hot([0, 1, 0, 1], 2)
    mask = peer.mask(own)
    assert np.count_nonzero(mask[1]) == peer.block == 8
    assert mask.numpy()[1, 0, 0, 8:16].all()
    b = dnagan.replaced(b, tf.zeros_like(b), mask)  # B has no attribute to give
    without, having = dnagan.replaced(a, b, mask), dnagan.replaced(b, a, mask)
    np.testing.assert_allclose(without * mask, 0)
    np.testing.assert_allclose(dnagan.replaced(without, having, mask), a, atol=1e-6)
    np.testing.assert_allclose(dnagan.replaced(having, without, mask), b, atol=1e-6)


def test_dnagan_gives_b_the_block_of_a_and_leaves_those_without_the_attribute_empty():
    class Same:
        output_shape = (None, 1, 1, 5)

        def __call__(self, x, training):
            return x

    peer = DNAGAN(NAMES, 32, TINY)
    peer.encoder = peer.decoder = Same()
    peer.block = 2
    a, b = tf.fill([2, 1, 1, 5], 1.0), tf.fill([2, 1, 1, 5], 3.0)
    given = {"a": a, "b": b, "attribute": tf.constant([0, 1]), "y_a": tf.zeros([2, 2])}
    a_again, b_again, without, having = (image[:, 0, 0].numpy().tolist() for image in peer.generate(given))
    assert a_again == [[1] * 5] * 2
    assert b_again == [[0, 0, 3, 3, 3], [3, 3, 0, 0, 3]]
    assert without == [[0, 0, 1, 1, 1], [1, 1, 0, 0, 1]]
    assert having == [[1, 1, 3, 3, 3], [3, 3, 1, 1, 3]]


def test_dnagan_removes_by_an_empty_block_whatever_the_exemplar(peers):
    peer, images = peers[DNAGAN], batch(1)["a"]
    own, labels = tf.one_hot([0] * 4, 2), tf.ones([4, 2])
    one, other = (peer.edit(images, exemplars, own, labels, tf.zeros(4)) for exemplars in (images, images[::-1]))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - peer.edit(images, images, own, labels, tf.ones(4))).max() > 0


def test_stargan_is_told_the_labels_of_the_result():
    peer = StarGAN(NAMES, 32, TINY)
    peer.translate = lambda images, labels: labels
    labels, own = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), tf.one_hot([0, 0, 1], 2)
    images = tf.zeros([3, 32, 32, 3])
    told = peer.edit(images, images, own, labels, tf.constant([0.0, 1.0, 1.0]))
    np.testing.assert_array_equal(told, [[0, 0], [1, 1], [0, 1]])


def test_cyclegan_adds_what_exemplars_have_and_removes_what_they_lack(peers):
    peer, images = peers[CycleGAN], batch(1)["a"]
    edited = peer.edit(images, images, tf.ones([4, 1]), tf.zeros([4, 1]), tf.constant([0.0, 1, 1, 0]))
    added, removed = peer.adder(images), peer.remover(images)
    np.testing.assert_allclose(edited, tf.stack([removed[0], added[1], added[2], removed[3]]), atol=1e-6)


def test_the_pool_gives_half_of_its_images_back_later():
    pool, given = cyclegan.Pool(2, seed=0), list(range(400))
    seen = [pool.exchange(number) for number in given]
    assert seen[:2] == [0, 1]
    assert set(seen) <= set(given)
    assert 0.4 < np.mean([number != old for number, old in zip(given, seen, strict=True)]) < 0.6


def test_pairs_are_the_same_whatever_the_size_of_batches_and_the_other_attributes():
    labels = np.random.default_rng(0).integers(0, 2, (50, 3)).astype(np.int8)
    large, small = (PairSampler(labels, size, "mixed", 7) for size in (15, 1))
    of_first = PairSampler(labels[:, :1], 5, "mixed", 7)
    expected, single, first = large.batch(1), [small.batch(15 + row) for row in range(15)], of_first.batch(1)
    for side in ("a", "b"):
        np.testing.assert_array_equal(getattr(expected, side), [getattr(pair, side)[0] for pair in single])
        np.testing.assert_array_equal(getattr(expected, side)[expected.attribute == 0], getattr(first, side))


def test_rates_fall_over_the_second_half_of_the_time():
    class Clocked(StarGAN):
        def update(self, batch):
            rates.append(float(self.steps[0].optimizer.learning_rate))
            return {}

    rates: list[float] = []
    source = mock.Mock(labels=np.eye(2, dtype=np.int8))
    with (
        mock.patch.object(plumbing, "pair_dataset", return_value=range(9)),
        mock.patch.object(plumbing.time, "monotonic", side_effect=[0, 15, 30, 45, 60]),
    ):
        assert plumbing.train(Clocked(NAMES, 32, TINY), source, minutes=1, seed=0) == 4
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 1e-4, 0.5e-4], rtol=1e-6)


def test_a_loss_that_is_not_finite_ends_training():
    with pytest.raises(FloatingPointError, match="diverged"):
        plumbing.report(1, {"loss": tf.constant(np.nan)})


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> dict[str, str]:
    """People without accessories, as photographs, and their landmarks."""
    folder = tmp_path_factory.mktemp("photos")
    people = [make_face(0, index).with_styles(dict.fromkeys(WEARABLE)) for index in range(20)]
    rows = [["file", *COLUMNS]]
    for index, person in enumerate(people):
        write_image(folder / "photos" / f"{index}.png", person.draw(64))
        rows.append([f"{index}.png", *person.landmarks(64).ravel().round(1)])
    (folder / "points.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return {"photos": str(folder / "photos"), "landmarks": str(folder / "points.csv")}


def listed(photos: dict[str, str], count: int = 20):
    paths = [f"{photos['photos']}/{index}.png" for index in range(count)]
    return list_photos(paths, WEARABLE, photos["landmarks"])


@pytest.fixture(scope="module")
def data_dir(photos, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("data") / "dressed"
    found = listed(photos)
    write_dressed(folder, found.paths, found.landmarks, 120, 32, seed=3, counterfactuals=10)
    return str(folder)


@pytest.fixture(scope="module")
def judge_dir(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("judges") / "judge"
    AttributeClassifier(WEARABLE, 32).save(folder)
    return str(folder)


def test_galleries_begin_with_the_targets(photos, data_dir):
    task, edits = Task(data_dir, WEARABLE, 32), read_counterfactuals(data_dir, WEARABLE, 32, 10)
    galleries = draw_galleries(listed(photos), task, edits)
    shape = (10, 10, 32, 32, 3)
    assert {name: gallery.shape for name, gallery in galleries.items()} == dict.fromkeys(WEARABLE, shape)
    for name, direction, rows in edits.kinds():
        if direction == "add":
            assert rank_one(edits.targets[rows], galleries[name]) == 1
            assert rank_one(galleries[name][:, 1], galleries[name]) == 0
    with pytest.raises(SystemExit, match="dressed from others"):
        draw_galleries(listed(photos, 19), task, edits)
    with pytest.raises(SystemExit, match="10 edits or more"):
        draw_galleries(listed(photos), task, read_counterfactuals(data_dir, WEARABLE, 32, 9))


def test_an_editor_asks_for_the_labels_that_a_method_needs():
    class Told(StarGAN):
        def edit(self, images, exemplars, own, labels, wanted):
            told.append([own.numpy().tolist(), labels.numpy().tolist(), wanted.numpy().tolist()])
            return images

    told: list = []

    def labels_of(images: np.ndarray) -> np.ndarray:
        return images[:, 0, 0, :2] > 0

    images, exemplars = np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 1, 32, 32, 3), np.uint8)
    images[0, 0, 0, 1] = exemplars[1, 0, 0, 0, 0] = 255
    editor = PeerEditor(Told(NAMES, 32, TINY), NAMES, 32, 1, labels_of)
    coefficients = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    np.testing.assert_array_equal(editor.edit(images, exemplars, coefficients), images)
    assert told == [[[[0, 1], [1, 0]], [[0, 1], [0, 0]], [0, 1]]]


def test_methods_are_trained_once_and_scored(photos, data_dir, judge_dir, tmp_path, capsys):
    methods = ["cyclegan", "dnagan", "official"]
    words = [f"--data_dir={data_dir}", f"--classifier={judge_dir}", f"--out={tmp_path}", "--minutes=1e-4"]
    words += ["--image_size=32", f"--width={TINY}", "--count=10", "--methods", *methods]
    dressed = [f"--{name}={value}" for name, value in photos.items()]
    with mock.patch.object(dnagan, "OFTEN", 1), mock.patch.object(elegant, "FOR_EVER", 1):
        driver.main([*dressed, *words])
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [result["method"] for result in results] == methods
    assert [len(result["rows"]) for result in results] == [2, 6, 6]
    ranked = [[row["rank_one"] is not None for row in result["rows"]] for result in results]
    assert ranked == [[False] * 2, [True, False] * 3, [True, False] * 3]
    assert all(result["updates"] >= 1 for result in results)
    assert all((tmp_path / f"{name}.png").exists() for name in methods)
    assert "| Eyeglasses | cyclegan | 1 |" in capsys.readouterr().out
    with mock.patch.object(driver, "run", side_effect=AssertionError):
        driver.main(words)
    assert "| Eyeglasses | cyclegan | 1 |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="give another --out"):
        driver.main(["--minutes=1", *(word for word in words if not word.startswith("--minutes"))])


def test_weights_make_the_same_editor_again(data_dir, tmp_path):
    """Those of batch normalization included."""
    task = Task(data_dir, WEARABLE, 32, minutes=1e-4, width=TINY)
    edits = read_counterfactuals(data_dir, WEARABLE, 32, 1)

    def labels_of(attributes):
        return lambda images: np.zeros((len(images), len(attributes)), bool)

    with mock.patch.object(dnagan, "OFTEN", 1):
        first = plumbing.trained(DNAGAN, task, tmp_path / "peer", labels_of)
    with mock.patch.object(plumbing, "train", side_effect=AssertionError):
        again = plumbing.trained(DNAGAN, task, tmp_path / "peer", labels_of)
    assert (again.step, again.attributes) == (first.step, first.attributes)
    np.testing.assert_array_equal(edit_all(first, edits), edit_all(again, edits))
    with pytest.raises(SystemExit, match=r"peer\.npz holds weights of .*seed=0.*, not of .*seed=1"):
        plumbing.trained(DNAGAN, dataclasses.replace(task, seed=1), tmp_path / "peer", labels_of)


def test_a_method_that_diverges_is_left_out(data_dir, judge_dir, tmp_path, capsys):
    words = [
        f"--data_dir={data_dir}",
        f"--classifier={judge_dir}",
        f"--out={tmp_path}",
        "--methods",
        "dnagan",
        "modern",
    ]
    with mock.patch.object(
        driver, "run", side_effect=[FloatingPointError("diverged"), {"method": "modern", "rows": []}]
    ):
        driver.main(words)
    assert "dnagan: diverged" in capsys.readouterr().out
    (line,) = (tmp_path / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["method"] == "modern"


def test_the_table_has_means_of_methods_that_edit_all_attributes():
    def row(attribute: str, direction: str, value: float, frechet: float | None = None) -> dict:
        numbers = dict.fromkeys(("realised", "leak", "identity", "accuracy"), value)
        rank = value if direction == "add" else None
        return {"attribute": attribute, "direction": direction, **numbers, "rank_one": rank, "frechet": frechet}

    ways = ("add", "remove")
    both = [row(name, way, place + 0.1 * number) for place, name in enumerate(NAMES) for number, way in enumerate(ways)]
    one = [row(NAMES[0], way, 0.25, frechet=3.0) for way in ways]
    results = [{"method": "m", "updates": 1200, "rows": both}, {"method": "c", "updates": 7, "rows": one}]
    lines = driver.table(results).splitlines()[2:]
    assert lines == [
        "| mean | m | 1,200 | 0.50 / 0.60 | 0.5 / 0.6 | 0.50 | 0.50 / 0.60 | 0.50 / 0.60 | – / – |",
        "| Eyeglasses | m | 1,200 | 0.00 / 0.10 | 0.0 / 0.1 | 0.00 | 0.00 / 0.10 | 0.00 / 0.10 | – / – |",
        "| Eyeglasses | c | 7 | 0.25 / 0.25 | 0.2 / 0.2 | 0.25 | 0.25 / 0.25 | 0.25 / 0.25 | 3.00 / 3.00 |",
        "| Mustache | m | 1,200 | 1.00 / 1.10 | 1.0 / 1.1 | 1.00 | 1.00 / 1.10 | 1.00 / 1.10 | – / – |",
    ]

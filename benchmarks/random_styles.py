"""Styles without an exemplar: blocks of codes drawn at random, judged beside the blocks of real exemplars.

    python benchmarks/random_styles.py --run runs/dressed --data_dir dressed --scored_on judged --classifier judge

The blocks of an attribute are collected from the training images of `--data_dir` that have it. A style is then a
random exemplar's block, a draw from the Gaussian with the blocks' mean and covariance, a point between a block and one
of its nearest neighbours, or the mean block. Each is added to the inputs of the held-out edits in `--scored_on`. Prints
a table:

accuracy: the share of edits in which the classifier finds the attribute.
distance: kernel distance (KID) of the edits from the exact targets, in the classifier's features; 0 is perfect.
diversity: the mean absolute difference of two edits of one input in two styles, as a share of that of exemplars.
rank 1: the share of edits that, encoded again, are nearest to their own block among those of ten; chance is 0.1. Blank
    where all have the same block.

`--sheet` draws inputs and their edits in each kind of style.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np

from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.counterfactuals import Counterfactuals, read_counterfactuals
from elegant_tf.evaluation.distances import kernel_distance
from elegant_tf.evaluation.metrics.leakage import columns_of
from elegant_tf.images import to_float, to_uint8, write_image
from elegant_tf.model.elegant import Elegant
from elegant_tf.model.latent import block_bounds
from elegant_tf.rundir import read_config
from elegant_tf.runs import load_generator
from elegant_tf.sources import open_source

NEIGHBOURS = 5
CANDIDATES = 10
AT_ONCE = 32
COLUMNS = ("accuracy", "distance", "diversity", "rank 1")

# From blocks `[B, D]` and a generator of random numbers, `count` styles `[count, D]`.
Draw = Callable[[np.ndarray, np.random.Generator, int], np.ndarray]


def exemplars(blocks: np.ndarray, random: np.random.Generator, count: int) -> np.ndarray:
    return blocks[random.integers(len(blocks), size=count)]


def gaussian(blocks: np.ndarray, random: np.random.Generator, count: int) -> np.ndarray:
    """Combinations of the centred blocks with normal weights have their covariance, of any dimension."""
    mean = blocks.mean(axis=0)
    weights = random.normal(0.0, 1.0 / np.sqrt(len(blocks) - 1), (count, len(blocks)))
    return mean + weights @ (blocks - mean)


def neighbours(blocks: np.ndarray, random: np.random.Generator, count: int) -> np.ndarray:
    chosen = exemplars(blocks, random, count)
    nearest = np.argsort(squared_distances(chosen, blocks), axis=1)[:, 1 : NEIGHBOURS + 1]
    others = blocks[nearest[np.arange(count), random.integers(NEIGHBOURS, size=count)]]
    return chosen + random.uniform(size=(count, 1)) * (others - chosen)


def mean(blocks: np.ndarray, random: np.random.Generator, count: int) -> np.ndarray:
    return np.repeat(blocks.mean(axis=0, keepdims=True), count, axis=0)


DRAWS: Mapping[str, Draw] = {"exemplars": exemplars, "gaussian": gaussian, "neighbours": neighbours, "mean": mean}


def main() -> None:
    arguments = parse_arguments()
    generator, _ = load_generator(arguments.run)
    model = read_config(arguments.run).model
    judge = AttributeClassifier.load(arguments.classifier)
    edits = read_counterfactuals(arguments.scored_on, model.attributes, model.image_size, arguments.count)
    blocks = collect_blocks(arguments, generator)
    scores: dict[str, list[list[float]]] = {name: [] for name in DRAWS}
    rows = []
    for name, direction, places in edits.kinds():
        if direction == "add":
            made = {
                kind: add_styles(generator, edits, places, name, blocks[name], draw) for kind, draw in DRAWS.items()
            }
            apart = difference(made["exemplars"][0])
            for kind, (images, rank) in made.items():
                scores[kind].append([*score(images[0], edits, places, name, judge), difference(images) / apart, rank])
            rows.append(sheet_rows(edits, places, made))
    print_table(scores)
    if arguments.sheet:
        write_image(arguments.sheet, np.concatenate(rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--data_dir", required=True, help="in CelebA's layout: its training images give the blocks")
    parser.add_argument("--scored_on", required=True, help="a folder with counterfactual targets")
    parser.add_argument("--classifier", required=True, help="a directory that `elegant-tf train-classifier` wrote")
    parser.add_argument("--blocks", type=int, default=500, help="images that blocks of an attribute are taken from")
    parser.add_argument("--count", type=int, default=64, help="held-out edits per attribute and direction")
    parser.add_argument("--sheet", type=Path)
    return parser.parse_args()


def collect_blocks(arguments: argparse.Namespace, generator: Elegant) -> dict[str, np.ndarray]:
    """By attribute, its blocks in images that have it: float `[B, h * w * c]`."""
    config = read_config(arguments.run).replace(data="celeba", data_dir=arguments.data_dir)
    source = open_source(config.data, config.model.attributes, config.model.image_size, "train", 0)
    found = {}
    for index, name in enumerate(source.attributes):
        chosen = np.flatnonzero(source.labels[:, index])[: arguments.blocks]
        images = np.stack([source.load(int(row)) for row in chosen])
        found[name] = blocks_of(encode(generator, images), generator, name)
    return found


def encode(generator: Elegant, images: np.ndarray) -> np.ndarray:
    """Codes of uint8 images."""
    starts = range(0, len(images), AT_ONCE)
    return np.concatenate([generator.encode(to_float(images[s : s + AT_ONCE]))[0].numpy() for s in starts])


def block_places(generator: Elegant, name: str) -> slice:
    bounds = block_bounds(generator.encoder.channels[-1], len(generator.attributes))
    index = generator.attributes.index(name)
    return slice(bounds[index], bounds[index + 1])


def blocks_of(codes: np.ndarray, generator: Elegant, name: str) -> np.ndarray:
    return codes[..., block_places(generator, name)].reshape(len(codes), -1)


def add_styles(
    generator: Elegant, edits: Counterfactuals, places: np.ndarray, name: str, blocks: np.ndarray, draw: Draw
) -> tuple[np.ndarray, float]:
    """Two edits of each input in different styles, uint8 `[2, M, S, S, 3]`; and rank 1 of the first ones, or NaN."""
    random = np.random.default_rng(0)
    inputs, coefficients = edits.inputs[places], edits.coefficients[places]
    code, skips = generator.encode(to_float(inputs))
    edited, styles = [], [draw(blocks, random, len(places)) for _ in range(2)]
    for style in styles:
        codes = code.numpy()
        part = codes[..., block_places(generator, name)]
        part[...] = style.reshape(part.shape)
        images, _ = generator.edit_encoded(to_float(inputs), code, skips, codes[:, None], coefficients)
        edited.append(to_uint8(images.numpy()))
    return np.stack(edited), rank_one(blocks_of(encode(generator, edited[0]), generator, name), styles[0])


def rank_one(found: np.ndarray, styles: np.ndarray) -> float:
    """The share of blocks whose nearest style, among ten, is their own."""
    if not np.ptp(styles, axis=0).any():
        return np.nan
    rows = (np.arange(len(styles))[:, None] + np.arange(CANDIDATES)) % len(styles)
    return float((np.take_along_axis(squared_distances(found, styles), rows, axis=1).argmin(axis=1) == 0).mean())


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`[A, B]` of rows."""
    return np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2.0 * a @ b.T


def difference(pairs: np.ndarray) -> float:
    first, second = pairs.astype(np.float64)
    return float(np.abs(first - second).mean())


def score(
    edited: np.ndarray, edits: Counterfactuals, places: np.ndarray, name: str, judge: AttributeClassifier
) -> tuple[float, float]:
    found = judge.probabilities(edited)[:, columns_of(judge, (name,))[0]] > 0.5
    distance = kernel_distance(judge.features(edits.targets[places]), judge.features(edited))
    return float(found.mean()), distance


def sheet_rows(edits: Counterfactuals, places: np.ndarray, made: Mapping[str, tuple[np.ndarray, float]]) -> np.ndarray:
    """Eight inputs, and under each its first edit of every kind."""
    shown = [edits.inputs[places][:8], *(images[0][:8] for images, _ in made.values())]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in shown])


def print_table(scores: Mapping[str, list[list[float]]]) -> None:
    print("| style |", " | ".join(COLUMNS), "|")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for kind, rows in scores.items():
        cells = ["" if np.isnan(value) else f"{value:.2f}" for value in np.mean(rows, axis=0)]
        print(f"| {kind} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()

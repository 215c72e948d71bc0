"""Computes what Addons gave, to which `tests/test_addons.py` holds the replacements in `docs/addons.md`.

`python tests/goldens/make_addons.py` evaluates the left column of the page's tables on the cases below and writes
`addons.npz` beside this file. It needs tensorflow 2.15.1 and tensorflow-addons 0.23.0, not this package. With
tensorflow-cpu, Addons' `resampler` needs `LD_PRELOAD=libcudart.so.12` (nvidia-cuda-runtime-cu12).
"""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_ADDONS_PY_OPS"] = "1"  # operations in Python have gradients that those in C++ lack

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

sys.path.insert(0, str(Path(__file__).parents[1]))

from addons import Values, random, rows, run, save

ROOMS = ("layers", "optimizers", "image", "losses", "metrics", "activations", "callbacks")

FLOATS = random("images", (2, 8, 12, 3))
BYTES = np.random.RandomState(0).randint(0, 256, (2, 8, 12, 3)).astype("uint8")
BATCHES = random("batches", (3, 2, 4, 8, 6))
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 0, 3], "int32")
EMBEDDINGS = random("embeddings", (9, 5))
POINTS = 8 * random("points", (2, 7, 2)) + np.float32(4)
LANDMARKS = np.array([[[2, 3], [2, 8], [5, 6]], [[1, 2], [3, 9], [6, 5]]], "float32")
MOVED = LANDMARKS + random("moved", (2, 3, 2))
SHIFTS = np.array([[2, -1], [-3.5, 0.25]], "float32")
ANGLES = np.array([0.3, -1.2], "float32")
TRANSFORMS = np.array([[1, 0.1, -1, -0.2, 0.9, 2, 0.01, -0.01], [0.8, 0, 1, 0.1, 1.1, 0, 0, 0]], "float32")
MULTI_LABELS = np.random.RandomState(1).randint(0, 2, (3, 8, 4)).astype("float32")
SCORES = np.abs(random("scores", (3, 8, 4)))
CLASSES = np.random.RandomState(2).randint(0, 4, (3, 8)).astype("int32")
ONE_HOT = np.eye(4, dtype="float32")[CLASSES]
WEIGHTS = np.abs(random("sample weights", (3, 8)))
BOXES = np.sort(random("boxes", (6, 2, 2)), 1).reshape(6, 4)
PREDICTED = np.sort(random("predicted", (6, 2, 2)), 1).reshape(6, 4)
STEPS = np.arange(0, 25, dtype="float32")

INNER = (
    "tf.keras.layers.Dense(5, activation='tanh')",
    "tf.keras.layers.Conv2D(4, 3, strides=2, padding='same')",
    "tf.keras.layers.Conv2D(4, 3, use_bias=False)",
)
TRANSPOSED = "tf.keras.layers.Conv2DTranspose(4, 3, strides=2)"


def each(name: str, choices: tuple, /, **inputs: object) -> list[Values]:
    """One case for each value of an input."""
    return [{**inputs, name: value} for value in choices]


def moved_images(**inputs: object) -> list[Values]:
    """Floats and bytes, both interpolations, all ways to fill."""
    modes = ("constant", "nearest", "reflect", "wrap")
    images = (FLOATS, BYTES)
    cases = [{"mode": mode, "interpolation": "bilinear", "images": image} for mode in modes for image in images]
    cases += [{"mode": "constant", "interpolation": "nearest", "images": image} for image in images]
    return [{**case, **inputs} for case in cases]


BATCH = {"batches": BATCHES}
SMALL = {"batches": BATCHES / 1000}  # epsilon counts
SCORED = {"num_classes": 4, "y_true": MULTI_LABELS, "y_pred": SCORES}
CLASSIFIED = {"num_classes": 4, "y_true": ONE_HOT, "y_pred": SCORES}
TRAINED = {"lr": 0.05, "decay": 0.01}
RATES = {"low": 0.001, "high": 0.1, "half": 4.0, "step": STEPS}
EMBEDDED = {"labels": LABELS, "embeddings": EMBEDDINGS}
ALONE = {"labels": np.zeros(9, "int32"), "embeddings": EMBEDDINGS}
TWINS = {"labels": LABELS, "embeddings": np.round(8 * EMBEDDINGS[[0, 0, 2, 3, 2, 5, 0, 7, 8]]) / 8}  # exactly 0 apart
X = {"x": 4 * random("x", (5, 7))}

CASES: dict[str, list[Values]] = {
    "layers.InstanceNormalization": [BATCH, SMALL, {"batches": BATCHES[:, :, 0]}],
    "layers.FilterResponseNormalization": [BATCH, SMALL],
    "layers.GroupNormalization": each("groups", (1, 2, 6), **BATCH),
    "layers.SpectralNormalization": each("inner", (*INNER, TRANSPOSED), **BATCH, power_iterations=1)
    + [{**BATCH, "inner": INNER[1], "power_iterations": 4}],
    "layers.WeightNormalization": each("inner", INNER, **BATCH, data_init=True)
    + each("inner", (*INNER, TRANSPOSED), **BATCH, data_init=False),
    "layers.AdaptiveAveragePooling2D": each("size", ([2, 4], [1, 1]), **BATCH),
    "layers.AdaptiveMaxPooling2D": each("size", ([2, 4], [4, 2]), **BATCH),
    "layers.Maxout": each("num_units", (2, 3), **BATCH),
    "layers": [BATCH],
    "optimizers.SGDW": each("momentum", (0.0, 0.9), **TRAINED),
    "optimizers.Lookahead": [{**TRAINED, "period": 6, "step": 0.5}, {**TRAINED, "period": 2, "step": 0.8}],
    "optimizers.MovingAverage": each("decay", (0.9, 0.99), lr=0.05),
    "optimizers.MovingAverage(optimizer, decay, start_step": each("decay", (0.9, 0.99), lr=0.05, start=3),
    "optimizers.SWA": [{**TRAINED, "start": 0, "period": 10}, {**TRAINED, "start": 2, "period": 3}],
    "optimizers.TriangularCyclicalLearningRate": [RATES],
    "optimizers.Triangular2CyclicalLearningRate": [RATES],
    "optimizers.ExponentialCyclicalLearningRate": [RATES],
    "optimizers.RectifiedAdam": each("beta", (0.9, 0.999), **TRAINED),
    "optimizers": [TRAINED, {"lr": 0.001, "decay": 0.1}, {**TRAINED, "gradients": 1e-6}],
    "image.transform(images, transforms, output_shape": each(
        "images", (FLOATS, BYTES, BYTES.astype("int32")), transforms=TRANSFORMS, shape=np.array([5, 15], "int32")
    ),
    "image.transform": moved_images(transforms=TRANSFORMS),
    "image.translate(images, shifts, fill_value": each("images", (FLOATS, BYTES), shifts=SHIFTS, value=0.5),
    "image.translate": [*moved_images(shifts=SHIFTS), *moved_images(shifts=SHIFTS[:1])[:2]],
    "image.rotate": [*moved_images(angles=ANGLES), *moved_images(angles=ANGLES[:1])[:2]],
    "image.translations_to": [{"shifts": SHIFTS}],
    "image.angles_to": [{"angles": ANGLES}],
    "image.compose": [{"first": TRANSFORMS, "second": TRANSFORMS[::-1].copy()}],
    "image.cutout": [
        {"images": images, "mask_size": size, "offset": np.array([[2, 3], [7, 0]], "int32"), "value": value}
        for images, size, value in ((FLOATS, [4, 4], 0), (FLOATS, [2, 6], 0.5), (BYTES, [4, 8], 7))
    ],
    "image.mean_filter2d": [
        {"images": images, "size": size, "padding": padding}
        for images, size, padding in (
            (FLOATS, (3, 3), "REFLECT"),
            (BYTES, (3, 3), "CONSTANT"),
            (FLOATS.astype("float64"), (2, 5), "SYMMETRIC"),
            (BYTES, (5, 4), "REFLECT"),
        )
    ],
    "image.median_filter2d": [
        {"images": images, "size": size, "padding": padding}
        for images, size, padding in ((FLOATS, (3, 3), "REFLECT"), (BYTES, (5, 3), "CONSTANT"))
    ],
    "image.gaussian_filter2d": [
        {"images": FLOATS, "size": 3, "sigma": 1.0},
        {"images": FLOATS.astype("float64"), "size": 7, "sigma": 2.5},
    ],
    "image.interpolate_bilinear": [{"images": FLOATS, "points": POINTS}],
    "image.dense_image_warp": [
        {"images": FLOATS.astype(dtype), "flow": 3 * random("flow", (*FLOATS.shape[:3], 2)).astype(dtype)}
        for dtype in ("float32", "float64")
    ],
    "image.interpolate_spline": [
        {
            "points": LANDMARKS.astype(dtype),
            "values": MOVED.astype(dtype),
            "queries": POINTS.astype(dtype),
            "order": order,
        }
        for order in (1, 2, 3)
        for dtype in ("float32", "float64")
    ],
    "image.sparse_image_warp": each("border", (0, 1, 3), images=FLOATS, source=LANDMARKS, target=MOVED),
    "image.resampler": [{"images": FLOATS, "points": POINTS}, {"images": FLOATS, "points": 3 * POINTS - 8}],
    "image.adjust_hsv": [
        {"images": FLOATS, "hue": 0.0, "saturation": 1.0, "value": 1.0},
        {"images": FLOATS, "hue": 0.7, "saturation": 0.5, "value": 1.2},
    ],
    "image.blend": each("factor", (0.3, 0.75), images=255 * FLOATS, others=255 * FLOATS[::-1]),
    "losses.TripletSemiHard": each("distance", ("L2", "squared-L2", "angular"), **EMBEDDED, margin=0.6)
    + [{**inputs, "distance": "L2", "margin": 1.0} for inputs in (ALONE, TWINS)],
    "losses.TripletHard": [
        {**inputs, "margin": margin, "soft": soft}
        for inputs, margin, soft in (
            (EMBEDDED, 1.0, False),
            (EMBEDDED, 0.2, True),
            (ALONE, 1.0, False),
            (TWINS, 1.0, False),
        )
    ],
    "losses.Contrastive": each(
        "margin", (1.0, 0.5), same=np.array([0, 1, 1, 0], "int32"), distances=np.array([0.2, 0.9, 0.1, 1.7], "float32")
    ),
    "losses.LiftedStruct": each("margin", (1.0, 2.0), **EMBEDDED),
    "losses.NpairsLoss": [{"labels": LABELS, "similarities": random("similar", (9, 9))}],
    "losses.NpairsMultilabel": [
        {"tags": MULTI_LABELS[0].astype("int32") | np.eye(8, 4, dtype="int32"), "similarities": random("like", (8, 8))}
    ],
    "losses.SigmoidFocal": [
        {"y_true": MULTI_LABELS[0], "y_pred": 3 * random("logits", (8, 4)), "logits": True},
        {"y_true": MULTI_LABELS[0], "y_pred": SCORES[0], "logits": False},
    ],
    "losses.GIoU": each("mode", ("giou", "iou"), boxes=BOXES, predicted=PREDICTED),
    "losses.Pinball": each("tau", (0.5, 0.1), y_true=MULTI_LABELS[0], y_pred=SCORES[0]),
    "losses.WeightedKappa": [{"num_classes": 4, "y_true": ONE_HOT[0].astype("int32"), "y_pred": SCORES[0]}],
    "metrics.F1Score": [
        {**inputs, "average": average, "threshold": threshold}
        for inputs in (SCORED, {**SCORED, "sample_weight": WEIGHTS})
        for average in (None, "micro", "macro", "weighted")
        for threshold in (None, 0.5)
    ],
    "metrics.FBeta": each("beta", (0.5, 2.0), **SCORED, average="macro", threshold=0.4),
    "metrics.CohenKappa(num_classes, weightage": each("weightage", (None, "linear", "quadratic"), **CLASSIFIED)
    + [{**CLASSIFIED, "weightage": "linear", "sample_weight": WEIGHTS}]
    + [{"num_classes": 2, "weightage": None, "y_true": CLASSES % 2, "y_pred": SCORES[..., 0]}],
    "metrics.CohenKappa(num_classes, sparse": [{"num_classes": 4, "y_true": CLASSES, "y_pred": SCORES}],
    "metrics.Matthews": [CLASSIFIED, {**CLASSIFIED, "sample_weight": WEIGHTS}],
    "metrics.Hamming": each("threshold", (0.5, 0.2), y_true=MULTI_LABELS, y_pred=SCORES),
    "metrics.MultiLabel": [{"num_classes": 4, "y_true": MULTI_LABELS, "y_pred": np.round(SCORES)}],
    "metrics.RSquare": [{"y_true": SCORES, "y_pred": SCORES**2}],
    "activations.snake": each("frequency", (1, 3), **X),
    "activations": [X],
}


def cases_of(left: str) -> list[Values]:
    """The cases of a row: those under the longest beginning of its code."""
    return CASES[max((key for key in CASES if left.startswith(f"tfa.{key}")), key=len)]


def symbols(room: str) -> list[str]:
    """The public classes and functions of a part of Addons."""
    return [name for name, value in vars(getattr(tfa, room)).items() if name[0] != "_" and not inspect.ismodule(value)]


def main() -> None:
    names = {"tfa": tfa, "tf": tf}
    cases = [(left, inputs, run(left, left, names, inputs)) for left in rows() for inputs in cases_of(left)]
    save(cases, {room: symbols(room) for room in ROOMS})


if __name__ == "__main__":
    main()

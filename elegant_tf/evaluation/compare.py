"""Two models on the same held-out edits: their scorecards side by side, and whether the new one is within limits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from elegant_tf.bounds import LARGEST_SEED, Bounds
from elegant_tf.config import Config
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation.counterfactuals import Counterfactuals, has_counterfactuals, load_counterfactuals
from elegant_tf.evaluation.edits import EVALUATION_SEED, Edits, Evaluated, check_count, sample_edits
from elegant_tf.evaluation.evaluate import evaluated_on, naming_the_cure
from elegant_tf.evaluation.held_out import ReadableSource
from elegant_tf.evaluation.metrics.context import COUNT
from elegant_tf.evaluation.metrics.reconstruction import COUNT as RECONSTRUCTED
from elegant_tf.evaluation.paired import Difference, difference
from elegant_tf.evaluation.report.tables import Table, interval_cell
from elegant_tf.evaluation.shares import Shares, people_in, pixel_shares
from elegant_tf.export.written import open_model
from elegant_tf.images import resize
from elegant_tf.names import find_attributes
from elegant_tf.paths import local_path
from elegant_tf.rundir import CONFIG_FILE, find_run, read_config
from elegant_tf.sources import open_source

# In decibels; the PSNR of an exact image is infinite.
_HIGHEST_PSNR = 100.0

_WAYS = {"fall": -1.0, "rise": 1.0}
_SIGNS = {"fall": "≥", "rise": "≤", "move": "±"}


class Limit(NamedTuple):
    """The largest change of a number that is allowed in a way: it must not `fall` further, `rise` further, or `move`.

    Where a number may fall a little, `change` is negative; where it has to rise, positive.
    """

    change: float
    way: str

    def allows(self, change: float) -> bool:
        """Whether a change is within the limit; NaN is not."""
        if self.way == "move":
            return abs(change) <= self.change
        return change * _WAYS[self.way] <= self.change * _WAYS[self.way]


LIMITS: Mapping[str, Limit] = {
    "realised": Limit(-0.02, "fall"),
    "leak": Limit(0.5, "rise"),
    "moved": Limit(1.0, "move"),
    "reconstruction_psnr": Limit(-0.5, "fall"),
}
"""The limits by default; that of `reconstruction_psnr` only for data without targets, where leak is not known."""

# What numbers mean, and their digits in tables.
_MEANINGS = {
    "realised": ("the share of the target's change that edits make, 1 is perfect", 3),
    "leak": ("the mean absolute change of the other pixels, of 255, 0 is perfect", 2),
    "psnr": ("of edits against their targets, in dB", 2),
    "ssim": ("of edits against their targets, 1 is perfect", 4),
    "moved": ("the mean absolute change of all pixels, of 255", 2),
    "reconstruction_psnr": ("of images decoded from their own codes, in dB", 2),
}
# Those that are also told by attribute and direction.
_BY_KIND = ("realised", "leak", "moved")
_INTERVALS = "95 %: confidence intervals of the change, by a paired bootstrap over people."


class Compared(NamedTuple):
    """A model: its path, the step and the SHA-256 of its weights, and the side of its images."""

    path: str
    step: int
    model_sha256: str
    image_size: int


@dataclass(frozen=True)
class Kind:
    """The `count` edits of an attribute in a direction: differences by the name of the number."""

    attribute: str
    direction: str
    count: int
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    `notes`: what the models do not have in common, in words; `evaluated_on`: the data; `count`: the number of edits,
    and `people`, that of different inputs; `means`: the differences by the name of the number, over all kinds of edits;
    `limits`: for some of the means; `strict`: whether they hold for all of the interval of a change; `beyond`: a
    sentence for each limit that does not hold.
    """

    old: Compared
    new: Compared
    notes: Sequence[str]
    evaluated_on: str
    count: int
    people: int
    means: Mapping[str, Difference]
    kinds: Sequence[Kind]
    limits: Mapping[str, Limit]
    strict: bool
    beyond: Sequence[str]

    def tables(self) -> list[Table]:
        """The means with their limits, and every kind of edit."""
        heads, names = ("old", "new", "change", "95 %"), list(self.kinds[0].differences)
        means = [(name, *_cells(name, found), self._limit(name)) for name, found in self.means.items()]
        kinds = [
            (kind.attribute, kind.direction, *(cell for name in names for cell in _cells(name, kind.differences[name])))
            for kind in self.kinds
        ]
        kind_heads = [cell for name in names for cell in (f"{name}: old", *heads[1:])]
        meanings = "; ".join(f"{name}: {_MEANINGS[name][0]}" for name in self.means)
        return [
            Table("Means over attributes and directions", f"{meanings}. {_INTERVALS}", ("", *heads, "limit"), means),
            Table("Attributes and directions", _INTERVALS, ("attribute", "direction", *kind_heads), kinds, words=2),
        ]

    def __str__(self) -> str:
        """The models, the tables, and the limits that do not hold."""
        return "\n\n".join(["\n".join(self._head()), *map(str, self.tables()), "\n".join(self._verdict())])

    def as_markdown(self) -> str:
        """The same as a document."""
        items = [f"- {line}" for line in [*self._head(), *self._verdict()]]
        return "\n".join(["# Comparison of two models", "", *items, "", *(one.as_markdown() for one in self.tables())])

    def as_json(self) -> dict[str, Any]:
        """The same as plain values; an unknown interval is None."""
        return {
            **{name: getattr(self, name) for name in ("notes", "evaluated_on", "count", "people", "strict", "beyond")},
            **{name: getattr(self, name)._asdict() for name in ("old", "new")},
            "limits": {name: limit.change for name, limit in self.limits.items()},
            "means": _plain(self.means),
            "kinds": [{**vars(kind), "differences": _plain(kind.differences)} for kind in self.kinds],
        }

    def _head(self) -> list[str]:
        models = [
            f"{name}: {model.path}, step {model.step}, {model.image_size} pixels, weights {model.model_sha256[:12]}"
            for name, model in (("old", self.old), ("new", self.new))
        ]
        return [*models, f"on: {self.evaluated_on}, {self.count} edits of {self.people} people", *self.notes]

    def _verdict(self) -> list[str]:
        return [f"beyond the limits: {sentence}" for sentence in self.beyond] or ["within the limits"]

    def _limit(self, name: str) -> str:
        limit = self.limits.get(name)
        return f"{_SIGNS[limit.way]} {limit.change:g}" if limit else ""


def compare(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    data: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    labels_file: str | os.PathLike[str] | None = None,
    attributes: Sequence[str] = (),
    count: int = COUNT,
    seed: int = EVALUATION_SEED,
    limits: Mapping[str, float] | None = None,
    strict: bool = False,
) -> Comparison:
    """Puts the same held-out edits through two models, and compares the results at the smaller of their image sizes.

    Args:
        old, new: TFLite files, directories that `elegant-tf export` wrote, or runs.
        data, data_dir, labels_file: what to compare on, as `evaluate` takes them; None: the data that both models were
            trained on.
        attributes: which to compare; empty: all that both models know. The limits then do not hold if the new model
            lacks one that the old one knows.
        count: edits per attribute and direction.
        seed: of the evaluation set, see `evaluate`.
        limits: changes by the name of a number, in place of those of `LIMITS`.
        strict: whether limits hold for all of the confidence interval of a change, not only for the change.

    Raises:
        UserError: a model or the data cannot be read, the models are one and the same, have no attribute in common or
            were trained on different data, or a limit is for a number that the data cannot give.
    """
    check_count(count)
    Bounds(at_least=0, at_most=LARGEST_SEED).check("seed", seed)
    data_dir, labels_file = (
        path if path is None else local_path(path, flag)
        for path, flag in ((data_dir, "data_dir"), (labels_file, "labels_file"))
    )
    pair = _open(old, "old"), _open(new, "new")
    if os.path.samefile(pair[0].path, pair[1].path):
        raise UserError(f"--old={old}, --new={new}: both are {pair[0].path}; name two versions, as in DIR/VERSION")
    shared = _shared(*pair, attributes)
    config, targets_dir = _evaluated_on(*pair, data, data_dir, labels_file)
    config = config.replace(attributes=shared, depth=min(model.config.model.depth for model in pair))
    held = _limits(limits or {}, bool(targets_dir) or has_counterfactuals(config))
    sizes = [model.editor.image_size for model in pair]
    with naming_the_cure(data, "compare"):
        edits = _load(config.replace(image_size=max(sizes)), targets_dir, count, seed)
    person, kind = people_in(edits.inputs), edits.kind
    before, after = (_measure(model.editor, edits, min(sizes)) for model in pair)

    def differences(names: Iterable[str], rows: np.ndarray | slice = slice(None)) -> dict[str, Difference]:
        return {
            name: difference(before[name].take(rows), after[name].take(rows), kind[rows], person[rows])
            for name in names
            if name in before
        }

    means = differences(_MEANINGS)
    wrong = [_beyond(name, limit, means[name], strict) for name, limit in held.items()]
    kinds = [
        Kind(attribute, direction, len(rows), differences(_BY_KIND, rows))
        for attribute, direction, rows in edits.kinds()
    ]
    return Comparison(
        old=pair[0].described(),
        new=pair[1].described(),
        notes=_notes(*pair),
        evaluated_on=str(targets_dir or config.data.data_dir or config.data.kind),
        count=len(edits),
        people=len(np.unique(person)),
        means=means,
        kinds=kinds,
        limits=held,
        strict=strict,
        beyond=[*_lost(*pair, attributes), *filter(None, wrong)],
    )


class _Model(NamedTuple):
    """A run or an exported model to compare."""

    path: str
    editor: Evaluated
    config: Config
    sha: str

    def described(self) -> Compared:
        """What a comparison says of it."""
        return Compared(self.path, self.editor.step, self.sha, self.editor.image_size)


def _open(path: str | os.PathLike[str], flag: str) -> _Model:
    path = local_path(path, flag)
    try:
        if (find_run(path) / CONFIG_FILE).is_file():
            editor = Editor.load(path)
            return _Model(str(find_run(path)), editor, read_config(path), editor.model)
        written = open_model(path)
        return _Model(str(written.path), written, written.config, str(written.metadata.get("model_sha256", "")))
    except UserError as error:
        raise UserError(f"--{flag}={path}: {error}") from error


def _shared(old: _Model, new: _Model, wanted: Sequence[str]) -> tuple[str, ...]:
    """The attributes to compare, in the order of the new model."""
    both = [name for name in new.editor.attributes if name in old.editor.attributes]
    if not both:
        theirs = (", ".join(model.editor.attributes) for model in (old, new))
        raise UserError("--old edits {}, and --new {}: no attribute to compare".format(*theirs))
    chosen = {both[place] for place in find_attributes(wanted, both)} if wanted else both
    return tuple(name for name in both if name in chosen)


def _evaluated_on(
    old: _Model, new: _Model, data: str | None, data_dir: str | None, labels_file: str | None
) -> tuple[Config, str | None]:
    """As `evaluated_on`, of data that neither model was trained on as far as this is known."""
    if not (data or data_dir or labels_file) and _training_data(old) != _training_data(new):
        raise UserError(
            f"--old was trained on {_training_data(old)}, and --new on {_training_data(new)}: "
            "name the data to compare on with --data, --data_dir and --labels_file"
        )
    return evaluated_on(new.config, data, data_dir, labels_file)


def _training_data(model: _Model) -> str:
    data = model.config.data
    return data.kind if data.kind == "faces" else " ".join(filter(None, (data.kind, data.data_dir, data.labels_file)))


def _limits(given: Mapping[str, float], has_targets: bool) -> dict[str, Limit]:
    """The limits that hold: those given, and otherwise those by default."""
    usual = ["realised", "leak"] if has_targets else ["moved", "reconstruction_psnr"]
    known = [name for name in LIMITS if name in (*usual, "reconstruction_psnr")]
    if unknown := [name for name in given if name not in known]:
        why = f"the data has {'' if has_targets else 'no '}counterfactual targets; limit {', '.join(known)}"
        raise UserError(f"--{unknown[0]}={given[unknown[0]]:g}: {why}")
    held = [name for name in known if name in (*usual, *given)]
    return {name: LIMITS[name]._replace(change=given.get(name, LIMITS[name].change)) for name in held}


def _load(config: Config, targets_dir: str | None, count: int, seed: int) -> Edits:
    """The held-out edits at the configuration's image size."""
    if targets_dir or has_counterfactuals(config):
        return load_counterfactuals(config, targets_dir, count, seed=seed)
    source = ReadableSource(open_source(config.data, config.model.attributes, config.model.image_size, "test", seed))
    edits = sample_edits(source, count, seed)
    if source.bad_images.count:
        logging.warning("%s", source.bad_images.report())
    return edits


def _measure(editor: Evaluated, edits: Edits, size: int) -> dict[str, Shares]:
    """The numbers of every edit by name, measured at an image size that is not above that of the editor."""
    places = np.array([editor.attributes.index(name) for name in edits.attributes])
    coefficients = np.eye(len(editor.attributes))[places[edits.attribute]][:, None]
    inputs, exemplars = (_resized(images, editor.image_size) for images in (edits.inputs, edits.exemplars))
    edited = _resized(editor.edit(inputs, exemplars[:, None], coefficients), size)
    some = np.arange(len(edits)) % -(-len(edits) // RECONSTRUCTED) == 0
    made = _resized(editor.edit(inputs[some], inputs[some][:, None], np.zeros_like(coefficients[some])), size)
    inputs, psnr = _resized(edits.inputs, size), np.zeros(len(edits))
    psnr[some] = _psnr(made, inputs[some])
    reconstruction = {"reconstruction_psnr": Shares(psnr, some.astype(np.float64))}
    if not isinstance(edits, Counterfactuals):
        return {**pixel_shares(inputs, edited, None), **reconstruction}
    targets = _resized(edits.targets, size)
    return {
        **pixel_shares(inputs, edited, targets),
        "psnr": Shares.of(_psnr(edited, targets)),
        "ssim": Shares.of(np.asarray(tf.image.ssim(tf.constant(edited), tf.constant(targets), 255))),
        **reconstruction,
    }


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """Images uint8 `[M, S, S, 3]` at another size."""
    return images if images.shape[1] == size else np.stack([resize(image, size) for image in images])


def _psnr(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The PSNR of each of M pairs of images in dB, at most `_HIGHEST_PSNR`: float64 `[M]`."""
    error = np.square(images.astype(np.float64) - others).mean(axis=(1, 2, 3))
    return np.minimum(10.0 * np.log10(255.0**2 / np.maximum(error, 1e-12)), _HIGHEST_PSNR)


def _lost(old: _Model, new: _Model, wanted: Sequence[str]) -> list[str]:
    lost = [name for name in old.editor.attributes if name not in new.editor.attributes]
    text = f"the new model lacks {', '.join(lost)}, which the old one knows (--attributes names those that matter)"
    return [text] if lost and not wanted else []


def _notes(old: _Model, new: _Model) -> list[str]:
    """What the models do not have in common."""
    notes = []
    for this, other, name in ((old, new, "old"), (new, old, "new")):
        if alone := [one for one in this.editor.attributes if one not in other.editor.attributes]:
            notes.append(f"not compared, since only the {name} model knows them: {', '.join(alone)}")
    if old.editor.image_size != new.editor.image_size:
        notes.append("each model edits images of its own size; measured at the smaller one")
    if old.editor.attributes != new.editor.attributes:
        notes.append(f"weights of requests are in the order {', '.join(new.editor.attributes)} for the new model")
    return notes


def _beyond(name: str, limit: Limit, found: Difference, strict: bool) -> str:
    """A sentence if a difference is beyond a limit, otherwise empty."""
    if all(map(limit.allows, found.interval if strict else [found.change])):
        return ""
    old, new, change, interval = _cells(name, found)
    whole = ", for the whole interval (--strict)" if strict else ""
    return (
        f"{name} changed by {change}, from {old} to {new}, 95 % {interval or 'unknown'}; "
        f"the limit is {_SIGNS[limit.way]} {limit.change:g}{whole} (--{name})"
    )


def _cells(name: str, found: Difference) -> tuple[str, str, str, str]:
    digits = _MEANINGS[name][1]
    ends = interval_cell(found.interval, digits)
    return f"{found.old:.{digits}f}", f"{found.new:.{digits}f}", f"{found.change:+.{digits}f}", ends


def _plain(differences: Mapping[str, Difference]) -> dict[str, Any]:
    return {
        name: {**vars(one), "change": one.change, "interval": None if np.isnan(one.interval).any() else one.interval}
        for name, one in differences.items()
    }

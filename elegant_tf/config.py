"""One frozen description of a run: fields, defaults, checks and presets. Every flag of `train.py` is a field here."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elegant_tf.errors import UserError
from elegant_tf.files import whole_file

CONFIG_FILE = "config.json"

# Runs that come with the package, by name.
SHIPPED = Path(__file__).with_name("shipped")


def _option(default: Any, help: str, *, choices: tuple[str, ...] = (), free: bool = False) -> Any:
    """A field with its flag's help; a `free` one may change when a run is resumed."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "free": free})


@dataclass(frozen=True)
class Config:
    """A run's options. The defaults are the `official` preset: the authors' released program.

    Raises:
        UserError: a field's value is not allowed; the text names the flag, the value and what would be right.
    """

    data: str = _option(
        "faces",
        "Where images come from: drawn faces, CelebA, CelebA-HQ, TensorFlow Datasets, a folder and table, or records.",
        choices=("faces", "celeba", "celeba_hq", "tfds", "folder", "records"),
        free=True,
    )
    data_dir: str = _option("", "Folder of the images and label files, for all --data but faces.", free=True)
    labels_file: str = _option("", "Table for --data=folder; empty: the only one in --data_dir.", free=True)
    attributes: tuple[str, ...] = _option(
        ("Eyeglasses", "Bangs", "Mustache", "Smiling", "Wearing_Hat"),
        "Attributes to move, in the order of code blocks.",
    )
    image_size: int = _option(256, "Side of the square images in pixels; a multiple of 2**depth.")
    flip: bool = _option(False, "Mirror training images at random.")
    faces_count: int = _option(8000, "How many faces to draw for --data=faces.")

    start_from: str = _option("", "Run, packed or not, whose generator a new run begins with; empty: random weights.")
    width: int = _option(64, "Channels of the first convolution.")
    depth: int = _option(5, "Halvings between an image and its code.")
    mirror_edits: bool = _option(
        False, "Edit by the mean of an image's edit and its mirror image's: closer, twice the work.", free=True
    )

    batch_size: int = _option(16, "Pairs of images an update, over all replicas.")
    steps: int = _option(
        200_000, "Steps to train; one update per attribute each (cycle), or one update (mixed).", free=True
    )
    max_minutes: float = _option(0.0, "Minutes to train now, then save and stop; 0: until --steps.", free=True)
    attribute_schedule: str = _option(
        "cycle",
        "Attributes one after another (cycle), or all within each batch (mixed).",
        choices=("cycle", "mixed"),
    )
    match_attributes: str = _option(
        "none",
        "Whether the other attributes of a pair are matched (all), against leaks of what goes together, or not (none).",
        choices=("none", "all"),
    )
    seed: int = _option(0, "Seed of weights, drawn faces and batches.")

    optimizer: str = _option(
        "adam",
        "Adam, as published, or muon: orthogonal steps for hidden kernels, which learn more, and Adam elsewhere.",
        choices=("adam", "muon"),
    )
    learning_rate: float = _option(2e-4, "Learning rate at the start.")
    learning_rate_decay: float = _option(0.97, "Factor on the learning rate after every --learning_rate_decay_steps.")
    learning_rate_decay_steps: int = _option(3000, "Steps between decays of the learning rate.")
    learning_rate_cooldown: int = _option(
        0, "Last of all steps, over which the learning rate falls evenly to nothing besides; 0: none.", free=True
    )
    adam_beta1: float = _option(0.5, "Adam's decay of the mean gradient.")
    adam_beta2: float = _option(0.999, "Adam's decay of the mean squared gradient.")
    weight_decay: float = _option(1e-5, "L2 added to the gradient of every variable.")

    reconstruction_norm: str = _option(
        "l2", "Reconstruction loss: mean square (l2) or absolute (l1).", choices=("l1", "l2")
    )
    reconstruction_weight: float = _option(5.0, "Weight of the reconstruction loss.")
    discriminator_weight: float = _option(0.25, "Factor on the whole discriminator loss.")
    half_scale_weight: float = _option(0.5, "Weight of the half-size discriminator in both losses.")
    conditioning: str = _option(
        "planes",
        "How discriminators take labels in: as image planes, or as a score an attribute (projection).",
        choices=("planes", "projection"),
    )
    mismatch_weight: float = _option(0.0, "Weight of real images under swapped labels as fakes.")
    r1_weight: float = _option(0.0, "Weight of the discriminators' squared slope at real images.")
    r1_every: int = _option(8, "Updates from one such penalty to the next, which counts for all of them.")
    restoration_weight: float = _option(0.0, "Weight of giving edited images back what was exchanged.")
    restyle_weight: float = _option(0.0, "Weight of giving back their own style to images restyled by others.")
    carrier_share: float = _option(
        0.25, "How often what gives a style back is the image it was moved to; else its own."
    )
    exemplar_shift: int = _option(3, "Pixels by which an image is shifted at most to give its own style back.")
    restoration_noise: float = _option(0.0, "Noise on edited images to which something is given back.")
    restoration_ramp_updates: int = _option(0, "Updates over which the weights of both grow to their full value.")
    residual_weight: float = _option(0.0, "Weight of the mean absolute residual of edited images.")
    ema_half_life: float = _option(0.0, "Updates in which an averaged generator forgets half; 0: no averaging.")

    exchange_share: float = _option(
        0.0, "Chance of every other attribute to be exchanged along with the one in turn; 0: one at a time."
    )

    truth_weight: float = _option(0.0, "Weight of drawn right answers, for --data=faces; 0: unpaired, as published.")
    truths_count: int = _option(8000, "How many exchanges between two people to draw, each with both right answers.")
    truth_attributes: tuple[str, ...] = _option(
        (), "What those are about, in turn; an attribute named twice is so twice as often; empty: all alike."
    )
    truth_restyle_share: float = _option(0.5, "Share of them in which both people have it; in the others one has.")
    truth_batch_size: int = _option(
        16, "Exchanges with right answers that the generator is shown at once, over all replicas."
    )
    truth_updates: int = _option(
        1, "Times that it is in an update: once with the pairs, and before on right answers alone."
    )
    truth_floor: float = _option(
        0.01,
        "Added to what a picture lacks, in units of which its error counts: the less, the more small changes do.",
        free=True,
    )
    truth_kept_weight: float = _option(
        1.0,
        "What errors count where a right answer keeps the picture: the less, the bolder edits are, and leak more.",
        free=True,
    )
    truth_absolute: int = _option(
        0, "Last of all steps, in which errors against right answers count by size, not by its square.", free=True
    )

    precision: str = _option(
        "float32",
        "Number format of the convolutions.",
        choices=("float32", "mixed_float16", "mixed_bfloat16", "float64"),
    )
    strategy: str = _option(
        "auto", "Devices to train on; auto: every GPU.", choices=("auto", "one_device", "mirrored"), free=True
    )
    jit: bool = _option(False, "Compile updates with XLA.", free=True)
    deterministic: bool = _option(False, "Bit-identical runs on a machine, at some cost in speed.", free=True)

    checkpoint_every: int = _option(1000, "Steps between checkpoints.", free=True)
    checkpoints_kept: int = _option(3, "Newest checkpoints to keep.", free=True)
    log_every: int = _option(10, "Steps between lines of progress.", free=True)
    sample_every: int = _option(1000, "Steps between grids of samples; 0: none.", free=True)
    evaluate_every: int = _option(0, "Steps between evaluations on held-out edits; 0: none.", free=True)

    def __post_init__(self) -> None:
        for name in ("attributes", "truth_attributes"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_types()
        self._check_choices()
        self._check_sizes()
        self._check_ranges()
        self._check_attributes()

    def _check_types(self) -> None:
        for field in dataclasses.fields(self):
            value, default = getattr(self, field.name), field.default
            if isinstance(default, float) and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not type(default):
                raise _wrong(field.name, value, f"a value of type {type(default).__name__}")

    def _check_choices(self) -> None:
        for field in dataclasses.fields(self):
            choices = field.metadata["choices"]
            if choices and getattr(self, field.name) not in choices:
                raise _wrong(field.name, getattr(self, field.name), "one of " + ", ".join(choices))
        if self.data not in ("faces", "tfds") and not self.data_dir:
            raise _wrong("data_dir", self.data_dir, f"the folder of images and label files, for --data={self.data}")
        if self.truth_weight and self.data != "faces":
            raise _wrong("truth_weight", self.truth_weight, f"0 for --data={self.data}: only drawn faces have truths")

    def _check_attributes(self) -> None:
        names = self.attributes
        if not names or len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
            raise _wrong("attributes", ",".join(map(str, names)), "one or several different names, separated by commas")
        if len(names) > self.code_channels:
            raise _wrong("attributes", ",".join(names), f"at most {self.code_channels} at this --width and --depth")
        if strange := [name for name in self.truth_attributes if name not in names]:
            raise _wrong("truth_attributes", ",".join(map(str, strange)), "some of --attributes=" + ",".join(names))

    def _check_sizes(self) -> None:
        if not 2 <= self.depth <= 8:
            raise _wrong("depth", self.depth, "2 to 8")
        multiple = 2**self.depth
        if self.image_size < 32 or self.image_size % multiple:
            raise _wrong("image_size", self.image_size, f"a multiple of {multiple} (2**depth), 32 at least")

    def _check_ranges(self) -> None:
        for name in (
            "width",
            "batch_size",
            "truths_count",
            "truth_batch_size",
            "truth_updates",
            "steps",
            "learning_rate_decay_steps",
            "r1_every",
            "log_every",
            "checkpoint_every",
        ):
            if getattr(self, name) < 1:
                raise _wrong(name, getattr(self, name), "1 or more")
        if self.checkpoints_kept < 1:
            raise _wrong("checkpoints_kept", self.checkpoints_kept, "1 or more")
        if self.faces_count < 16:
            raise _wrong("faces_count", self.faces_count, "16 or more")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise _wrong(field.name, value, "a finite number, 0 or more")
        for name in ("adam_beta1", "adam_beta2"):
            if getattr(self, name) >= 1:
                raise _wrong(name, getattr(self, name), "less than 1")
        for name in (
            "seed",
            "sample_every",
            "evaluate_every",
            "restoration_ramp_updates",
            "exemplar_shift",
            "learning_rate_cooldown",
            "truth_absolute",
        ):
            if getattr(self, name) < 0:
                raise _wrong(name, getattr(self, name), "0 or more")
        for name in ("exchange_share", "carrier_share", "truth_restyle_share"):
            if getattr(self, name) > 1:
                raise _wrong(name, getattr(self, name), "0 to 1")
        if self.exemplar_shift >= self.image_size:
            raise _wrong("exemplar_shift", self.exemplar_shift, f"less than --image_size={self.image_size}")
        for name in ("learning_rate", "truth_floor"):
            if getattr(self, name) <= 0:
                raise _wrong(name, getattr(self, name), "more than 0")

    @property
    def code_channels(self) -> int:
        """Channels of a latent code."""
        return self.width * min(2 ** (self.depth - 1), 8)

    @property
    def generator_arguments(self) -> dict[str, Any]:
        """The arguments of `Elegant` but for its number format."""
        names = ("attributes", "width", "depth", "mirror_edits")
        return {name: getattr(self, name) for name in names}

    @property
    def truths_per_update(self) -> int:
        """Exchanges with right answers that an update learns from, in all of its turns."""
        return self.truth_batch_size * self.truth_updates

    @property
    def updates_per_step(self) -> int:
        """Updates that count as one step: one per attribute under `cycle`, one under `mixed`."""
        return len(self.attributes) if self.attribute_schedule == "cycle" else 1

    def to_json(self) -> str:
        """The fields as JSON text that `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Reads `to_json`'s text.

        Raises:
            UserError: the text is no JSON object, or names a field that there is not.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"a configuration must be JSON, and this is not: {error}") from error
        if not isinstance(values, dict):
            raise UserError("a configuration must be a JSON object of fields")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(f"unknown configuration fields: {', '.join(unknown)}")
        return cls(**values)

    def save(self, run_dir: str | os.PathLike[str]) -> None:
        """Writes `config.json` into a run directory, aside first and then renamed."""
        with whole_file(Path(run_dir) / CONFIG_FILE) as aside:
            aside.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, run_dir: str | os.PathLike[str]) -> Config:
        """Reads the `config.json` of a run directory, or of a model that comes with the package.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        path = find_run(run_dir) / CONFIG_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{run_dir} is not a run directory: cannot read {path.name} in it ({error})") from error
        try:
            return cls.from_json(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def differences(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """The fields that must not change within a run and do: name to this value and the other's."""
        fixed = (field.name for field in dataclasses.fields(self) if not field.metadata["free"])
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in fixed}
        return {name: values for name, values in pairs.items() if values[0] != values[1]}


def find_run(run: str | os.PathLike[str]) -> Path:
    """The directory of a run; of the model that comes with the package if that has this name and no such run exists."""
    name = os.fspath(run)
    shipped = SHIPPED / name
    is_shipped = os.path.basename(name) == name and (shipped / CONFIG_FILE).is_file()
    return shipped if is_shipped and not os.path.exists(os.path.join(name, CONFIG_FILE)) else Path(run)


# What learns most in an hour without a GPU: see docs/learning.md.
_MODERN = {
    "image_size": 64,
    "flip": True,
    "width": 24,
    "depth": 4,
    "steps": 30_000,
    "attribute_schedule": "mixed",
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "conditioning": "projection",
    "mismatch_weight": 1.0,
    "r1_weight": 0.1,
    "restoration_weight": 4.0,
    "restyle_weight": 4.0,
    "restoration_noise": 0.05,
    "restoration_ramp_updates": 2000,
    "residual_weight": 0.2,
    "ema_half_life": 200.0,
    "log_every": 20,
    "checkpoint_every": 500,
    "sample_every": 500,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "official": {},
    "paper": {
        "reconstruction_norm": "l1",
        "reconstruction_weight": 1.0,
        "discriminator_weight": 1.0,
        "half_scale_weight": 1.0,
    },
    "modern": _MODERN,
    "demo": {**_MODERN, "steps": 12_000},
}


def preset(name: str, **overrides: Any) -> Config:
    """The named preset's configuration with some fields changed.

    Raises:
        UserError: no preset of that name, no such field, or a value not allowed.
    """
    if name not in PRESETS:
        raise _wrong("preset", name, "one of " + ", ".join(PRESETS))
    known = {field.name for field in dataclasses.fields(Config)}
    if unknown := sorted(set(overrides) - known):
        raise UserError(f"unknown configuration fields: {', '.join(unknown)}")
    return Config(**{**PRESETS[name], **overrides})


def _wrong(flag: str, value: Any, right: str) -> UserError:
    return UserError(f"--{flag}={value}: must be {right}")

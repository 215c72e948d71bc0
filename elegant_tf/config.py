"""The configuration of a run, in five frozen groups. Every flag of `train.py` is a field of one of them.

A field's default, help, bounds, and whether it may change when a run is resumed stand in one place: beside the field.
`elegant_tf/upgrade.py` reads the configurations of older versions.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from elegant_tf.bounds import LARGEST_SEED, Bounds, wrong_value
from elegant_tf.errors import UserError
from elegant_tf.images import LARGEST
from elegant_tf.paths import any_path
from elegant_tf.upgrade import VERSION, Upgraded, upgraded

MOST_FACES = 1_000_000
"""To draw; all are in memory at once."""

MOST_PAIRS = 65_536
"""In a batch."""

MOST_WORKERS = 10_000

AUGMENTATIONS = ("colour", "shift", "cutout")
"""Of what discriminators see, in the order in which they are applied."""

LARGER_IS_BETTER: Mapping[str, bool] = {"realised": True, "leak": False, "reconstruction_psnr": True}
"""Numbers of an evaluation that say which of two generators is better, and how."""


def _option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    free: bool | None = None,
    flag: str = "",
    path: bool = False,
) -> Any:
    """A field.

    Args:
        default: its default; its type is the field's.
        help: the flag's help.
        choices: the values allowed, of each element of a tuple; empty: any.
        at_least, at_most, above, below: see `Bounds`.
        free: whether it may change when a run is resumed; None: as its group says.
        flag: the flag's name, if that is not the field's.
        path: whether it is a path; empty: none.
    """
    if isinstance(default, float) and at_least is None and above is None:
        at_least = 0
    bounds = Bounds(at_least, at_most, above, below)
    metadata = {"help": help, "choices": choices, "bounds": bounds, "free": free, "flag": flag, "path": path}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Group:
    """Some of the options. Raises UserError on a value that is not allowed, naming the flag and what would be right."""

    free: ClassVar[bool] = False
    """Whether these options may change when a run is resumed."""

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            object.__setattr__(self, option.name, _checked(option, getattr(self, option.name)))


@dataclass(frozen=True)
class DataConfig(Group):
    """What a run learns from: images, and how pairs of them make batches."""

    kind: str = _option(
        "faces",
        "Where images come from: drawn faces, CelebA, CelebA-HQ, TensorFlow Datasets, a folder with a table, or "
        "records.",
        choices=("faces", "celeba", "celeba_hq", "tfds", "folder", "records"),
        free=True,
        flag="data",
    )
    data_dir: str = _option(
        "", "Directory of the images and label files, for every --data but faces.", free=True, path=True
    )
    labels_file: str = _option(
        "", "Table for --data=folder, also one in --data_dir. Default: the only one there.", free=True, path=True
    )
    faces_count: int = _option(8000, "Number of faces to draw for --data=faces.", at_least=16, at_most=MOST_FACES)
    flip: bool = _option(False, "Mirror training images at random.")
    jitter: float = _option(
        0.0,
        "Shift, turn and scale training images at random: the largest shift, as a share of the side. Turns and scales "
        "move the middles of the edges no further.",
        at_least=0,
        at_most=0.25,
    )
    batch_size: int = _option(16, "Pairs of images per update, over all replicas.", at_least=1, at_most=MOST_PAIRS)
    accumulate: int = _option(
        1,
        "Gradient accumulation: parts of a batch that each replica computes one after another, for the same update in "
        "less memory.",
        at_least=1,
        at_most=MOST_PAIRS,
        free=True,
    )
    attribute_schedule: str = _option(
        "round_robin",
        "Train one attribute per update, in turn (round_robin), or all attributes in every batch (mixed).",
        choices=("round_robin", "mixed"),
    )
    match_attributes: str = _option(
        "none",
        "Whether the images of a pair are alike in all other attributes, as far as possible (all). This keeps "
        "correlated attributes from leaking into each other.",
        choices=("none", "all"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in ("faces", "tfds") and not self.data_dir:
            raise _wrong("data_dir", self.data_dir, f"the directory of images and label files, for --data={self.kind}")
        if self.batch_size % self.accumulate:
            raise _wrong("accumulate", self.accumulate, f"a divisor of {self.batch_size} (--batch_size)")


@dataclass(frozen=True)
class ModelConfig(Group):
    """The generator. Editing and export need this group alone."""

    attributes: tuple[str, ...] = _option(
        ("Eyeglasses", "Bangs", "Mustache", "Smiling", "Wearing_Hat"),
        "Attributes to transfer, in the order of their blocks in the code.",
    )
    image_size: int = _option(
        256, "Side of the square images in pixels; a multiple of 2**depth.", at_least=32, at_most=LARGEST
    )
    width: int = _option(64, "Channels of the first convolution.", at_least=1, at_most=1024)
    depth: int = _option(5, "Number of times the encoder halves an image.", at_least=2, at_most=8)
    flip_tta: bool = _option(
        False,
        "Flip test-time augmentation: average each edit with the mirrored edit of the mirror image. More accurate, "
        "at twice the cost of an edit; training is unaffected.",
        free=True,
    )
    mask: bool = _option(
        False,
        "Decode a mask beside the residual, which says where an edit changes the image: image + mask * residual.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.attributes
        if not names or len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
            raise _wrong("attributes", names, "one or several different names, separated by commas")
        if len(names) > self.code_channels:
            raise _wrong("attributes", names, f"at most {self.code_channels} at this --width and --depth")
        if self.image_size % 2**self.depth:
            raise _wrong("image_size", self.image_size, f"a multiple of {2**self.depth} (2**depth), 32 to {LARGEST}")

    @property
    def code_channels(self) -> int:
        """Channels of a code."""
        return self.width * min(2 ** (self.depth - 1), 8)


@dataclass(frozen=True)
class LossConfig(Group):
    """The losses and their weights."""

    reconstruction_norm: str = _option(
        "l2", "Reconstruction loss: mean squared error (l2) or mean absolute error (l1).", choices=("l1", "l2")
    )
    reconstruction_weight: float = _option(5.0, "Weight of the reconstruction loss.")
    discriminator_weight: float = _option(0.25, "Weight of the discriminator loss.")
    half_scale_weight: float = _option(
        0.5, "Weight of the half-scale discriminator relative to the full-scale one, in both adversarial losses."
    )
    conditioning: str = _option(
        "planes",
        "How labels condition the discriminators: as constant image planes, or by projection, one score per attribute.",
        choices=("planes", "projection"),
    )
    discriminator_norm: str = _option(
        "l2",
        "Normalization in the discriminators: over channels (l2), the authors'; over the places of an image "
        "(instance); or of kernels alone, by their largest singular value (spectral).",
        choices=("l2", "instance", "spectral"),
    )
    augment: tuple[str, ...] = _option(
        (),
        "Differentiable augmentation: what discriminators see of real and edited images alike is changed at random, "
        "for small data sets. Any of shift, cutout, colour, separated by commas. Default: none.",
        choices=AUGMENTATIONS,
    )
    mismatch_weight: float = _option(0.0, "Weight of real images under swapped labels as additional fakes.")
    r1_weight: float = _option(0.0, "Weight of the R1 penalty: the discriminators' squared gradient at real images.")
    r1_every: int = _option(8, "Updates from one R1 penalty to the next; each counts for all of them.", at_least=1)
    cycle_weight: float = _option(0.0, "Weight of cycle consistency: C and D, edited back, are A and B again.")
    style_cycle_weight: float = _option(
        0.0, "Weight of style-cycle consistency: A in a third person's style, given its own again, is A."
    )
    carrier_share: float = _option(
        0.25,
        "Probability that D, which carries A's attribute, is the exemplar of a cycle's way back instead of A itself.",
        at_most=1,
    )
    cycle_warmup_updates: int = _option(0, "Updates over which both cycle weights grow to full size.", at_least=0)
    residual_weight: float = _option(0.0, "Weight of the mean absolute residual of edited images.")
    mask_weight: float = _option(0.1, "Weight of the mean mask of edited images, with --mask.")
    exchange_share: float = _option(
        0.0, "Probability that an update also exchanges each attribute it does not train; 0: one at a time.", at_most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # In the order of their application, so that those of two runs can be compared.
        object.__setattr__(self, "augment", tuple(name for name in AUGMENTATIONS if name in self.augment))


@dataclass(frozen=True)
class OptimizerConfig(Group):
    """How gradients become updates."""

    kind: str = _option(
        "adam",
        "Optimizer: adam, as published; adamw, with decoupled weight decay; or muon, which orthogonalizes the steps "
        "of hidden kernels and uses Adam elsewhere.",
        choices=("adam", "adamw", "muon"),
        flag="optimizer",
    )
    learning_rate: float = _option(2e-4, "Initial learning rate.", above=0)
    learning_rate_decay: float = _option(0.97, "Factor on the learning rate every --learning_rate_decay_steps.")
    learning_rate_decay_steps: int = _option(3000, "Steps between decays of the learning rate.", at_least=1)
    learning_rate_cooldown: int = _option(
        0,
        "Number of final steps over which the learning rate also falls linearly to zero; 0: none.",
        at_least=0,
        free=True,
    )
    adam_beta1: float = _option(0.5, "Adam's decay rate of the mean gradient.", below=1)
    adam_beta2: float = _option(0.999, "Adam's decay rate of the mean squared gradient.", below=1)
    weight_decay: float = _option(
        1e-5, "L2 regularization, added to the gradient of every variable; with adamw, decoupled weight decay."
    )
    ema_half_life: float = _option(
        0.0, "Half-life in updates of the generator's exponential moving average (EMA), which then edits; 0: no EMA."
    )
    precision: str = _option(
        "float32",
        "Number format of the convolutions.",
        choices=("float32", "mixed_float16", "mixed_bfloat16", "float64"),
    )


@dataclass(frozen=True)
class RunConfig(Group):
    """How long a run trains, on what, and what it writes on the way."""

    free: ClassVar[bool] = True

    seed: int = _option(0, "Seed of weights, drawn faces and batches.", at_least=0, at_most=LARGEST_SEED, free=False)
    start_from: str = _option(
        "", "Run, packed or not, whose generator a new run starts from. Default: random weights.", free=False, path=True
    )
    steps: int = _option(
        200_000, "Steps to train: one update per attribute (round_robin) or one update (mixed).", at_least=1
    )
    max_minutes: float = _option(0.0, "Minutes to train in this call before saving and stopping; 0: until --steps.")
    strategy: str = _option(
        "auto",
        "What trains: every GPU here (auto, mirrored), one device, several machines (multi_worker), or TPUs (tpu).",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    cluster: str = _option(
        "tf_config",
        "For --strategy=multi_worker, what names the workers: the variable TF_CONFIG, SLURM's variables, or the host "
        "name of a pod of an indexed Kubernetes Job or StatefulSet.",
        choices=("tf_config", "slurm", "kubernetes"),
    )
    workers: int = _option(0, "Number of workers, for --cluster=kubernetes.", at_least=0, at_most=MOST_WORKERS)
    port: int = _option(
        8470, "Port of the first worker of a machine, for slurm and kubernetes.", at_least=1, at_most=65_535
    )
    tpu: str = _option("local", "For --strategy=tpu: the TPU's name or address, or local on a TPU's own machine.")
    jit: bool = _option(False, "Compile updates with XLA.")
    recompute: bool = _option(
        False,
        "Recompute activations for their gradients instead of keeping them: less memory at high resolution, more time.",
    )
    updates_per_call: int = _option(
        20, "Updates in one call of the compiled loop, at most; a signal waits for the call under way.", at_least=1
    )
    profile: str = _option(
        "",
        "First and last step, such as 101,103, of which a trace for TensorBoard's profiler is written to summaries/. "
        "Default: none.",
    )
    deterministic: bool = _option(False, "Make runs bit-identical on one machine, at some cost in speed.")
    checkpoint_every: int = _option(1000, "Steps between checkpoints.", at_least=1)
    checkpoints_kept: int = _option(3, "Number of newest checkpoints to keep.", at_least=1)
    log_every: int = _option(10, "Steps between lines of progress.", at_least=1)
    sample_every: int = _option(1000, "Steps between sample grids; 0: none.", at_least=0)
    evaluate_every: int = _option(0, "Steps between evaluations on held-out images; 0: none.", at_least=0)
    keep_best: str = _option(
        "none",
        "Number of the evaluations of --evaluate_every by which the best generator is kept, in `best` of the run "
        "directory, a packed run.",
        choices=("none", *LARGER_IS_BETTER),
    )
    export_dir: str = _option(
        "",
        "Directory of a served model's versions. After the last step, the command `train` exports the generator to it: "
        "that of --keep_best, or the last one. Default: no export.",
        path=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep_best != "none" and not 1 <= self.evaluate_every <= self.steps:
            right = f"none unless --evaluate_every is 1 to {self.steps} (--steps), not {self.evaluate_every}"
            raise _wrong("keep_best", self.keep_best, right)
        if self.recompute and self.jit:
            raise _wrong("recompute", self.recompute, "false with --jit: XLA chooses by itself what to compute again")
        first, last = self.profiled or (1, 1)
        if not 1 <= first <= last <= self.steps:
            raise _wrong("profile", self.profile, f"two steps, the first one first, from 1 to {self.steps} (--steps)")

    @property
    def profiled(self) -> tuple[int, int] | None:
        """First and last step to trace; None: none."""
        if not self.profile:
            return None
        try:
            first, last = map(int, self.profile.split(","))
        except ValueError:
            raise _wrong("profile", self.profile, "two steps with a comma between them, such as 101,103") from None
        return first, last


@dataclass(frozen=True)
class Config:
    """All options of a run. The defaults are the `official` preset: the authors' released program."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if self.loss.discriminator_norm == "instance" and self.model.image_size <= 32:
            # Of half the side, four halvings leave one place, where every value is its own mean.
            right = f"l2 or spectral at --image_size={self.model.image_size}; instance needs more than 32"
            raise _wrong("discriminator_norm", self.loss.discriminator_norm, right)
        if not self.model.mask and self.loss.mask_weight not in (0, LossConfig.mask_weight):
            raise _wrong("mask_weight", self.loss.mask_weight, f"0 or {LossConfig.mask_weight} without --mask")

    @classmethod
    def of(cls, **flags: Any) -> Config:
        """The defaults with some options changed, named as their flags are. Raises UserError as `replace` does."""
        return cls().replace(**flags)

    def replace(self, **flags: Any) -> Config:
        """This configuration with some options changed, named as their flags are.

        Raises:
            UserError: there is no such option, or a value is not allowed.
        """
        places = {flag_of(option): (group, option.name) for group, option in options()}
        if unknown := sorted(set(flags) - set(places)):
            raise UserError(f"unknown configuration fields: {', '.join(unknown)}")
        changes: dict[str, dict[str, Any]] = {}
        for flag, value in flags.items():
            group, name = places[flag]
            changes.setdefault(group, {})[name] = value
        groups = {name: dataclasses.replace(getattr(self, name), **fields) for name, fields in changes.items()}
        return dataclasses.replace(self, **groups)

    def flags(self) -> dict[str, Any]:
        """Every option's value by the name of its flag."""
        return {flag_of(option): getattr(getattr(self, group), option.name) for group, option in options()}

    @property
    def updates_per_step(self) -> int:
        """Updates in one step: one per attribute under `round_robin`, one under `mixed`."""
        return len(self.model.attributes) if self.data.attribute_schedule == "round_robin" else 1

    def differences(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """Options that must not change within a run but do: flag to this value and the other's."""
        mine, its = self.flags(), other.flags()
        fixed = [flag_of(option) for group, option in options() if not _is_free(group, option)]
        return {flag: (mine[flag], its[flag]) for flag in fixed if mine[flag] != its[flag]}

    def to_json(self) -> str:
        """The groups and their version as JSON text, which `from_json` reads back."""
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Reads the text of a `config.json` of this or an older version. Options that it lacks have their defaults.

        Raises:
            UserError: the text is no JSON object, is of a newer version, or names an option that does not exist.
        """
        return cls.from_groups(read_groups(text))

    @classmethod
    def from_groups(cls, groups: Mapping[str, Mapping[str, Any]]) -> Config:
        """Of groups of plain values, as `read_groups` gives them. Raises UserError as `from_json` does."""
        return cls(**{name: group_of(name, values) for name, values in groups.items()})


GROUPS: Mapping[str, type[Group]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
    "run": RunConfig,
}


def options() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every option with the name of its group, in order."""
    for name, group in GROUPS.items():
        for option in dataclasses.fields(group):
            yield name, option


def flag_of(option: dataclasses.Field[Any]) -> str:
    """The name of an option's flag."""
    return option.metadata["flag"] or option.name


def read_groups(text: str) -> dict[str, dict[str, Any]]:
    """The groups in the text of a `config.json`, upgraded from older versions.

    Raises:
        UserError: the text is no JSON object, is of a newer version, or names an option that does not exist.
    """
    return _upgraded(text).groups


def read_removed(text: str) -> dict[str, str]:
    """Options in the text of an older `config.json` that had an effect and are gone: flag and value to advice."""
    return _upgraded(text).removed


def _upgraded(text: str) -> Upgraded:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"a configuration must be JSON, and this is not: {error}") from error
    if not isinstance(values, dict):
        raise UserError("a configuration must be a JSON object")
    return upgraded(values, {flag_of(option): (group, option.name) for group, option in options()})


def group_of(name: str, values: Mapping[str, Any]) -> Any:
    """The group of this name with these values. Raises UserError on an unknown field or a value not allowed."""
    if name not in GROUPS or not isinstance(values, dict):
        raise UserError(f"unknown configuration group: {name}")
    known = {option.name for option in dataclasses.fields(GROUPS[name])}
    if unknown := sorted(set(values) - known):
        raise UserError(f"unknown configuration fields: {', '.join(unknown)}")
    return GROUPS[name](**values)


def _is_free(group: str, option: dataclasses.Field[Any]) -> bool:
    mark = option.metadata["free"]
    return GROUPS[group].free if mark is None else mark


def _checked(option: dataclasses.Field[Any], value: Any) -> Any:
    """The value in the option's type, or a UserError."""
    flag, default = flag_of(option), option.default
    if isinstance(default, tuple) and isinstance(value, list):
        value = tuple(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise _wrong(flag, value, f"a value of type {type(default).__name__}")
    choices = option.metadata["choices"]
    if choices and not all(one in choices for one in (value if isinstance(value, tuple) else (value,))):
        right = "any of {}, separated by commas" if isinstance(value, tuple) else "one of {}"
        raise _wrong(flag, value, right.format(", ".join(choices)))
    if type(value) in (int, float):
        option.metadata["bounds"].check(flag, value)
    if value and option.metadata["path"]:
        value = any_path(str(value), flag)
    return value


def _wrong(flag: str, value: Any, right: str) -> UserError:
    return wrong_value(flag, ",".join(map(str, value)) if isinstance(value, tuple) else value, right)

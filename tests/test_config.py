from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.config import Config, flag_of, options
from elegant_tf.errors import UserError
from elegant_tf.presets import PRESETS, preset
from elegant_tf.rundir import CONFIG_FILE, read_config, read_model, write_config

configs = st.builds(
    Config.of,
    attributes=st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=5, unique=True).map(tuple),
    image_size=st.sampled_from([32, 64, 96, 256]),
    width=st.integers(1, 128),
    batch_size=st.integers(1, 64),
    seed=st.integers(0, 2**32 - 1),
    learning_rate=st.floats(1e-9, 1.0),
    precision=st.sampled_from(["float32", "mixed_float16", "mixed_bfloat16"]),
    flip=st.booleans(),
    jitter=st.floats(0, 0.25),
)


def test_defaults_are_the_authors_program():
    config = Config()
    assert config == preset("official")
    model, loss, optimizer = config.model, config.loss, config.optimizer
    assert (model.image_size, model.width, model.depth, config.data.batch_size) == (256, 64, 5, 16)
    assert (optimizer.kind, optimizer.learning_rate, optimizer.adam_beta1, optimizer.adam_beta2) == (
        *("adam", 2e-4),
        *(0.5, 0.999),
    )
    assert (optimizer.learning_rate_decay, optimizer.learning_rate_decay_steps) == (0.97, 3000)
    assert optimizer.weight_decay == 1e-5
    assert (loss.reconstruction_norm, loss.reconstruction_weight) == ("l2", 5.0)
    assert (loss.discriminator_weight, loss.half_scale_weight) == (0.25, 0.5)
    assert (config.data.attribute_schedule, config.data.flip, config.run.steps) == ("round_robin", False, 200_000)
    further = (loss.r1_weight, loss.cycle_weight, loss.style_cycle_weight, loss.exchange_share, optimizer.ema_half_life)
    assert further == (0.0,) * 5


def test_paper_preset_has_the_published_losses():
    loss = preset("paper").loss
    assert (loss.reconstruction_norm, loss.reconstruction_weight) == ("l1", 1.0)
    assert (loss.discriminator_weight, loss.half_scale_weight) == (1.0, 1.0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_can_be_overridden(name):
    assert preset(name).model.image_size % 32 == 0
    assert preset(name, seed=7).run.seed == 7


def test_demo_is_a_shorter_modern():
    assert preset("demo") == preset("modern", steps=12_000)
    assert preset("mobile") == preset("modern", image_size=128, batch_size=8, ema_half_life=300.0)


@given(configs)
def test_json_round_trip(config):
    again = Config.from_json(config.to_json())
    assert again == config
    assert isinstance(again.model.attributes, tuple)


@given(configs)
def test_save_and_load(tmp_path_factory, config):
    run_dir = tmp_path_factory.mktemp("run")
    write_config(config, run_dir)
    assert read_config(run_dir) == config
    assert read_model(run_dir) == config.model
    assert [path.name for path in run_dir.iterdir()] == [CONFIG_FILE]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", "imagenet"),
        ("attributes", ()),
        ("attributes", ("Bangs", "Bangs")),
        ("attributes", ("Bangs", "")),
        ("image_size", 100),
        ("image_size", 0),
        ("image_size", -32),
        ("image_size", 64.0),
        ("image_size", "64"),
        ("depth", 0),
        ("depth", 9),
        ("width", 0),
        ("batch_size", 0),
        ("batch_size", -4),
        ("steps", 0),
        ("steps", True),
        ("max_minutes", -1.0),
        ("max_minutes", float("inf")),
        ("attribute_schedule", "random"),
        ("seed", -1),
        ("learning_rate", 0.0),
        ("learning_rate", -2e-4),
        ("learning_rate", float("nan")),
        ("adam_beta1", 1.0),
        ("adam_beta2", 1.5),
        ("weight_decay", -1e-5),
        ("reconstruction_norm", "l3"),
        ("precision", "float8"),
        ("strategy", "gpu"),
        ("flip", 1),
        ("jitter", -0.01),
        ("jitter", 0.26),
        ("checkpoint_every", 0),
        ("checkpoints_kept", 0),
        ("log_every", 0),
        ("sample_every", -1),
        ("faces_count", 3),
        ("learning_rate_cooldown", -1),
        ("exchange_share", 1.5),
        ("r1_every", 0),
        ("cycle_warmup_updates", -1),
        ("optimizer", "sgd"),
        ("discriminator_norm", "batch"),
        ("augment", ("shift", "turn")),
        ("seed", 2**32),
        ("steps", 2**31),
        ("image_size", 8192),
        ("width", 1025),
        ("batch_size", 65_537),
        ("faces_count", 1_000_001),
        ("cycle_weight", 1e31),
        ("data_dir", "s3://bucket/x"),
        ("start_from", "~nobody-of-this-name"),
    ],
)
def test_a_wrong_value_is_refused_naming_flag_and_value(field, value):
    with pytest.raises(UserError) as error:
        Config.of(**{field: value})
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert f"--{field}={shown}" in str(error.value)
    assert "must be" in str(error.value) or "there is no user" in str(error.value)


def test_celeba_needs_a_folder():
    with pytest.raises(UserError, match="--data_dir=: must be the directory"):
        Config.of(data="celeba")
    assert Config.of(data="celeba", data_dir="there").data.data_dir == "there"


def test_augmentations_are_a_subset_in_the_order_of_application():
    assert Config.of(augment=("cutout", "colour", "cutout")) == Config.of(augment=("colour", "cutout"))
    with pytest.raises(UserError, match="must be any of colour, shift, cutout, separated by commas"):
        Config.of(augment=("shift", "turn"))


def test_instance_normalization_needs_more_than_one_place():
    with pytest.raises(UserError, match="--discriminator_norm=instance: must be l2 or spectral at --image_size=32"):
        Config.of(discriminator_norm="instance", image_size=32)
    assert Config.of(discriminator_norm="instance", image_size=64).loss.discriminator_norm == "instance"


def test_a_mask_has_a_weight_only_if_there_is_one():
    with pytest.raises(UserError, match=r"--mask_weight=0\.2: must be 0 or 0\.1 without --mask"):
        Config.of(mask_weight=0.2)
    assert Config.of(mask_weight=0.2, mask=True).loss.mask_weight == 0.2
    assert not preset("modern", mask=False).model.mask


def test_no_more_attributes_than_channels():
    names = tuple(f"a{index}" for index in range(9))
    with pytest.raises(UserError, match=r"--attributes=a0,.*at most 8"):
        Config.of(attributes=names, width=1)
    assert Config.of(attributes=names, width=2).model.code_channels == 16


@pytest.mark.parametrize(("width", "depth", "channels"), [(64, 5, 512), (64, 4, 512), (64, 3, 256), (24, 5, 192)])
def test_code_channels(width, depth, channels):
    assert Config.of(width=width, depth=depth).model.code_channels == channels


def test_updates_per_step():
    assert Config.of(attributes=("Bangs", "Smiling", "Mustache")).updates_per_step == 3
    assert Config.of(attributes=("Bangs", "Smiling"), attribute_schedule="mixed").updates_per_step == 1


def test_integers_serve_as_floats():
    config = Config.of(max_minutes=5)
    assert isinstance(config.run.max_minutes, float)
    assert config == Config.of(max_minutes=5.0)


def test_every_option_has_a_flag_of_its_own():
    flags = [flag_of(option) for _, option in options()]
    assert len(set(flags)) == len(flags) == len(Config().flags())
    config = Config.of(data="tfds", optimizer="muon")
    assert (config.data.kind, config.optimizer.kind) == ("tfds", "muon")
    assert Config.of(**config.flags()) == config


def test_unknown_preset_and_option():
    with pytest.raises(UserError, match="--preset=best: must be one of official, paper, modern, mobile, demo"):
        preset("best")
    with pytest.raises(UserError, match="unknown configuration fields: batchsize"):
        preset("official", batchsize=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("[]", "must be a JSON object"),
        ('{"version": 1, "model": {"widht": 3}}', "unknown configuration fields: widht"),
        ('{"version": 1, "modle": {}}', "unknown configuration group: modle"),
        ('{"version": 1, "model": 3}', "unknown configuration group: model"),
        ('{"version": 1, "model": {"width": "wide"}}', "--width=wide"),
        ('{"version": 1, "model": {"width": null}}', "--width=None"),
        ('{"version": 1, "model": {"attributes": "Bangs"}}', "attributes"),
        ('{"version": 1, "model": {"attributes": 5}}', "attributes"),
    ],
)
def test_a_damaged_file_is_refused_naming_it(tmp_path, text, message):
    (tmp_path / CONFIG_FILE).write_text(text, "utf-8")
    with pytest.raises(UserError) as error:
        read_config(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / CONFIG_FILE) in str(error.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a run directory"):
        read_config(tmp_path / "nowhere")
    (tmp_path / CONFIG_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not a run directory"):
        read_config(tmp_path)


def test_options_left_out_of_a_file_have_their_defaults():
    assert Config.from_json(json.dumps({"version": 1, "model": {"width": 8}})) == Config.of(width=8)


def test_differences_are_of_what_a_run_fixes():
    config = Config.of(seed=1, width=8, steps=100)
    other = Config.of(seed=2, width=8, steps=200, log_every=7)
    assert config.differences(other) == {"seed": (1, 2)}
    free = {"max_minutes": 3.0, "strategy": "one_device", "data": "tfds", "flip_tta": True, "learning_rate_cooldown": 9}
    assert config.differences(config.replace(**free)) == {}
    fixed = {"precision": "float64", "start_from": "x", "ema_half_life": 2.0, "flip": True, "r1_weight": 1.0}
    fixed["jitter"] = 0.1
    assert set(config.differences(config.replace(**fixed))) == set(fixed)

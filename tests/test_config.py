from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.config import CONFIG_FILE, PRESETS, Config, preset
from elegant_tf.errors import UserError

configs = st.builds(
    Config,
    attributes=st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=5, unique=True).map(tuple),
    image_size=st.sampled_from([32, 64, 96, 256]),
    width=st.integers(1, 128),
    batch_size=st.integers(1, 64),
    seed=st.integers(0, 2**31),
    learning_rate=st.floats(1e-9, 1.0),
    precision=st.sampled_from(["float32", "mixed_float16", "mixed_bfloat16"]),
    flip=st.booleans(),
)


def test_defaults_are_the_authors_program():
    config = Config()
    assert config == preset("official")
    assert (config.image_size, config.width, config.depth, config.batch_size) == (256, 64, 5, 16)
    assert (config.learning_rate, config.learning_rate_decay, config.learning_rate_decay_steps) == (
        2e-4,
        0.97,
        3000,
    )
    assert (config.adam_beta1, config.adam_beta2, config.weight_decay) == (0.5, 0.999, 1e-5)
    assert (config.reconstruction_norm, config.reconstruction_weight) == ("l2", 5.0)
    assert (config.discriminator_weight, config.half_scale_weight) == (0.25, 0.5)
    assert (config.attribute_schedule, config.flip, config.steps) == ("cycle", False, 200_000)
    assert config.optimizer == "adam"
    assert (config.mismatch_weight, config.r1_weight, config.residual_weight, config.truth_weight) == (0.0,) * 4
    assert (config.restoration_weight, config.restyle_weight, config.restoration_noise) == (0.0, 0.0, 0.0)


def test_paper_preset_has_the_published_losses():
    config = preset("paper")
    assert (config.reconstruction_norm, config.reconstruction_weight) == ("l1", 1.0)
    assert (config.discriminator_weight, config.half_scale_weight) == (1.0, 1.0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_can_be_overridden(name):
    assert preset(name).image_size % 32 == 0
    assert preset(name, seed=7).seed == 7


@given(configs)
def test_json_round_trip(config):
    again = Config.from_json(config.to_json())
    assert again == config
    assert isinstance(again.attributes, tuple)


@given(configs)
def test_save_and_load(tmp_path_factory, config):
    run_dir = tmp_path_factory.mktemp("run")
    config.save(run_dir)
    assert Config.load(run_dir) == config
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
        ("strategy", "tpu"),
        ("flip", 1),
        ("checkpoint_every", 0),
        ("checkpoints_kept", 0),
        ("log_every", 0),
        ("sample_every", -1),
        ("faces_count", 3),
        ("truths_count", 0),
        ("carrier_share", 1.5),
        ("truth_restyle_share", 1.1),
        ("exemplar_shift", -1),
        ("exemplar_shift", 256),
        ("truth_batch_size", 0),
        ("truth_updates", 0),
        ("truth_floor", 0.0),
        ("truth_absolute", -1),
        ("learning_rate_cooldown", -1),
    ],
)
def test_a_wrong_value_is_refused_naming_flag_and_value(field, value):
    with pytest.raises(UserError) as error:
        Config(**{field: value})
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert f"--{field}={shown}" in str(error.value)
    assert "must be" in str(error.value)


def test_celeba_needs_a_folder():
    with pytest.raises(UserError, match="--data_dir=: must be the folder"):
        Config(data="celeba")
    assert Config(data="celeba", data_dir="there").data_dir == "there"


def test_only_drawn_faces_have_right_answers():
    assert Config(truth_weight=1).truth_weight == 1.0
    with pytest.raises(UserError, match=r"--truth_attributes=Bald: must be some of --attributes=Eyeglasses,Bangs"):
        Config(truth_attributes=("Bangs", "Bald"))
    with pytest.raises(UserError, match=r"--truth_weight=1\.0: must be 0 for --data=celeba"):
        Config(data="celeba", data_dir="there", truth_weight=1)


def test_no_more_attributes_than_channels():
    names = tuple(f"a{index}" for index in range(9))
    with pytest.raises(UserError, match=r"--attributes=a0,.*at most 8"):
        Config(attributes=names, width=1)
    assert Config(attributes=names, width=2).code_channels == 16


@pytest.mark.parametrize(("width", "depth", "channels"), [(64, 5, 512), (64, 4, 512), (64, 3, 256), (24, 5, 192)])
def test_code_channels(width, depth, channels):
    assert Config(width=width, depth=depth).code_channels == channels


def test_updates_per_step():
    assert Config(attributes=("Bangs", "Smiling", "Mustache")).updates_per_step == 3
    assert Config(attributes=("Bangs", "Smiling"), attribute_schedule="mixed").updates_per_step == 1


def test_whole_numbers_serve_as_floats():
    config = Config(max_minutes=5)
    assert isinstance(config.max_minutes, float)
    assert config == Config(max_minutes=5.0)


def test_unknown_preset_and_field():
    with pytest.raises(UserError, match="--preset=best: must be one of official, paper, modern, demo"):
        preset("best")
    with pytest.raises(UserError, match="unknown configuration fields: batchsize"):
        preset("official", batchsize=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("[]", "must be a JSON object"),
        ('{"widht": 3}', "unknown configuration fields: widht"),
        ('{"width": "wide"}', "--width=wide"),
        ('{"width": null}', "--width=None"),
        ('{"attributes": "Bangs"}', "attributes"),
        ('{"attributes": 5}', "attributes"),
    ],
)
def test_a_damaged_file_is_refused_naming_it(tmp_path, text, message):
    (tmp_path / CONFIG_FILE).write_text(text, "utf-8")
    with pytest.raises(UserError) as error:
        Config.load(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / CONFIG_FILE) in str(error.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a run directory"):
        Config.load(tmp_path / "nowhere")
    (tmp_path / CONFIG_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not a run directory"):
        Config.load(tmp_path)


def test_fields_left_out_of_a_file_have_their_defaults():
    assert Config.from_json(json.dumps({"width": 8})) == Config(width=8)


def test_differences_are_of_what_a_run_fixes():
    config = Config(seed=1, width=8, steps=100)
    other = Config(seed=2, width=8, steps=200, log_every=7)
    assert config.differences(other) == {"seed": (1, 2)}
    assert config.differences(dataclasses.replace(config, max_minutes=3.0, strategy="one_device")) == {}

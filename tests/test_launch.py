from __future__ import annotations

import dataclasses
import json

import commands
import pytest
import tiny

from elegant_tf.config import CONFIG_FILE, Config, preset

PARSE = """
import json, sys
from absl import flags
from elegant_tf.launch import config_from_flags, define_flags
define_flags()
for arguments in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    flags.FLAGS(["train.py", "--run_dir=x", *arguments])
    print(json.dumps(json.loads(config_from_flags(flags.FLAGS).to_json())))
print("tensorflow" in sys.modules)
"""

# A value for every field that is not its default, but for what only drawn faces have, which --data is not.
DRAWN = {"truth_weight": 2.0}
OTHERS = {
    **dict.fromkeys(DRAWN, 0.0),
    "data": "celeba",
    "data_dir": "some where",
    "attributes": ("Male", "Young"),
    "truth_attributes": ("Male", "Male"),
    "attribute_schedule": "mixed",
    "match_attributes": "all",
    "reconstruction_norm": "l1",
    "precision": "mixed_bfloat16",
    "strategy": "one_device",
    "optimizer": "muon",
    "conditioning": "projection",
    "image_size": 512,
    "depth": 4,
    "adam_beta1": 0.25,
    "adam_beta2": 0.75,
    "carrier_share": 0.5,
    "truth_restyle_share": 0.25,
}


def other(field):
    if field.name in OTHERS:
        return OTHERS[field.name]
    return not field.default if isinstance(field.default, bool) else field.default + type(field.default)(1)


def as_flag(name, value):
    return f"--{name}=" + (",".join(value) if isinstance(value, tuple) else str(value))


@pytest.fixture(scope="module")
def parsed():
    """Configurations made of several command lines, by one process."""
    values = {field.name: other(field) for field in dataclasses.fields(Config)}
    lines = [
        [],
        ["--preset=paper"],
        ["--preset=paper", "--reconstruction_weight=3", "--nojit", "--flip"],
        [as_flag(name, value) for name, value in values.items()],
        [as_flag(name, value) for name, value in DRAWN.items()],
    ]
    done = commands.run(["-c", PARSE, json.dumps(lines)])
    assert done.returncode == 0, done.stderr
    *configs, tensorflow = done.stdout.splitlines()
    return [Config.from_json(line) for line in configs], values, tensorflow


def test_flags_left_out_are_the_presets(parsed):
    assert parsed[0][0] == preset("official")
    assert parsed[0][1] == preset("paper")
    assert parsed[0][2] == preset("paper", reconstruction_weight=3.0, flip=True)


def test_every_field_is_a_flag(parsed):
    configs, values, _ = parsed
    assert configs[3] == Config(**values)
    defaults = Config()
    assert [name for name in values if getattr(configs[3], name) == getattr(defaults, name)] == list(DRAWN)
    assert configs[4] == Config(**DRAWN)


def test_reading_flags_needs_no_tensorflow(parsed):
    assert parsed[2] == "False"


def test_dry_run_shows_the_configuration_and_writes_nothing(tmp_path):
    run_dir = tmp_path / "run"
    done = commands.run(["train.py", f"--run_dir={run_dir}", "--dry_run", "--seed=5", *tiny.flags()])
    assert done.returncode == 0, done.stderr
    assert Config.from_json(done.stdout) == tiny.config(seed=5)
    assert not run_dir.exists()


def refused(arguments, status):
    done = commands.run(["train.py", *arguments])
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_another_configuration_is_refused_naming_what_differs(tmp_path):
    tiny.config().save(tmp_path)
    before = (tmp_path / CONFIG_FILE).read_text()
    message = refused([f"--run_dir={tmp_path}", *tiny.flags(width=3, seed=1)], 2)
    assert "error: --run_dir=" in message
    assert "seed (there 0, now 1)" in message
    assert "width (there 2, now 3)" in message
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG_FILE]
    assert (tmp_path / CONFIG_FILE).read_text() == before


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--run_dir=x", "--image_size=100"], 2, "error: --image_size=100: must be a multiple of 32"),
        (["--run_dir=x", "stray"], 2, "error: unexpected arguments: stray"),
        (["--run_dir=x", "--precision=float8"], 1, "--precision=float8"),
        (["--run_dir=x", "--width=wide"], 1, "--width=wide"),
        (["--run_dir=x", "--widht=3"], 1, "Unknown command line flag 'widht'. Did you mean: width"),
        ([], 1, "--run_dir"),
    ],
)
def test_wrong_options_are_told_in_one_line(arguments, status, expected):
    assert expected in refused(arguments, status)


def test_unknown_attributes_are_refused(tmp_path):
    message = refused([f"--run_dir={tmp_path / 'run'}", *tiny.flags(attributes="Eyeglases")], 2)
    assert "did you mean Eyeglasses?" in message
    assert not (tmp_path / "run").exists()


def test_help_lists_every_option():
    done = commands.run(["train.py", "--help"])
    for field in dataclasses.fields(Config):
        assert f"-{field.name}:" in done.stdout or f"[no]{field.name}:" in done.stdout, field.name

"""`elegant-tf train` and `train.py`: every option is a flag, and mistakes are named in a line."""

from __future__ import annotations

import json

import commands
import pytest
import tiny

from elegant_tf.config import Config, flag_of, options
from elegant_tf.presets import preset
from elegant_tf.rundir import CONFIG_FILE, write_config
from elegant_tf.upgrade import REMOVED

PARSE = """
import json, sys
from absl import flags
from elegant_tf.cli.train import config_from_flags, define_flags
define_flags()
for arguments in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    flags.FLAGS(["train.py", *arguments])
    print(json.dumps([flags.FLAGS.run_dir, config_from_flags(flags.FLAGS).to_json()]))
"""

# Values that differ from the defaults, of options where `other` finds none that is allowed.
OTHERS = {
    "data": "celeba",
    "data_dir": "some where",
    "attributes": ("Male", "Young"),
    "attribute_schedule": "mixed",
    "match_attributes": "all",
    "reconstruction_norm": "l1",
    "precision": "mixed_bfloat16",
    "strategy": "one_device",
    "optimizer": "muon",
    "conditioning": "projection",
    "image_size": 512,
    "depth": 4,
}


def other(option):
    if flag_of(option) in OTHERS:
        return OTHERS[flag_of(option)]
    if isinstance(option.default, bool):
        return not option.default
    return option.default / 2 or 0.5 if isinstance(option.default, float) else option.default + type(option.default)(1)


def as_flag(name, value):
    return f"--{name}=" + (",".join(value) if isinstance(value, tuple) else str(value))


def test_flags_make_a_configuration():
    values = {flag_of(option): other(option) for _, option in options()}
    cases = [
        (["--run_dir=x"], preset("official")),
        (["--run", "x", "--preset=paper"], preset("paper")),
        (
            ["--run=x", "--preset=paper", "--reconstruction_weight=3", "--nojit", "--flip"],
            preset("paper", reconstruction_weight=3.0, flip=True),
        ),
        (["--run=x", *(as_flag(name, value) for name, value in values.items())], Config.of(**values)),
    ]
    done = commands.run(["-c", PARSE, json.dumps([words for words, _ in cases])])
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(run, Config.from_json(text)) for run, text in found] == [("x", config) for _, config in cases]
    assert not [name for name, value in Config().flags().items() if value == values[name]]


@pytest.mark.parametrize("command", [["train.py"], ["-m", "elegant_tf", "train"]], ids=" ".join)
def test_help_lists_every_option_and_has_an_example(command):
    done = commands.run([*command, "--help"])
    for name in ("run", "run_dir", "preset", "dry_run", *Config().flags()):
        assert f"-{name}:" in done.stdout or f"[no]{name}:" in done.stdout, name
    assert "examples:\n  elegant-tf train --" in done.stdout
    assert "--flagfile=" in done.stdout
    assert "restoration_weight" not in done.stdout


def test_dry_run_shows_the_configuration_and_writes_nothing(tmp_path):
    (tmp_path / "mine.flags").write_text("\n".join(["# tiny", *tiny.flags(), "--seed=4"]), encoding="utf-8")
    words = [f"--run_dir={tmp_path / 'run'}", "--dry_run", f"--flagfile={tmp_path / 'mine.flags'}"]
    done = commands.run(["train.py", *words, "--seed=5", "--evaluate_every=2"])
    assert done.returncode == 0, done.stderr
    assert Config.from_json(done.stdout) == tiny.config(seed=5, evaluate_every=2)
    assert not (tmp_path / "run").exists()


def refused(arguments, status):
    done = commands.run(["train.py", *arguments])
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_another_configuration_is_refused_naming_what_differs(tmp_path):
    write_config(tiny.config(), tmp_path)
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
        (["--run_dir=x", "--flagfile=nowhere"], 1, "nowhere"),
        ([], 1, "--run_dir"),
    ],
)
def test_wrong_options_are_named(arguments, status, expected):
    assert expected in refused(arguments, status)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--restoration_weight=4", "--restoration_weight is now --cycle_weight"),
        ("--notruth_absolute", f"--truth_absolute was removed: {REMOVED['truth_absolute'].advice}"),
        ("--attribute_schedule=cycle", "--attribute_schedule=cycle is now --attribute_schedule=round_robin"),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_an_old_flag_is_an_error_that_names_the_new_one(tmp_path, flag, message, in_file):
    (tmp_path / "old.flags").write_text(f"# old\n--seed=1\n{flag}\n", encoding="utf-8")
    words = [f"--flagfile={tmp_path / 'old.flags'}"] if in_file else [flag]
    assert refused(["--run_dir=x", *words], 2) == f"error: {message}\n"


def test_unknown_attributes_are_refused(tmp_path):
    message = refused([f"--run_dir={tmp_path / 'run'}", *tiny.flags(attributes="Eyeglases")], 2)
    assert "did you mean Eyeglasses?" in message
    assert not (tmp_path / "run").exists()


def test_a_real_training_is_evaluated_and_ends_with_its_scorecard(tmp_path):
    flags = "--preset=demo --attributes=Eyeglasses --image_size=32 --width=4 --depth=3 --faces_count=32"
    flags += " --batch_size=4 --steps=2 --data=faces --evaluate_every=1"
    done = commands.run(["-m", "elegant_tf", "train", "--run=the run", *flags.split()], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "realised" in done.stdout
    assert done.stdout.rstrip().endswith("the run/scorecard.png")
    assert (tmp_path / "the run" / "scorecard.png").is_file()
    assert len((tmp_path / "the run" / "evaluations.jsonl").read_text().splitlines()) == 2

"""`elegant-tf train` and `train.py`: every option is a flag, and mistakes are named in a line."""

from __future__ import annotations

import re
import shlex

import commands
import pytest
import tiny

from elegant_tf.cli.main import main
from elegant_tf.cli.train import config_from_flags, define_flags
from elegant_tf.config import Config, flag_of, options
from elegant_tf.export.written import open_model
from elegant_tf.presets import preset
from elegant_tf.rundir import CONFIG_FILE, write_config
from elegant_tf.training.reporter import LOG_FILE
from elegant_tf.upgrade import REMOVED

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
    "cluster": "slurm",
    "accumulate": 17,
    "profile": "3,4",
    "recompute": False,  # as --jit needs it
    "keep_best": "leak",
    "optimizer": "muon",
    "conditioning": "projection",
    "discriminator_norm": "spectral",
    "augment": ("cutout", "shift"),
    "jitter": 0.125,
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
    for words, config in cases:
        found = define_flags()
        assert found(["train.py", *words]) == ["train.py"]
        assert (found.run_dir, config_from_flags(found)) == ("x", config)
    assert [name for name, value in Config().flags().items() if value == values[name]] == ["recompute"]


@pytest.mark.parametrize("words", [["train.py", "--help"], ["-m", "elegant_tf", "train", "-h"]], ids=" ".join)
def test_help_lists_every_option_and_has_an_example(words):
    done = commands.run(words)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("run", "run_dir", "preset", "dry_run", *Config().flags()):
        assert f"-{name}:" in done.stdout or f"[no]{name}:" in done.stdout, name
    assert "examples:\n  elegant-tf train --" in done.stdout
    assert "--flagfile=" in done.stdout
    assert "restoration_weight" not in done.stdout


def test_dry_run_shows_the_configuration_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "mine.flags").write_text("\n".join(["# tiny", *tiny.flags(), "--seed=4"]), encoding="utf-8")
    words = [f"--run_dir={tmp_path / 'run'}", "--dry_run", f"--flagfile={tmp_path / 'mine.flags'}"]
    assert main(["train", *words, "--seed=5", "--evaluate_every=2"]) == 0
    assert Config.from_json(capsys.readouterr().out) == tiny.config(seed=5, evaluate_every=2)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def refused(capsys):
    """The message that some options are refused with."""

    def train(arguments):
        assert main(["train", *arguments]) == 2
        said = capsys.readouterr().err
        assert said.splitlines()[-1].startswith("error: ")
        return said

    return train


def test_another_configuration_is_refused_naming_what_differs(tmp_path, refused):
    write_config(tiny.config(), tmp_path)
    before = (tmp_path / CONFIG_FILE).read_text()
    message = refused([f"--run_dir={tmp_path}", *tiny.flags(width=3, seed=1)])
    assert "error: --run_dir=" in message
    assert "seed (there 0, now 1)" in message
    assert "width (there 2, now 3)" in message
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG_FILE]
    assert (tmp_path / CONFIG_FILE).read_text() == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--run_dir=x", "--image_size=100"], "--image_size=100: must be a multiple of 32 (2**depth), 32 to 4096"),
        (["--run_dir=x", "stray"], "unexpected arguments: stray; options start with --"),
        (["--run_dir=x", "--precision=float8"], "--precision=float8: value should be one of <float32|"),
        (["--run_dir=x", "--width=wide"], "--width=wide: invalid literal"),
        (["--run_dir=x", "--nojit=3"], "--nojit=3 does not take an argument"),
        (["--run_dir=x", "--widht=3"], "Unknown command line flag 'widht'. Did you mean: width"),
        (
            ["--run_dir=x", "--flagfile=nowhere"],
            "Unable to open flagfile: [Errno 2] No such file or directory: 'nowhere'",
        ),
        (["--run_dir=x", "--flagfile=binary"], "codec can't decode byte"),
        (["--run_dir"], "Missing value for flag --run_dir"),
        ([], "--run_dir is missing: name the run directory to make or to resume"),
    ],
)
def test_wrong_options_are_named_in_a_line(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert main(["train", *arguments]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("error: ")
    assert expected in printed.err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--restoration_weight=4", "--restoration_weight is now --cycle_weight"),
        ("--notruth_absolute", f"--truth_absolute was removed: {REMOVED['truth_absolute'].advice}"),
        ("--attribute_schedule=cycle", "--attribute_schedule=cycle is now --attribute_schedule=round_robin"),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_an_old_flag_is_an_error_that_names_the_new_one(tmp_path, refused, flag, message, in_file):
    (tmp_path / "old.flags").write_text(f"# old\n--seed=1\n{flag}\n", encoding="utf-8")
    words = [f"--flagfile={tmp_path / 'old.flags'}"] if in_file else [flag]
    assert refused(["--run_dir=x", *words]) == f"error: {message}\n"


def test_unknown_attributes_are_refused(tmp_path, refused):
    message = refused([f"--run_dir={tmp_path / 'run'}", *tiny.flags(attributes="Eyeglases")])
    assert "did you mean Eyeglasses?" in message
    assert not (tmp_path / "run").exists()


def test_a_real_training_says_only_what_matters_and_ends_with_its_scorecard(tmp_path, monkeypatch):
    flags = "--preset=official --attributes=Eyeglasses --image_size=32 --width=4 --depth=3 --faces_count=32"
    flags += " --batch_size=4 --steps=2 --log_every=2 --data=faces --evaluate_every=1 --keep_best=leak --export_dir=out"
    done = commands.run(["-c", commands.QUICK, "train", "--run=the run", *flags.split()], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    begins = (
        "step 1  realised ",
        "step 2/2  generator ",
        "step 2  realised ",
        "all 2 steps are done",
        "evaluating on ",
    )
    assert all(line.startswith(begin) for line, begin in zip(said, begins, strict=True)), said
    best, exported, *scorecard, following = done.stdout.splitlines()
    step = re.fullmatch(r"best:      the run/best \(leak \d+\.\d+ at step ([12])\)", best)[1]
    assert exported == f"exported:  out/{step}"
    assert open_model(tmp_path / "out").step == int(step)
    assert scorecard[0] == "Held-out edits after 2 steps, compared with their targets"
    assert scorecard[-1] == "examples:  the run/scorecard.png"
    assert len(scorecard) <= 12
    assert (tmp_path / "the run" / "scorecard.png").is_file()
    assert len((tmp_path / "the run" / "evaluations.jsonl").read_text().splitlines()) == 2
    log = (tmp_path / "the run" / LOG_FILE).read_text()
    assert " INFO saved the run/checkpoints/step-2\n" in log
    assert " INFO evaluating on held-out images\n" in log
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(following.removeprefix("next:"))[1:]) == 0
    assert (tmp_path / "the run" / "grid.png").is_file()

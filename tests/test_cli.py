"""What all commands share: help, exit statuses, flags of older versions, `--run` and `--run_dir`."""

from __future__ import annotations

import signal
import time

import commands
import pytest

from elegant_tf import __version__
from elegant_tf.cli.main import MODULES, main, make_parser
from elegant_tf.upgrade import REMOVED

ACTIONS = [["train"], *([name] for name in MODULES), ["serve-client", "edit"], ["serve-client", "metadata"]]


@pytest.mark.parametrize("words", ACTIONS[1:], ids=" ".join)
def test_help_has_an_example(words, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    assert f"elegant-tf {' '.join(words)} " in capsys.readouterr().out.partition("\nexample")[2]


def test_help_lists_every_command_and_version_prints_it(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert {"train", *MODULES} <= set(listed)
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"elegant-tf {__version__}\n"


@pytest.mark.parametrize(
    "words", [[], ["sawp"], ["swap", "--run", "x"], ["linear", "--steps", "many"], ["pack", "--ru=x"]], ids=str
)
def test_malformed_command_lines(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "usage: elegant-tf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mirror_edits"], "--mirror_edits is now --flip_tta"),
        (["--nomirror_edits"], "--mirror_edits is now --flip_tta"),
        (["--truth_floor", "3"], f"--truth_floor was removed: {REMOVED['truth_floor'].advice}"),
        (["--attribute_schedule", "cycle"], "--attribute_schedule=cycle is now --attribute_schedule=round_robin"),
    ],
)
def test_an_old_flag_is_an_error_that_names_the_new_one(flags, message, capsys):
    assert main(["pack", "--run", "x", *flags, "--out", "y"]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


NEEDED = {
    "swap": ["--input", "a", "--exemplar", "b", "--attributes", "c", "--out", "d.png"],
    "import-torch": ["--pth_dir", "a", "--step", "1", "--attributes", "b", "--image_size", "64"],
    "train-classifier": ["--out", "a"],
    **{name: ["--out", "a"] for name in ("pack", "export", "tflite", "export-torch")},
    "evaluate": [],
}


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("flag", ["--run", "--run_dir"])
def test_a_run_is_named_by_either_flag(name, flag):
    assert make_parser().parse_args([name, flag, "runs/mine", *NEEDED[name]]).run == "runs/mine"


def test_ctrl_c_is_quiet(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("elegant_tf.cli.faces.write_celeba", interrupted)
    assert main(["faces", "--out", "x"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_half_written(tmp_path, number):
    process = commands.start(["-m", "elegant_tf", "faces", "--out", str(tmp_path / "faces"), "--count=100000"])
    while not list(tmp_path.glob(".*.part/*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_python_m_is_the_command():
    done = commands.run(["-m", "elegant_tf", "--version"])
    assert (done.returncode, done.stdout) == (0, f"elegant-tf {__version__}\n"), done.stderr


def test_parsing_options_loads_no_tensorflow():
    program = "import sys; from elegant_tf.cli import main, train; main.make_parser(); train.define_flags()"
    done = commands.run(["-c", f"{program}; print('tensorflow' in sys.modules)"])
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr

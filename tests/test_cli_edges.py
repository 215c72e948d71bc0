"""Every option of every command at its edges works, or a line says what is wrong; and output that nobody reads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from PIL import Image

from elegant_tf.cli.main import MODULES, main
from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.rundir import PACKED_FILE, write_config
from elegant_tf.sources import open_collection

NUMBERS = ["0", "-1", str(2**31), str(2**32), str(2**63), "nan", "inf"]
PATHS = ["", ".", "/", "a file", "a folder", "a\nb", "s3://bucket/x", "ram://bucket/x", "~nobody-of-this-name/x"]

ENDPOINT = "--server localhost:1 --model x --protocol rest --retries 0 --timeout 1"
IMAGES = "--run untrained --input image.png --exemplar image.png --attributes Bangs --out new.png"
DATA = "--data folder --data_dir folder"

# Options with which a command does little work, or none because the run has no checkpoint or the folder no table.
LINES = {
    "train": "--run_dir=packed --data=folder --data_dir=folder --dry_run",
    **dict.fromkeys(("swap", "linear", "grid"), IMAGES),
    "matrix": IMAGES.replace("--exemplar image.png", "--exemplar image.png image.png image.png"),
    "evaluate": "--run untrained",
    "compare": "--old untrained --new packed",
    "train-classifier": f"{DATA} --out new",
    "faces": "--out new --count 1 --image_size 16 --counterfactuals 0",
    "dress": "--input image.png --out new --count 1 --image_size 16 --counterfactuals 0",
    "doctor": f"{DATA} --image_size 32",
    "prepare": f"{DATA} --out new",
    "align": "--input image.png --out new",
    "catalogue": "--run untrained --input image.png --out new.npz",
    "inspect": "nothing.png",
    "sign": "image.png --cert_file image.png --key_file image.png",
    **dict.fromkeys(("pack", "export", "tflite", "export-torch"), "--run untrained --out new"),
    "demo": "--run untrained --out new",
    "serve-client edit": f"{ENDPOINT} --input image.png --exemplar image.png --attributes Bangs --out new.png",
    "serve-client metadata": ENDPOINT,
    "import-torch": "--pth_dir folder --step 1 --attributes Bangs --image_size 64 --run new",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with an untrained run, a packed run, an image, a file and a folder."""
    monkeypatch.chdir(tmp_path)
    write_config(Config.of(attributes=("Bangs",), image_size=32), "untrained")
    write_config(Config(), "packed")
    (tmp_path / "packed" / PACKED_FILE).touch()
    Image.new("RGB", (32, 32)).save("image.png")
    (tmp_path / "a file").write_text("x", encoding="utf-8")
    for name in ("a folder", "folder"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("elegant_tf.data.align.make_detector", lambda: lambda image: [])
    return tmp_path


def call(words, capsys):
    """The status of a command line, and what it wrote to stderr."""
    try:
        status = main(words)
    except SystemExit as stopped:
        status = stopped.code
    return status, capsys.readouterr().err


def options_of(command, capsys):
    """The options of a command that take a value, from its help."""
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    return sorted(set(re.findall(r"(--\w+) [A-Z{]", capsys.readouterr().out)))


def with_option(line, option, value):
    """The command line with another value for an option, or with the option at its end."""
    words = [*line.split(), *([option, ""] if option not in line.split() else [])]
    words[words.index(option) + 1] = value
    return words


def test_every_command_is_tried():
    assert {line.split()[0] for line in LINES} == {"train", *MODULES}


@pytest.mark.parametrize("command", [name for name in LINES if name != "train"])
def test_an_option_at_its_edges(command, place, capsys):
    found = options_of(command, capsys)
    assert {word for word in LINES[command].split() if word.startswith("--")} <= set(found)
    for option in found:
        line = LINES[command].replace("--data folder", "") if option == "--run" else LINES[command]
        for value in NUMBERS + PATHS:
            check([*command.split(), *with_option(line, option, value)], capsys)


@pytest.mark.parametrize("name", ["run_dir", "run", "preset", "dry_run", "flagfile", *Config().flags()])
def test_a_flag_of_training_at_its_edges(name, place, capsys):
    for value in NUMBERS + PATHS:
        check(["train", *LINES["train"].split(), f"--{name}={value}"], capsys)


def check(words, capsys):
    status, printed = call(words, capsys)
    errors = [line for line in printed.splitlines() if re.match(r"(elegant-tf [a-z -]+: )?error: ", line)]
    assert status in (0, 2), (words, printed)
    assert len(errors) == (status == 2), (words, printed)
    assert "Traceback" not in printed, (words, printed)
    assert status or words[0] == "faces", words  # the only one that can work here


MUST_BE_REFUSED = [
    ("faces", "--count", "1000001", "--count=1000001: must be 1000000 or less"),
    ("faces", "--image_size", "4097", "--image_size=4097: must be 4096 or less"),
    ("faces", "--seed", str(2**32), f"--seed={2**32}: must be {2**32 - 1} or less"),
    ("faces", "--out", "/", "--out=/: exists already"),
    ("faces", "--out", "a file", "--out=a file: exists already"),
    ("pack", "--out", ".", "--out=.: exists already"),
    ("import-torch", "--run", "a folder/", "PyTorch|lacks Enc_iter_000001.pth"),
    ("evaluate", "--seed", "-1", "--seed=-1: must be 0 or more"),
    ("evaluate", "--run", "", "--run=: must be a path; it is empty"),
    ("evaluate", "--count", "0", "--count=0: must be 1 or more"),
    ("doctor", "--needed", "nan", "--needed=nan: must be a finite number"),
    ("doctor", "--data_dir", "", "--data=folder needs --data_dir"),
    ("prepare", "--quality", "101", "--quality=101: must be 100 or less"),
    ("serve-client edit", "--timeout", "inf", "--timeout=inf: must be a finite number"),
    ("serve-client edit", "--timeout", "0", "--timeout=0.0: must be more than 0"),
    ("serve-client metadata", "--version", str(2**63), f"--version={2**63}: must be {2**63 - 1} or less"),
    (
        "linear",
        "--steps",
        "100000000",
        "new.png: 1 x 100000001 images of 32 pixels make 3400000036 x 36 pixels, and PNG",
    ),
    ("matrix", "--rows", "2000000", "new.png: 2000000 x 5 images of 32 pixels make 172 x 68000002 pixels"),
    ("export", "--out", "a[b]", r"--out=a\[b\]: TensorFlow loads no SavedModel from a path with \["),
    ("train", "--run_dir", "", "--run_dir=: must be a path; it is empty"),
    (
        "train",
        "--data_dir",
        "s3://b",
        "--data_dir=s3://b: must be a path on this machine, gs:// or ram://; nothing here opens s3://",
    ),
    ("train", "--data_dir", "", "--data_dir=: must be the directory of images"),
    ("train", "--start_from", "~nobody-of-this-name", "--start_from=~nobody-of-this-name: there is no user"),
    ("train", "--seed", str(2**32), f"--seed={2**32}: must be {2**32 - 1} or less"),
    ("train", "--image_size", "8192", "--image_size=8192: must be 4096 or less"),
    ("train", "--learning_rate", "1e300", "--learning_rate=1e"),
    ("train", "--max_minutes", "inf", "--max_minutes=inf: must be a finite number"),
]


@pytest.mark.parametrize(("command", "option", "value", "expected"), MUST_BE_REFUSED)
def test_what_cannot_work_is_refused_in_a_line(command, option, value, expected, place, capsys):
    line = [f"{LINES['train']} {option}={value}".split(" ")] if command == "train" else None
    words = line[0] if line else with_option(LINES[command], option, value)
    status, printed = call([*command.split(), *words], capsys)
    assert (status, printed.count("\n")) == (2, 1), printed
    assert re.match(f"error: .*({expected})", printed), printed


@pytest.mark.parametrize(("name", "rows"), [("new.jpg", 2000), ("new.webp", 500)])
def test_a_sheet_that_its_format_cannot_hold_is_refused_before_editing(name, rows, place, capsys):
    line = LINES["matrix"].replace("new.png", name)
    status, printed = call(["matrix", *line.split(), "--rows", str(rows)], capsys)
    assert (status, printed.count("\n")) == (2, 1)
    assert f"make 172 x {rows * 34 + 2} pixels, and {'JPEG' if 'jpg' in name else 'WEBP'} takes" in printed
    assert "no checkpoint" in call(["matrix", *LINES["matrix"].split(), "--rows", str(rows)], capsys)[1]


def test_the_largest_seed_and_double_precision_train(quick_training, tmp_path):
    import tiny

    from elegant_tf.training.trainer import Trainer

    trainer = Trainer(tiny.config(seed=2**32 - 1, precision="float64", steps=1, sample_every=1), tmp_path / "run")
    trainer.train()
    assert trainer.step == 1
    assert trainer.learner.generator.variable_dtype == "float64"


def test_large_faces_are_drawn_in_small_batches(place, monkeypatch):
    drawn = []
    for most in (2**30, 2 * 16 * 16):
        monkeypatch.setattr("elegant_tf.synthetic.celeba.BATCH_PIXELS", most)
        line = f"faces --out out{most} --count 5 --image_size 16 --counterfactuals 3"
        assert main(line.split()) == 0
        drawn.append({path.name: path.read_bytes() for path in Path(f"out{most}").rglob("*.*g")})
    assert len(drawn[0]) == 14
    assert drawn[0] == drawn[1]


def test_home_is_home(place, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(place))
    assert main(["faces", "--out", "~/drawn", "--count", "1", "--image_size", "16", "--counterfactuals", "0"]) == 0
    assert (place / "drawn" / "list_attr_celeba.txt").is_file()
    assert not (place / "~").exists()
    assert main(["train", "--run_dir=~/packed", "--dry_run"]) == 2
    assert f"--run_dir={place}/packed: is a packed run" in capsys.readouterr().err


def test_the_python_interface_takes_the_same_paths(place, monkeypatch):
    import elegant_tf

    monkeypatch.setenv("HOME", str(place))
    with pytest.raises(UserError, match=f"^{place}/untrained: no checkpoint"):
        elegant_tf.Editor.load("~/untrained")
    with pytest.raises(UserError, match=f"--run_dir={place}/packed: is a packed run"):
        elegant_tf.Trainer(Config(), Path("~/packed"))
    for options in ({"run": "s3://b"}, {"run": "untrained", "out": ""}, {"run": "untrained", "data_dir": "s3://b/x"}):
        with pytest.raises(UserError, match="must be a path"):
            elegant_tf.evaluate(**options)
    assert Config.of(data="celeba", data_dir="~/x", start_from="").data.data_dir == f"{place}/x"


def test_a_table_is_found_as_given_or_else_beside_the_images(place):
    (place / "folder" / "labels.csv").write_text("file,Hat\na.png,1\nb.png,0\n", encoding="utf-8")
    (place / "folder" / "other.csv").write_text("x", encoding="utf-8")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(place / "folder" / name)
    for given in ("labels.csv", "folder/labels.csv", place / "folder" / "labels.csv"):
        assert open_collection("folder", "folder", given).table.names == ("Hat",)
    (place / "labels.csv").write_text("file,Cap\na.png,1\nb.png,0\n", encoding="utf-8")
    assert open_collection("folder", "folder", "labels.csv").table.names == ("Cap",)


@pytest.mark.parametrize("line", ["--version", "swap --help", "train --help", f"faces {LINES['faces']}"])
def test_output_that_nobody_reads_ends_quietly(line, tmp_path):
    read, write = os.pipe()
    os.close(read)  # as `head` does when it has enough
    process = commands.start(["-m", "elegant_tf", *line.split()], stdout=write, cwd=tmp_path)
    os.close(write)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode in (0, 141)  # argparse takes no notice


def test_output_that_is_closed_from_the_beginning():
    words = ["sh", "-c", '"$0" -m elegant_tf train --help >&-', sys.executable]
    done = subprocess.run(words, cwd=commands.ROOT, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_errors_that_nobody_reads_end_quietly(tmp_path):
    read, write = os.pipe()
    os.close(read)
    words = ["-m", "elegant_tf", "faces", "--out", ""]
    process = commands.start(words, stdout=write, stderr=subprocess.STDOUT, cwd=tmp_path)
    os.close(write)
    process.communicate(timeout=60)
    assert process.returncode == 141

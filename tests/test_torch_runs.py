"""Runs made from the authors' files and back, against the plain PyTorch program of `benchmarks/`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import authors
import numpy as np
import ours
import pytest
import tensorflow as tf
import tiny

from elegant_tf.cli.main import main
from elegant_tf.config import Config
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation import evaluate
from elegant_tf.evaluation.metrics.scores import Scores
from elegant_tf.export.torch_files import NETWORKS, file_name
from elegant_tf.export.torch_runs import export_run, import_run
from elegant_tf.rundir import read_config, write_config
from elegant_tf.runs import pack
from elegant_tf.synthetic import write_celeba
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints

torch = pytest.importorskip("torch")

from benchmarks.plain_torch import PlainElegant  # noqa: E402 - it needs PyTorch

STEP = 7
WIDTH, SIZE = 4, 32
NAMES = ("Bangs", "Eyeglasses", "Smiling")


def plain(attributes: int = len(NAMES), size: int = SIZE, width: int = WIDTH, scale: float = 1.0) -> PlainElegant:
    """The plain program with the weights of the goldens' recipe, times `scale`."""
    program = PlainElegant(attributes, size, width)
    for network in NETWORKS:
        state = getattr(program, network).state_dict()
        for name, value in state.items():
            initial = authors.initial_weight(f"{network}.{name}", tuple(value.shape))
            state[name] = torch.from_numpy(initial if name.endswith((".alpha", ".beta")) else initial * scale)
        getattr(program, network).load_state_dict(state)
    return program


def write(program: PlainElegant, folder: Path, networks=NETWORKS) -> Path:
    folder.mkdir(exist_ok=True)
    for network in networks:
        torch.save(getattr(program, network).state_dict(), folder / file_name(network, STEP))
    return folder


def config(names=NAMES, size=SIZE, width=WIDTH, **overrides) -> Config:
    shape = {"attributes": tuple(names), "image_size": size, "width": width, "depth": 5}
    return tiny.config(**{**shape, "attribute_schedule": "round_robin", **overrides})


@pytest.fixture
def theirs(tmp_path):
    return write(plain(), tmp_path / "their files")


def command(folder: Path, run: Path, *options: str) -> int:
    given = {"pth_dir": folder, "run": run, "attributes": ",".join(NAMES), "image_size": SIZE, "width": WIDTH}
    words = [word for name, value in {**given, "step": STEP}.items() for word in (f"--{name}", str(value))]
    return main(["import-torch", *words, *options])


def test_the_plain_program_is_the_authors():
    """Its values are those measured of the authors' program, so agreeing with it is agreeing with theirs.

    In float64, as the losses were measured (the images in float32): the rounding of a float32 convolution depends on
    the processor.
    """
    count = authors.COUNTS[-1]
    golden, inputs = authors.golden(count), authors.batch(count, 0)
    program = plain(count, authors.SIZE, 64)
    for network in NETWORKS:
        getattr(program, network).double()
    a, b, *labels = (torch.from_numpy(inputs[name]).double() for name in ("A", "B", "y_A", "y_B"))
    with torch.no_grad():
        images = program.generate(a, b, inputs["attribute"])
    for name, image in zip(("A1", "B1", "C", "D"), images, strict=True):
        found = authors.summarize(f"u0/{name}", image.numpy())
        np.testing.assert_allclose(found.sample, golden[f"u0/{name}|sample"], rtol=0, atol=1e-6)
        assert found.norm == pytest.approx(float(golden[f"u0/{name}|norm"]), rel=1e-8)
    losses = program.update(a, b, *labels, inputs["attribute"])
    for name in ("loss_D", "loss_G"):
        assert losses[name] == pytest.approx(float(golden[f"adam03_f64_u0/{name}"]), rel=1e-12)


@pytest.mark.parametrize(("size", "width", "count"), [(128, 64, 2), (96, 16, 5), (64, 8, 1)])
def test_an_imported_run_swaps_as_theirs_does(tmp_path, size, width, count):
    program = plain(count, size, width, scale=6.0)
    names = tuple(f"attribute {index}" for index in range(count))
    import_run(write(program, tmp_path / "theirs"), STEP, config(names, size, width), tmp_path / "run")
    a, b = np.random.default_rng(size).integers(0, 256, (2, 2, size, size, 3), dtype=np.uint8)
    editor = Editor.load(tmp_path / "run")
    assert editor.step == STEP
    with torch.no_grad():
        tensors = [torch.from_numpy((x / 127.5 - 1).astype(np.float32).transpose(0, 3, 1, 2)) for x in (a, b)]
        _, _, c, _ = program.generate(*tensors, count - 1)
    expected = (c.numpy().transpose(0, 2, 3, 1) + 1) * 127.5
    found = np.stack([editor.swap(*pair, [names[-1]]) for pair in zip(a, b, strict=True)])
    assert np.abs(expected - a).mean() > 2  # The edit is not nothing.
    assert np.abs(found - expected).max() <= 1


def test_forward_at_128_pixels(tmp_path):
    program, names = plain(2, 128, 64), ("a", "b")
    learner = make_learner(config(names, 128, 64))
    ours.assign_initial_weights(learner)
    a, b = np.random.RandomState(1).uniform(-1, 1, (2, 2, 128, 128, 3)).astype(np.float32)
    labels = tf.zeros([2, 2])
    batch = {"a": tf.constant(a), "b": tf.constant(b), "y_a": labels, "y_b": labels, "attribute": tf.constant([1, 1])}
    made = ours.channel_first(ours.forward(learner.generator, batch))
    with torch.no_grad():
        tensors = [torch.from_numpy(x.transpose(0, 3, 1, 2)) for x in (a, b)]
        code, skips = program.Enc(tensors[0])
        images = program.generate(*tensors, 1)
    expected = {"z_A": code, **{f"A_skip{level}": skip for level, skip in enumerate(skips)}}
    expected |= dict(zip(("A1", "B1", "C", "D"), images, strict=True))
    for name, value in expected.items():
        np.testing.assert_allclose(made[name], value.numpy(), rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.usefixtures("quick_training")
@pytest.mark.parametrize(("size", "width", "count"), [(32, 4, 3), (96, 8, 5)])
def test_an_imported_run_trains_on_as_theirs_does(tmp_path, size, width, count):
    program = plain(count, size, width)
    setup = config([f"attribute {index}" for index in range(count)], size, width)
    import_run(write(program, tmp_path / "theirs"), STEP, setup, tmp_path / "run")
    learner = make_learner(setup)
    Checkpoints(learner, tmp_path / "run", 1).restore()
    assert int(learner.updates) == STEP * count
    for update in range(2):
        batch = tiny.batch(setup, update) | {"attribute": tf.fill([setup.data.batch_size], update)}
        batch |= {name: batch[name].numpy() for name in ("y_a", "y_b")}
        batch["y_a"][:, update], batch["y_b"][:, update] = 1, 0
        found = learner.update(batch)
        a, b = (torch.from_numpy(batch[name].numpy().transpose(0, 3, 1, 2)) for name in "ab")
        expected = program.update(a, b, torch.from_numpy(batch["y_a"]), torch.from_numpy(batch["y_b"]), update)
        assert float(found["discriminator"]) == pytest.approx(expected["loss_D"], rel=2e-5)
        assert float(found["generator"]) == pytest.approx(expected["loss_G"], rel=2e-5)


@pytest.mark.slow
def test_the_command_and_the_training_it_proposes(theirs, tmp_path, capsys, monkeypatch, quick_training):
    run = tmp_path / "a run"
    assert command(theirs, run) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{run}: Enc, Dec, D1, D2 of step 7"
    words = shlex.split(second.removeprefix("to resume training:  elegant-tf "))
    write_celeba(tmp_path / "celeba", 80, SIZE, seed=0, counterfactuals=1)
    words[words.index("--data_dir=DIR")] = f"--data_dir={tmp_path / 'celeba'}"
    monkeypatch.setattr(evaluate, "METRICS", [Scores])
    monkeypatch.setattr(evaluate, "HELD_OUT_PER_EDIT", 1)
    assert main([*words, "--steps=8", "--width=8"]) == 2
    assert "width (there 4, now 8)" in capsys.readouterr().err
    assert main([*words, "--steps=8", "--sample_every=0", "--strategy=one_device"]) == 0
    assert "resuming at step 7" in capsys.readouterr().err
    assert Editor.load(run).step == 8


def test_without_discriminators(tmp_path, capsys):
    folder = write(plain(), tmp_path / "theirs", NETWORKS[:2])
    assert command(folder, tmp_path / "run") == 0
    assert "without D1 and D2" in capsys.readouterr().out
    learner = make_learner(config())
    assert Checkpoints(learner, tmp_path / "run", 1).restore()
    assert np.std(learner.discriminator.full.dense.kernel.numpy()) == pytest.approx(0.02, rel=0.5)


def test_round_trip_is_exact(theirs, tmp_path, capsys):
    command(theirs, tmp_path / "run")
    assert main(["export-torch", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "back")]) == 0
    names = [file_name(network, STEP) for network in NETWORKS]
    assert capsys.readouterr().out.splitlines()[2:] == [str(tmp_path / "back" / name) for name in names]
    for name in names:
        before, after = (torch.load(folder / name, weights_only=True) for folder in (theirs, tmp_path / "back"))
        assert list(before) == list(after)
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert main(["export-torch", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "back")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_exports_what_the_run_edits_with(tmp_path, tiny_run):
    paths, discriminators = export_run(tiny_run, tmp_path / "out")
    assert discriminators
    assert paths[0].name == "Enc_iter_000004.pth"
    setup = config(read_config(tiny_run).model.attributes, 32, 4, depth=3)
    import_run(tmp_path / "out", 4, setup, tmp_path / "run")
    image, exemplar = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    edited = [Editor.load(run).swap(image, exemplar, ["Bangs"]) for run in (tiny_run, tmp_path / "run")]
    np.testing.assert_array_equal(*edited)


def test_packed_runs_have_no_discriminators(tmp_path, tiny_run):
    pack(tiny_run, tmp_path / "packed")
    paths, discriminators = export_run(tmp_path / "packed", tmp_path / "out")
    assert ([path.name for path in paths], discriminators) == (["Enc_iter_000004.pth", "Dec_iter_000004.pth"], False)


@pytest.mark.parametrize("options", [{"conditioning": "projection"}, {"discriminator_norm": "spectral"}], ids=str)
def test_discriminators_that_the_authors_have_not_stay_behind(tmp_path, capsys, options):
    setup = config(**options)
    write_config(setup, tmp_path / "run")
    Checkpoints(make_learner(setup), tmp_path / "run", 1).save(3)
    assert main(["export-torch", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    assert "without D1 and D2" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Dec_iter_000003.pth", "Enc_iter_000003.pth"]


def test_a_decoder_with_a_mask_is_not_theirs(tmp_path, capsys):
    write_config(config(mask=True), tmp_path / "run")
    assert main(["export-torch", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2
    assert "trained with --mask, which the authors' decoder does not have" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def refused(folder: Path) -> str:
    """The message of an import that must leave nothing behind."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        import_run(folder, STEP, config(), folder.parent / "run")
    assert sorted(folder.parent.rglob("*")) == before
    return str(caught.value)


def test_everything_wrong_in_all_files_is_listed(theirs):
    encoder = torch.load(theirs / file_name("Enc", STEP), weights_only=True)
    del encoder["main.2.1.alpha"]
    encoder["main.0.0.bias"][1] = float("inf")
    torch.save(encoder, theirs / file_name("Enc", STEP))
    torch.save(plain(len(NAMES), 64).D1.state_dict(), theirs / file_name("D1", STEP))
    (theirs / file_name("Dec", STEP)).write_text("not found")
    message = refused(theirs)
    for part in (
        "Enc_iter_000007.pth: lacks main.2.1.alpha [1]",
        "Enc_iter_000007.pth: main.0.0.bias holds values that are not finite",
        "Dec_iter_000007.pth cannot be read as PyTorch weights",
        "D1_iter_000007.pth: linear.0.weight is [1, 512], must be [1, 128]",
    ):
        assert part in message
    assert len(message.splitlines()) == 5


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_truncated_files_leave_nothing(theirs, share):
    path = theirs / file_name("D2", STEP)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "D2_iter_000007.pth cannot be read" in refused(theirs)


def test_code_in_a_file_leaves_nothing(theirs, tmp_path):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"main.0.0.weight": Code()}, theirs / file_name("Enc", STEP))
    assert "Enc_iter_000007.pth cannot be read" in refused(theirs)


def test_missing_step_names_those_there(theirs):
    (theirs / file_name("Enc", STEP)).rename(theirs / file_name("Enc", 9))
    assert "lacks Enc_iter_000007.pth; it has step 9" in refused(theirs)


def test_an_existing_run_stays(theirs, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert "exists already" in refused(theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--image_size", "40"], "--image_size=40: must be a multiple of 32"),
        (["--attributes", "Bangs,Bangs"], "--attributes=Bangs,Bangs"),
        (["--step", "-1"], "--step=-1"),
        (["--width", "0"], "--width=0"),
    ],
)
def test_wrong_options(theirs, tmp_path, capsys, options, message):
    assert command(theirs, tmp_path / "run", *options) == 2
    assert message in capsys.readouterr().err


def test_without_pytorch_it_names_the_package_to_install(theirs, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'elegant-tf[torch]'" in refused(theirs)


def test_a_run_directory_that_cannot_be_made(theirs, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        import_run(theirs, STEP, config(), tmp_path / "file" / "run")

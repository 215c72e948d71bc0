from __future__ import annotations

import os
import pickle
import sys
import tarfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.errors import UserError
from elegant_tf.export import torch_files

VALUES = {
    "main.0.0.weight": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32),
    "main.0.0.bias": np.arange(4, dtype=np.float32),
    "main.0.1.alpha": np.ones(1, np.float32),
}
SHAPES = {name: value.shape for name, value in VALUES.items()}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def tensors(torch, prefix=""):
    return OrderedDict((prefix + name, torch.from_numpy(value)) for name, value in VALUES.items())


def assert_holds_values(found):
    assert list(found) == list(VALUES)
    for name, value in VALUES.items():
        np.testing.assert_array_equal(torch_files.to_array(found[name]), value)


class Code:
    """The content of a malicious file: unpickling it runs a command."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_without_pytorch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"pip install 'elegant-tf\[torch\]'"):
        torch_files.load_torch()


def test_names_of_files():
    assert torch_files.file_name("Enc", 100) == "Enc_iter_000100.pth"
    assert torch_files.file_name("D2", 2_000_000) == "D2_iter_2000000.pth"


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ([], "lacks Enc_iter_000005.pth, Dec_iter_000005.pth; it has no Enc_iter_NNNNNN.pth at all"),
        (["Enc_iter_000005"], "lacks Dec_iter_000005.pth; it has step 5"),
        (["Enc_iter_000005", "Dec_iter_000005", "D2_iter_000005"], "lacks D1_iter_000005.pth"),
        (["D1_iter_000005", "D2_iter_000005"], "lacks Enc_iter_000005.pth, Dec_iter_000005.pth"),
        (["Enc_iter_000007", "Dec_iter_000007", "Enc_iter_000009"], "it has step 7, 9"),
    ],
)
def test_missing_files_are_listed(tmp_path, there, message):
    for name in there:
        (tmp_path / f"{name}.pth").touch()
    with pytest.raises(UserError, match=message):
        torch_files.find_networks(tmp_path, 5)


def test_generator_alone_or_all_four(tmp_path):
    for name in ("Enc", "Dec"):
        (tmp_path / torch_files.file_name(name, 5)).touch()
    assert torch_files.find_networks(tmp_path, 5) == ("Enc", "Dec")
    for name in ("D1", "D2"):
        (tmp_path / torch_files.file_name(name, 5)).touch()
    assert torch_files.find_networks(tmp_path, 5) == ("Enc", "Dec", "D1", "D2")
    with pytest.raises(UserError, match="no such directory"):
        torch_files.find_networks(tmp_path / "nowhere", 5)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_todays_formats(torch, tmp_path, prefix, zipped):
    torch.save(tensors(torch, prefix), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_holds_values(torch_files.read_state_dict(tmp_path / "a.pth"))


@pytest.mark.parametrize("place", ["cpu", "cuda:0"])
def test_reads_the_format_of_pytorch_03(torch, tmp_path, place):
    import legacy_torch

    legacy_torch.save(tmp_path / "a.pth", VALUES, place)
    assert_holds_values(torch_files.read_state_dict(tmp_path / "a.pth"))


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy", "tar"])
def test_code_in_a_file_is_not_run(torch, tmp_path, form):
    marker, path = tmp_path / "ran", tmp_path / "a.pth"
    state = {**tensors(torch), "main.0.1.beta": Code(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(Code(marker)))
    elif form == "tar":
        for name in ("storages", "tensors", "pickle"):
            (tmp_path / name).write_bytes(pickle.dumps(Code(marker)))
        with tarfile.open(path, "w") as tar:
            for name in ("storages", "tensors", "pickle"):
                tar.add(tmp_path / name, name)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match="cannot be read as PyTorch weights"):
        torch_files.read_state_dict(path)
    assert not marker.exists()
    if form in ("zip", "legacy"):  # The file is really malicious: loading it without protection runs the code.
        torch.load(path, weights_only=False)
        assert marker.exists()


@pytest.mark.parametrize("kind", ["list", "number", "empty", "nested"])
def test_other_things_than_state_dicts_are_refused(torch, tmp_path, kind):
    found = {
        "list": [torch.ones(1)],
        "number": {"main.0.0.bias": 3.0},
        "empty": {},
        "nested": {"model": tensors(torch)},
    }[kind]
    torch.save(found, tmp_path / "a.pth")
    with pytest.raises(UserError, match="must hold"):
        torch_files.read_state_dict(tmp_path / "a.pth")


@pytest.fixture(scope="module")
def files(torch, tmp_path_factory):
    """The bytes of valid files, by format, and a path for damaged ones."""
    import legacy_torch

    folder = tmp_path_factory.mktemp("fuzzed")
    torch.save(tensors(torch), folder / "zip")
    legacy_torch.save(folder / "legacy", VALUES)
    return {name: (folder / name).read_bytes() for name in ("zip", "legacy")}, folder / "damaged.pth"


def read_or_refuse(path):
    """Reading arbitrary bytes yields tensors by name or raises UserError."""
    try:
        found = torch_files.read_state_dict(path)
    except UserError:
        return
    torch_files.check_state_dict(found, SHAPES)


@settings(max_examples=60)
@given(form=st.sampled_from(["zip", "legacy"]), share=st.floats(0, 0.999))
def test_truncated_files(files, form, share):
    contents, path = files
    path.write_bytes(contents[form][: int(share * len(contents[form]))])
    with pytest.raises(UserError):
        torch_files.read_state_dict(path)


@settings(max_examples=150)
@given(form=st.sampled_from(["zip", "legacy"]), flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255))))
def test_damaged_bytes(files, form, flips):
    contents, path = files
    data = bytearray(contents[form])
    for share, flip in flips:
        data[int(share * len(data))] ^= flip
    path.write_bytes(data)
    read_or_refuse(path)


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_random_bytes(files, data):
    files[1].write_bytes(data)
    with pytest.raises(UserError):
        torch_files.read_state_dict(files[1])


def test_everything_wrong_is_listed(torch):
    found = {
        "main.0.0.weight": torch.ones(4, 3, 3),
        "main.0.0.bias": torch.tensor([1.0, float("nan"), 2.0, 3.0]),
        "main.7.0.bias": torch.ones(2),
    }
    assert torch_files.check_state_dict(found, SHAPES) == [
        "lacks main.0.1.alpha [1]",
        "main.0.0.weight is [4, 3, 3], must be [4, 3, 3, 3]",
        "main.0.0.bias holds values that are not finite in float32",
        "has main.7.0.bias [2], which is no parameter of this network",
    ]
    assert torch_files.check_state_dict(tensors(torch), SHAPES) == []


@pytest.mark.parametrize("kind", ["int", "sparse", "meta", "too large", "complex"])
def test_unusual_tensors_are_refused(torch, kind):
    ones = torch.ones(4)
    unusual = {
        "int": ones.int(),
        "sparse": ones.to_sparse(),
        "meta": ones.to("meta"),
        "too large": ones.double() * 1e300,
        "complex": ones.to(torch.complex64),
    }[kind]
    problems = torch_files.check_state_dict({**tensors(torch), "main.0.0.bias": unusual}, SHAPES)
    assert len(problems) == 1
    assert problems[0].startswith("main.0.0.bias")


def test_a_tensor_that_claims_terabytes_is_refused_unread(torch, tmp_path):
    torch.save({**tensors(torch), "main.0.0.bias": torch.ones(1).expand(10**13)}, tmp_path / "a.pth")
    problems = torch_files.check_state_dict(torch_files.read_state_dict(tmp_path / "a.pth"), SHAPES)
    assert problems == ["main.0.0.bias is [10000000000000], must be [4]"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_float_formats(torch, dtype):
    value = torch_files.to_array(torch.tensor([0.5, -2.0]).to(getattr(torch, dtype)))
    assert value.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert value.tolist() == [0.5, -2.0]


def test_writes_what_it_reads(torch, tmp_path):
    paths = torch_files.write_state_dicts(tmp_path / "new" / "out", 12, {"Enc": VALUES, "Dec": VALUES})
    assert [path.name for path in paths] == ["Enc_iter_000012.pth", "Dec_iter_000012.pth"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["Dec_iter_000012.pth", "Enc_iter_000012.pth"]
    assert_holds_values(torch_files.read_state_dict(paths[1]))


def test_existing_files_stay(torch, tmp_path):
    (tmp_path / "Dec_iter_000012.pth").write_text("mine")
    with pytest.raises(UserError, match=r"Dec_iter_000012.pth: exists already"):
        torch_files.write_state_dicts(tmp_path, 12, {"Enc": VALUES, "Dec": VALUES})
    assert [path.name for path in tmp_path.iterdir()] == ["Dec_iter_000012.pth"]


def test_an_output_that_cannot_be_written(torch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/Enc_iter_000012.pth: cannot be written"):
        torch_files.write_state_dicts(tmp_path / "file", 12, {"Enc": VALUES})


def test_no_file_appears_unless_all_can_be_written(torch, tmp_path, monkeypatch):
    def fill_the_disk(tensors, file, save=torch.save):
        if len(list(tmp_path.iterdir())) == 2:
            raise OSError(28, "No space left on device")
        save(tensors, file)

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(UserError, match=r"Dec_iter_000012.pth: cannot be written: No space left on device"):
        torch_files.write_state_dicts(tmp_path, 12, {"Enc": VALUES, "Dec": VALUES})
    assert not list(tmp_path.iterdir())

"""The files of checkpoints, whatever a kill, a full disk or a user left of them. TensorFlow takes no part."""

from __future__ import annotations

import os
import subprocess

import pytest

from elegant_tf.checkpoint_files import CheckpointFiles
from elegant_tf.errors import UserError
from elegant_tf.rundir import CHECKPOINT_DIR

DATA, INDEX = "step-{}.data-00000-of-00001", "step-{}.index"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "a [run]\\*?" / CHECKPOINT_DIR
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def files(folder):
    return CheckpointFiles(folder.parent)


def write(folder, step, *names, text="old"):
    for name in names or (DATA, INDEX):
        (folder / name.format(step)).write_text(text)


def contents(folder):
    """Text by name, without the checksums."""
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix != ".sha256"}


def save(files, step, text="new"):
    with files.written(step) as path:
        write(path.parent, step, text=text)


def test_they_are_found_by_their_files_in_the_order_of_steps(files, folder):
    for step in (10, 9, 200):
        write(folder, step)
    others = ["checkpoint", "step-7.txt", "step-07.index", "step-x.index", "mystep-8.index", "step-9.index.bak"]
    for name in others:
        (folder / name).write_text("mine")
    assert files.steps() == [9, 10, 200]
    for step in files.steps():
        files.remove(step)
    assert sorted(os.listdir(folder)) == sorted(others)


def test_there_may_be_none(tmp_path):
    assert CheckpointFiles(tmp_path / "new").steps() == []
    (tmp_path / CHECKPOINT_DIR).write_text("a file")
    with pytest.raises(UserError, match=f"{CHECKPOINT_DIR}: cannot be read: Not a directory"):
        CheckpointFiles(tmp_path).steps()


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        ([DATA, INDEX], ""),
        ([DATA], "step-4.index"),
        ([INDEX], "step-4.data-00000-of-00001"),
        (["step-{}.data-00000-of-00002", INDEX], "step-4.data-00001-of-00002"),
    ],
)
def test_a_lost_file_is_named(files, folder, names, lacking):
    write(folder, 4, *names)
    assert files.steps() == [4]
    assert files.lacks(4) == lacking


def test_one_that_is_not_yet_whole_is_none(files, folder):
    write(folder, 4, DATA)
    (folder / "step-4_temp").mkdir()  # so did versions before 0.2
    assert files.steps() == []
    with files.written(6) as path:
        write(path.parent, 6)
        write(folder, 6, DATA)
        assert files.steps() == []
    assert files.steps() == [6]


def test_one_takes_the_place_of_a_damaged_one(files, folder):
    write(folder, 4)
    save(files, 4)
    assert contents(folder) == {
        DATA.format(4): "new",
        INDEX.format(4): "new",
    }


def test_what_changed_after_it_was_saved_is_named(files, folder):
    save(files, 4)
    assert files.altered(4) == ""
    subprocess.run(["sha256sum", "--check", "--quiet", "step-4.sha256"], cwd=folder, check=True)
    (folder / DATA.format(4)).write_text("neW")
    assert files.altered(4) == DATA.format(4)
    write(folder, 2)  # as versions without checksums saved it
    assert files.altered(2) == ""
    (folder / "step-4.sha256").write_bytes(b"\xff\x00")
    assert files.altered(4) != ""


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(files, folder, error):
    write(folder, 4)

    def fail():
        with files.written(4) as path:
            write(path.parent, 4, DATA, text="half")
            raise error

    with pytest.raises((UserError, KeyboardInterrupt)) as raised:
        fail()
    assert contents(folder) == {
        DATA.format(4): "old",
        INDEX.format(4): "old",
    }
    if isinstance(error, OSError):
        assert str(raised.value) == f"{folder / 'step-4'}: cannot be written: No space left on device"


@pytest.mark.parametrize("moves", [0, 1, 2, 3])
def test_a_save_that_was_killed_while_files_were_moved_is_finished(files, folder, monkeypatch, moves):
    write(folder, 4)

    class Kill(BaseException):
        pass

    left = [moves]
    replace = os.replace

    def replace_some(*paths):
        if not left[0]:
            raise Kill
        left[0] -= 1
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_some)
        patch.setattr("shutil.rmtree", lambda *arguments, **options: None)
        if moves < 3:
            with pytest.raises(Kill):
                save(files, 4)
        else:
            save(files, 4)
    files.finish()
    assert contents(folder) == {
        DATA.format(4): "new",
        INDEX.format(4): "new",
    }


def test_what_a_kill_left_of_an_unfinished_save_is_removed(files, folder):
    write(folder, 2)
    aside = folder / ".step-4.part"
    aside.mkdir()
    write(aside, 4, DATA)
    assert files.steps() == [2]
    files.finish()
    assert sorted(os.listdir(folder)) == sorted(name.format(2) for name in (DATA, INDEX))


def test_an_unreadable_file_is_named(files, folder):
    write(folder, 4, DATA)
    (folder / INDEX.format(4)).symlink_to(folder / INDEX.format(4))
    with pytest.raises(UserError, match=r"step-4\.index: cannot be read: Too many levels of symbolic links"):
        files.check_access(4)

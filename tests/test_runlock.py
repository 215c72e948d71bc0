"""One process at a time in a directory, in real processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket

import commands
import pytest

from elegant_tf import runlock
from elegant_tf.errors import UserError
from elegant_tf.runlock import TRAINING, check_unlocked, locked

LOCK_FILE = TRAINING.lock_file

HOLD = "import sys; from elegant_tf.runlock import locked\nwith locked(sys.argv[1]): print('held', flush=True); input()"


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path / "run"`; a line on its input, or its end, releases it."""
    process = commands.start(["-c", HOLD, str(tmp_path / "run")], stdin=-1)
    assert process.stdout.readline() == "held\n", process.stderr.read()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def no_flock(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def leave(run_dir, host):
    """A lock that a process of a host left behind when it was killed."""
    run_dir.mkdir()
    (run_dir / LOCK_FILE).write_text(json.dumps({"host": host, "pid": 12, "started": "yesterday"}))


def test_a_second_process_is_refused_naming_the_first(tmp_path, holder):
    named = rf"--run_dir={tmp_path}/run: process {holder.pid} on {socket.gethostname()} has been training there since 2"
    with pytest.raises(UserError, match=named):
        check_unlocked(tmp_path / "run")
    with pytest.raises(UserError, match=named), locked(tmp_path / "run"):
        pass
    holder.communicate("\n")
    assert holder.returncode == 0
    check_unlocked(tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_nobody_locked_out(tmp_path, holder, number):
    holder.send_signal(number)
    holder.communicate()
    check_unlocked(tmp_path / "run")
    with locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK_FILE).read_text())["pid"] == os.getpid()


def test_nothing_is_left_of_a_lock(tmp_path):
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine"):
        pass
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_check_writes_nothing(tmp_path):
    check_unlocked(tmp_path / "run")
    check_unlocked(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}', "\0\0\0"])
def test_a_lock_that_names_nobody_is_free(tmp_path, text):
    (tmp_path / LOCK_FILE).write_text(text)
    check_unlocked(tmp_path)
    with locked(tmp_path):
        pass


def test_another_host_is_seen_where_locks_do_not_reach_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: None)
    monkeypatch.setattr(runlock, "BEAT", 0.01)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    with locked(tmp_path / "run"):
        monkeypatch.setattr(socket, "gethostname", lambda: "here")
        with pytest.raises(UserError, match=f"process {os.getpid()} on elsewhere has been training there since 2"):
            check_unlocked(tmp_path / "run")
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")


def test_a_lock_of_another_host_that_shows_no_life_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(runlock, "PATIENCE", 0.1)
    leave(tmp_path / "run", "elsewhere")
    with locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK_FILE).read_text())["host"] == socket.gethostname()


def test_it_works_where_the_file_system_has_no_locks(tmp_path, monkeypatch, no_flock):
    monkeypatch.setattr(runlock, "BEAT", 0.01)
    with locked(tmp_path / "run"):
        with pytest.raises(UserError, match=f"process {os.getpid()} on"):
            check_unlocked(tmp_path / "run")
        with pytest.raises(UserError, match=f"process {os.getpid()} on"), locked(tmp_path / "run"):
            pass
    monkeypatch.setattr(runlock, "PATIENCE", 0.1)
    leave(tmp_path / "run", socket.gethostname())
    with locked(tmp_path / "run"):
        pass


def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(UserError, match=rf"{LOCK_FILE}: cannot be written: No space left"), locked(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []

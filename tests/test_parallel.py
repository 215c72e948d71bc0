from __future__ import annotations

import itertools
import threading

import pytest

from elegant_tf.data.parallel import Progress, cpus, duration, map_in_order


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(workers):
    assert list(map_in_order(lambda number: number**2, range(100), workers)) == [number**2 for number in range(100)]


def test_it_runs_only_a_little_ahead():
    started = []
    results = map_in_order(lambda number: started.append(number) or number, range(1000), 2)
    assert [next(results) for _ in range(5)] == list(range(5))
    results.close()
    assert len(started) < 20


def test_errors_reach_whoever_takes():
    results = map_in_order(lambda number: 1 // (3 - number), range(6), 2)
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert threading.active_count() < 50


@pytest.mark.parametrize(("terminal", "start"), [(True, "\r[#########...............] "), (False, "")])
def test_progress_shows_what_is_done_the_rate_and_the_time_left(capsys, monkeypatch, terminal, start):
    now = itertools.count(0, 20.0)
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    progress = Progress("images", 2000, done=400)  # at 0 s
    progress.add(400)  # at 20 s, printed at 40 s
    assert capsys.readouterr().err == f"{start}800/2000 images, 10 a second, 0:02:00 left" + "\n" * (not terminal)
    progress.add(1200)  # at 60 s, printed at 80 s
    progress.close()
    assert capsys.readouterr().err.endswith("2000/2000 images, 16 a second, 0:00:00 left\n")


def test_progress_prints_only_now_and_then(capsys):
    progress = Progress("images", 1000)
    for _ in range(1000):
        progress.add()
    progress.close()
    assert capsys.readouterr().err.count("images") == 1


def test_durations():
    assert [duration(seconds) for seconds in (0, 59.6, 3599, 100_000)] == ["0:00:00", "0:01:00", "0:59:59", "27:46:40"]


def test_there_is_a_processor():
    assert cpus() >= 1

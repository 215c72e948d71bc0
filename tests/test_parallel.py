from __future__ import annotations

import threading

import pytest

from elegant_tf.data.parallel import Progress, cpus, map_in_order


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


def test_progress_ends_with_what_was_done(capsys):
    progress = Progress("pictures", 10, done=4)
    for _ in range(6):
        progress.add()
    progress.close()
    assert "10/10 pictures" in capsys.readouterr().err


def test_there_is_a_processor():
    assert cpus() >= 1

from __future__ import annotations

import os

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.data.tfrecords import ByteReader, find_records
from elegant_tf.errors import UserError


def write(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_every_record_is_found_where_it_is(tmp_path_factory, records):
    path = write(tmp_path_factory.mktemp("records") / "a.tfrecord", records)
    places = find_records(path)
    reader = ByteReader([path])
    assert [reader.read(0, *place) for place in places.tolist()] == records


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_files_cut_short_are_refused(tmp_path, cut):
    path = write(tmp_path / "a.tfrecord", [b"abc", b"d" * 20])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match=r"a.tfrecord: is damaged or cut short"):
        find_records(path)


def test_missing_files_are_named(tmp_path):
    for look in (find_records, lambda path: ByteReader([path])):
        with pytest.raises(UserError, match="none: cannot be read"):
            look(tmp_path / "none")


def test_files_beyond_those_that_stay_open_are_read_too(tmp_path, monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (8, 8))
    paths = [tmp_path / str(number) for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number)
    before = len(os.listdir("/dev/fd"))
    reader = ByteReader(paths)
    assert len(os.listdir("/dev/fd")) == before + 2
    assert [reader.read(number, 0, 9) for number in range(5)] == [b"0", b"1", b"2", b"3", b"4"]

from __future__ import annotations

import sys

import pytest
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.export.savedmodel import ExportOptions, export_savedmodel
from elegant_tf.export.warmup import WARMUP_FILE


def test_without_the_extra_it_names_the_package_to_install(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(UserError, match=r"pip install 'elegant-tf\[serving\]', or export without --warmup"):
        export_savedmodel(tiny_run, tmp_path, ExportOptions(warmup=True))
    assert not list(tmp_path.iterdir())


def test_every_request_is_answered_by_the_model_beside_it(tiny_run, tmp_path):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = export_savedmodel(tiny_run, tmp_path, ExportOptions(warmup=True))
    signatures = tf.saved_model.load(str(path)).signatures
    asked = []
    for record in tf.data.TFRecordDataset(str(path / WARMUP_FILE)):
        request = logs.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        assert all(tf.size(value) > 0 for value in answer.values())
        asked.append(request.model_spec.signature_name)
    assert sorted(asked) == sorted(signatures)

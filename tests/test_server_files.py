"""TF Serving can read the files of docs/serving: they are text of its protocol buffers."""

from __future__ import annotations

import commands
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

FOLDER = commands.ROOT / "docs" / "serving"
Field = descriptor_pb2.FieldDescriptorProto

# Fields by number, as tensorflow/serving's session_bundle_config.proto and monitoring_config.proto declare them; its
# Python package lacks these two.
BATCHING = {
    1: ("max_batch_size", "Int64Value"),
    2: ("batch_timeout_micros", "Int64Value"),
    3: ("max_enqueued_batches", "Int64Value"),
    4: ("num_batch_threads", "Int64Value"),
    6: ("allowed_batch_sizes", "repeated"),
}


def batching_parameters():
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="elegant_test", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in BATCHING.items():
        field = message.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL, type=Field.TYPE_MESSAGE)
        if kind == "repeated":
            field.type, field.label = Field.TYPE_INT64, Field.LABEL_REPEATED
        else:
            field.type_name = f".google.protobuf.{kind}"
    return file


def monitoring_config():
    file = descriptor_pb2.FileDescriptorProto(name="monitoring.proto", package="elegant_test", syntax="proto3")
    inner = file.message_type.add(name="PrometheusConfig")
    inner.field.add(name="enable", number=1, label=Field.LABEL_OPTIONAL, type=Field.TYPE_BOOL)
    inner.field.add(name="path", number=2, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
    outer = file.message_type.add(name="MonitoringConfig")
    outer.field.add(
        name="prometheus_config",
        number=1,
        label=Field.LABEL_OPTIONAL,
        type=Field.TYPE_MESSAGE,
        type_name=".elegant_test.PrometheusConfig",
    )
    return file


def parse(file, message, name):
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"elegant_test.{message}"))
    return text_format.Parse((FOLDER / name).read_text(), kind())


def test_batching_parameters_obey_the_servers_rules():
    found = parse(batching_parameters(), "BatchingParameters", "batching.config")
    sizes = list(found.allowed_batch_sizes)
    assert sizes == sorted(sizes)
    assert sizes[-1] == found.max_batch_size.value
    assert found.num_batch_threads.value > 0
    assert found.max_enqueued_batches.value > 0


def test_monitoring():
    found = parse(monitoring_config(), "MonitoringConfig", "monitoring.config")
    assert found.prometheus_config.enable
    assert found.prometheus_config.path.startswith("/")


def test_labels_are_of_versions_that_are_served():
    configs = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    found = text_format.Parse((FOLDER / "models.config").read_text(), configs.ModelServerConfig())
    (model,) = found.model_config_list.config
    assert model.model_platform == "tensorflow"
    served = set(model.model_version_policy.specific.versions)
    assert {"stable", "canary"} == set(model.version_labels)
    assert set(model.version_labels.values()) <= served

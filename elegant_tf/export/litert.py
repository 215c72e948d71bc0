"""TFLite files: LiteRT, which runs them, and the metadata that exports put into them. Needs no TensorFlow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.files import reason
from elegant_tf.remote import as_path

METADATA_NAME = "elegant_tf"

SignatureRunner: TypeAlias = Callable[..., dict[str, np.ndarray]]

_MISSING = "TFLite files run in LiteRT: pip install 'elegant-tf[tflite]'"


def load_litert() -> Callable[..., Any]:
    """LiteRT's class `Interpreter`. Raises UserError if it is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError(_MISSING) from None
    return Interpreter


def load_signature(path: str | os.PathLike[str], name: str, threads: int) -> SignatureRunner:
    """A signature of a file, on this many threads, as a function of its inputs by name."""
    return load_litert()(model_content=as_path(path).read_bytes(), num_threads=threads).get_signature_runner(name)


def parse_model(data: bytes) -> Any:
    """A file's data as LiteRT's `ModelT`."""
    return _flatbuffers()[0].read_model_from_bytearray(bytearray(data))


def op_names(model: Any) -> list[str]:
    """The names of a model's operation codes, in their order."""
    names = {value: name for name, value in vars(_flatbuffers()[1].BuiltinOperator).items() if not name.startswith("_")}
    return [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]


def add_metadata(model: Any, described: Mapping[str, Any]) -> bytes:
    """The data of a file that holds a `ModelT` and these values, in JSON under the name `elegant_tf`."""
    utils, schema = _flatbuffers()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(described).encode(), np.uint8)
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(utils.convert_object_to_bytearray(model))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata of a file that `export_tflite` wrote.

    Raises:
        UserError: the file cannot be read, is not a TFLite file, or another program wrote it.
    """
    try:
        data = as_path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    if data[4:8] != b"TFL3":
        raise UserError(f"{path}: is not a TFLite file")
    model = parse_model(data)
    for entry in model.metadata or []:
        if bytes(entry.name).decode() == METADATA_NAME:
            return json.loads(bytes(model.buffers[entry.buffer].data).decode())
    raise UserError(f"{path}: was not written by `elegant-tf tflite`: it has no metadata named {METADATA_NAME}")


def _flatbuffers() -> tuple[Any, Any]:
    try:
        from ai_edge_litert import schema_py_generated
        from ai_edge_litert.tools import flatbuffer_utils
    except ImportError:
        raise UserError(_MISSING) from None
    return flatbuffer_utils, schema_py_generated

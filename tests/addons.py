"""Runs a side of the tables in docs/addons.md: the left one with Addons, the right one with today's TensorFlow.

Both stacks import this file, so that both are driven by the same code.
"""

from __future__ import annotations

import inspect
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

PAGE = Path(__file__).parents[1] / "docs/addons.md"
VALUES = Path(__file__).parent / "goldens/addons.npz"
UPDATES = 12

Values = dict[str, Any]


def rows() -> dict[str, str]:
    """The rows whose first two cells are code: the call of Addons and its replacement."""
    return dict(re.findall(r"^\| `(tfa\.\w+\.\w+\([^`]*)` \| `([^`]+)` \|", PAGE.read_text("utf-8"), re.M))


def page_code() -> str:
    """The page's blocks of Python, as one module."""
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S))


def random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in [-1, 1) that a name and a shape decide, on every version of NumPy."""
    generator = np.random.RandomState(zlib.crc32(f"{name}{tuple(shape)}".encode()))
    return (2 * generator.random_sample(shape) - 1).astype("float32")


def run(left: str, expression: str, names: Values, inputs: Values) -> dict[str, np.ndarray]:
    """The results of a row's `expression`, the driver being that of what `left` names."""
    room = left.split(".")[1]
    drivers: dict[str, Callable] = {"layers": run_layer, "optimizers": run_optimizer, "metrics": run_metric}
    driver = run_value if left.endswith(")(step)") else drivers.get(room, run_value)
    code = compile(expression, expression, "eval")
    results = driver(lambda more: eval(code, {**names, **inputs, **more}), inputs)
    return {key: np.asarray(value) for key, value in results.items()}


def run_value(evaluate: Callable[[Values], Any], inputs: Values) -> Values:
    """The value of an expression and the gradients of its squares by all floating inputs but steps."""
    tensors = {key: tf.constant(value) for key, value in inputs.items() if isinstance(value, np.ndarray)}
    floats = {key: tensor for key, tensor in tensors.items() if tensor.dtype.is_floating and key != "step"}
    with tf.GradientTape() as tape:
        tape.watch(list(floats.values()))
        value = tf.convert_to_tensor(evaluate(tensors))
        total = tf.reduce_sum(tf.square(value)) if value.dtype.is_floating else None
    if total is None:
        return {"value": value}
    gradients = tape.gradient(total, floats, unconnected_gradients="zero")
    return {"value": value, **{f"gradient {key}": gradient for key, gradient in gradients.items()}}


def run_layer(evaluate: Callable[[Values], Any], inputs: Values) -> Values:
    """The outputs of a layer in three steps of training and of one call afterwards; at first, too, if it wraps none."""
    batches = inputs["batches"]
    inner = {}
    if "inner" in inputs:
        inner["layer"] = eval(inputs["inner"], {"tf": tf})
        inner["layer"].build(batches.shape[1:])
        inner["layer"].set_weights([random(f"weight {w.shape}", w.shape) for w in inner["layer"].weights])
    layer = evaluate(inner)
    layer.build(batches.shape[1:])
    outputs = {} if inner else {"at first": layer(tf.constant(batches[0]))}
    for weight in layer.weights:
        name = re.sub(r".*/|:.*", "", weight.name)
        name = {"sn_u": "u", "vector_u": "u", "Variable": "frequency"}.get(name, name)
        if name in ("u", "gamma", "beta", "tau", "frequency"):  # not always of the same shape, but of the same size
            weight.assign(np.reshape(random(name, (int(np.prod(weight.shape)),)) + 0.5, weight.shape))
    takes_training = "training" in inspect.signature(layer.call).parameters
    for step, batch in enumerate(batches):
        with tf.GradientTape() as tape:
            output = layer(tf.constant(batch), **({"training": True} if takes_training else {}))
            loss = tf.reduce_mean(tf.square(output - 0.3))
        outputs[f"step {step}"] = output
        variables = list({id(variable): variable for variable in layer.trainable_variables}.values())
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign(variable - 0.2 * gradient)
    return {**outputs, "afterwards": layer(tf.constant(batches[0]))}


def run_optimizer(evaluate: Callable[[Values], Any], inputs: Values) -> Values:
    """The weights after each of several updates, and their averages, if there are any."""
    legacy = not hasattr(tf.keras, "ops")  # Keras 2
    sgd = tf.keras.optimizers.legacy.SGD if legacy else tf.keras.optimizers.SGD
    base = sgd(inputs["lr"], momentum=0.9)
    thing = evaluate({"optimizer": base})
    optimizer = base if isinstance(thing, tf.keras.callbacks.Callback) else thing
    shapes = [(3, 4), (4,)]
    weights = [tf.Variable(random(f"weight {shape}", shape)) for shape in shapes]
    if not legacy:
        weights = [tf.keras.Variable(weight) for weight in weights]
    if optimizer is not thing:
        thing.set_model(SimpleNamespace(trainable_weights=weights))
        thing.on_train_begin()
    weight_values, average_values = [], []
    for step in range(UPDATES):
        gradients = [inputs.get("gradients", 1) * tf.constant(random(f"gradient {step}", shape)) for shape in shapes]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        if optimizer is not thing:
            thing.on_train_batch_end(step)
        weight_values.append(flat(weights))
        if step >= inputs.get("start", 0):  # before, Addons' average is 0 and today's is the weights
            average_values.append(flat(averages(thing, weights)))
    return {"weights": weight_values, "averages": average_values}


def flat(variables: list) -> np.ndarray:
    return np.concatenate([np.zeros(0, "float32"), *(np.ravel(variable.numpy()) for variable in variables)])


def averages(thing: Any, weights: list) -> list:
    """What a wrapper of Addons or a callback of today keeps besides the weights."""
    if hasattr(thing, "average_op"):
        return [thing.get_slot(weight, "average") for weight in weights]
    return [] if type(thing).__name__ == "Lookahead" else getattr(thing, "averages", [])


def run_metric(evaluate: Callable[[Values], Any], inputs: Values) -> Values:
    """The result of a metric after each batch."""
    metric = evaluate({})
    keys = [key for key in ("y_true", "y_pred", "sample_weight") if key in inputs]
    results = {}
    for step, batch in enumerate(zip(*(inputs[key] for key in keys), strict=True)):
        metric.update_state(*map(tf.constant, batch))
        results[f"batch {step}"] = metric.result()
    return results


def save(cases: list[tuple[str, Values, dict[str, np.ndarray]]], symbols: dict[str, list[str]]) -> None:
    """Writes the rows, inputs and results, an input of several cases once, and the names that Addons has."""
    arrays: dict[str, Any] = {"symbols": json.dumps(symbols)}
    for number, (left, inputs, results) in enumerate(cases):
        plain, named = {}, {}
        for key, value in inputs.items():
            if isinstance(value, np.ndarray):
                named[key] = f"input/{zlib.crc32(value.tobytes() + str((value.shape, value.dtype)).encode())}"
                arrays[named[key]] = value
            else:
                plain[key] = value
        arrays[f"{number}/row"] = json.dumps([left, plain, named])
        arrays |= {f"{number}/out/{key}": value for key, value in results.items()}
    np.savez_compressed(VALUES, **arrays)


def load() -> tuple[list[tuple[str, Values, dict[str, np.ndarray]]], dict[str, list[str]]]:
    """What `save` wrote."""
    with np.load(VALUES) as file:
        arrays = dict(file)
    cases = []
    for number in range(sum(key.endswith("/row") for key in arrays)):
        left, plain, named = json.loads(str(arrays[f"{number}/row"]))
        inputs = {**plain, **{key: arrays[name] for key, name in named.items()}}
        start = f"{number}/out/"
        cases.append((left, inputs, {key[len(start) :]: arrays[key] for key in arrays if key.startswith(start)}))
    return cases, json.loads(str(arrays["symbols"]))

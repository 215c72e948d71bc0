from __future__ import annotations

import authors
import numpy as np
import pytest
import tiny

from elegant_tf.export.torch_layout import torch_parameters
from elegant_tf.training.build import make_learner


@pytest.fixture(scope="module")
def learner():
    return make_learner(tiny.config(depth=5))


def test_names_are_those_of_the_authors_state_dicts(learner):
    found = torch_parameters(learner.generator, learner.discriminator)
    names = [f"{parameter.network}.{parameter.name}" for parameter in found]
    assert names == [str(name) for name in authors.golden(2)["names"]]
    variables = [*learner.generator.weights, *learner.discriminator.weights]
    assert {id(parameter.variable) for parameter in found} == {id(variable) for variable in variables}
    assert {parameter.network for parameter in torch_parameters(learner.generator)} == {"Enc", "Dec"}


def test_assigning_and_reading_back_is_exact(learner):
    for index, parameter in enumerate(torch_parameters(learner.generator, learner.discriminator)):
        value = np.random.default_rng(index).normal(size=parameter.shape).astype(np.float32)
        parameter.assign(value)
        np.testing.assert_array_equal(parameter.to_torch(), value)


def test_axes_and_flattening_are_pytorchs(learner):
    found = {f"{p.network}.{p.name}": p for p in torch_parameters(learner.generator, learner.discriminator)}
    assert found["Enc.main.1.0.weight"].shape == (4, 2, 3, 3)  # out, in
    assert found["Dec.main.0.0.weight"].shape == (32, 16, 3, 3)  # in, out: it is transposed
    dense = found["D1.linear.0.weight"]
    assert dense.shape == (1, 16 * 2 * 2)
    dense.assign(np.arange(64, dtype=np.float32)[None])
    kernel = dense.variable.numpy().reshape(2, 2, 16)  # row, column, channel
    np.testing.assert_array_equal(kernel[1, 0], np.arange(16) * 4 + 2)  # channel, row, column

"""The parameters of the authors' PyTorch program: their counterparts among our variables, and their order of axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator
from elegant_tf.model.networks import Decoder, Discriminator, Encoder


class TorchParameter(NamedTuple):
    """A variable with its name in the authors' state dicts.

    Attributes:
        network: Enc, Dec, D1 or D2.
        name: the parameter's name in that network's state dict.
        variable: its counterpart here.
        channels: for a dense kernel the channels of the last convolution, because PyTorch flattens feature maps channel
            first; otherwise 0.
    """

    network: str
    name: str
    variable: tf.Variable
    channels: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape in PyTorch."""
        return self.to_torch().shape

    def to_torch(self) -> np.ndarray:
        """The variable's value in PyTorch's order of axes."""
        value = self.variable.numpy()
        if value.ndim == 4:
            return value.transpose(3, 2, 0, 1)
        if self.channels:
            return value.reshape(-1, self.channels).T.reshape(1, -1)
        return value

    def assign(self, value: np.ndarray) -> None:
        """Sets the variable from a value in PyTorch's order of axes."""
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif self.channels:
            value = value.reshape(self.channels, -1).T.reshape(-1, 1)
        self.variable.assign(value)


def torch_parameters(generator: Elegant, discriminator: MultiScaleDiscriminator | None = None) -> list[TorchParameter]:
    """Every parameter of built models: Enc, Dec, D1, D2, each in the order of the authors' state dict."""
    found = [*_coder("Enc", generator.encoder), *_coder("Dec", generator.decoder)]
    if discriminator is not None:
        found += [*_discriminator("D1", discriminator.full), *_discriminator("D2", discriminator.half)]
    return found


def _coder(network: str, coder: Encoder | Decoder) -> Iterator[TorchParameter]:
    layers = coder.downs if isinstance(coder, Encoder) else coder.ups
    for index, layer in enumerate(layers):
        yield TorchParameter(network, f"main.{index}.0.weight", layer.convolution.kernel)
        yield TorchParameter(network, f"main.{index}.0.bias", layer.convolution.bias)
        if index < len(coder.normalizations):
            yield TorchParameter(network, f"main.{index}.1.alpha", coder.normalizations[index].alpha)
            yield TorchParameter(network, f"main.{index}.1.beta", coder.normalizations[index].beta)


def _discriminator(network: str, discriminator: Discriminator) -> Iterator[TorchParameter]:
    for index, (layer, normalization) in enumerate(zip(discriminator.downs, discriminator.normalizations, strict=True)):
        yield TorchParameter(network, f"conv.{3 * index}.weight", layer.convolution.kernel)
        yield TorchParameter(network, f"conv.{3 * index}.bias", layer.convolution.bias)
        yield TorchParameter(network, f"conv.{3 * index + 1}.alpha", normalization.alpha)
        yield TorchParameter(network, f"conv.{3 * index + 1}.beta", normalization.beta)
    yield TorchParameter(network, "linear.0.weight", discriminator.dense.kernel, discriminator.channels[-1])
    yield TorchParameter(network, "linear.0.bias", discriminator.dense.bias)

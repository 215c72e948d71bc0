"""Keras's settings, which the user may have made for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def keras_defaults() -> Iterator[None]:
    """What is made inside is float32 and has its channels last, whatever the user's keras.json or program says.

    Also a decorator of functions. The user's settings come back at the end.
    """
    floatx, policy, data_format = (
        keras.config.floatx(),
        keras.config.dtype_policy(),
        keras.config.image_data_format(),
    )
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(data_format)

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
        keras.backend.floatx(),
        keras.mixed_precision.global_policy(),
        keras.backend.image_data_format(),
    )
    keras.backend.set_floatx("float32")
    keras.mixed_precision.set_global_policy("float32")
    keras.backend.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.backend.set_floatx(floatx)
        keras.mixed_precision.set_global_policy(policy)
        keras.backend.set_image_data_format(data_format)

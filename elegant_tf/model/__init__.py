"""The networks. Importing this room checks that Keras runs on TensorFlow.

Raises:
    UserError: on import, if Keras has another backend or cannot be loaded.
"""

from elegant_tf.errors import UserError

try:
    import keras
except Exception as error:  # Keras raises almost any exception on settings that it cannot use
    raise UserError(
        f"Keras cannot be loaded ({error}): set KERAS_BACKEND=tensorflow, and check ~/.keras/keras.json or KERAS_HOME"
    ) from error

if keras.backend.backend() != "tensorflow":
    raise UserError(
        f"Keras runs on {keras.backend.backend()}, as KERAS_BACKEND or ~/.keras/keras.json says, and elegant_tf needs "
        "TensorFlow: set KERAS_BACKEND=tensorflow before Keras is imported"
    )

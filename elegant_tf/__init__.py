"""ELEGANT in TensorFlow: moves face attributes from one photo to another by exchanging parts of latent codes."""

__version__ = "0.1.0"

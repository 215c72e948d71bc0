"""Drawn faces: a parametric portrait with five attributes, and the exact result of every exchange."""

from elegant_tf.data.faces.celeba import write_celeba
from elegant_tf.data.faces.face import (
    Counterfactual,
    Face,
    make_combinations,
    make_counterfactuals,
    make_face,
    make_restyles,
)
from elegant_tf.data.faces.styles import ATTRIBUTES
from elegant_tf.data.faces.workers import draw_faces

__all__ = [
    "ATTRIBUTES",
    "Counterfactual",
    "Face",
    "draw_faces",
    "make_combinations",
    "make_counterfactuals",
    "make_face",
    "make_restyles",
    "write_celeba",
]

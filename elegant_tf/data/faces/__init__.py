"""Drawn faces: a parametric portrait with five attributes, and the exact result of every exchange."""

from elegant_tf.data.faces.celeba import write_celeba
from elegant_tf.data.faces.face import Counterfactual, Face, make_counterfactuals, make_face
from elegant_tf.data.faces.styles import ATTRIBUTES
from elegant_tf.data.faces.workers import draw_faces

__all__ = [
    "ATTRIBUTES",
    "Counterfactual",
    "Face",
    "draw_faces",
    "make_counterfactuals",
    "make_face",
    "write_celeba",
]

"""Drawn faces: a parametric portrait with five attributes, and the exact target of every edit."""

from elegant_tf.synthetic.celeba import write_celeba
from elegant_tf.synthetic.face import (
    Counterfactual,
    Face,
    make_combinations,
    make_counterfactuals,
    make_face,
    make_restyles,
)
from elegant_tf.synthetic.styles import ATTRIBUTES
from elegant_tf.synthetic.workers import draw_faces

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

"""Drawn faces and dressed photos, and the exact target of every edit.

A drawn face is a parametric portrait with five attributes; a dressed photo wears accessories in their styles.
"""

from elegant_tf.synthetic.celeba import write_celeba
from elegant_tf.synthetic.dressed_folder import write_dressed
from elegant_tf.synthetic.dressing import (
    WEARABLE,
    DressedCounterfactual,
    DressedPhoto,
    make_dressed,
    make_dressed_counterfactuals,
)
from elegant_tf.synthetic.face import (
    Counterfactual,
    Face,
    make_combinations,
    make_counterfactuals,
    make_face,
    make_restyles,
)
from elegant_tf.synthetic.photo_base import PhotoBase, load_photos
from elegant_tf.synthetic.styles import ATTRIBUTES
from elegant_tf.synthetic.workers import draw_faces

__all__ = [
    "ATTRIBUTES",
    "WEARABLE",
    "Counterfactual",
    "DressedCounterfactual",
    "DressedPhoto",
    "Face",
    "PhotoBase",
    "draw_faces",
    "load_photos",
    "make_combinations",
    "make_counterfactuals",
    "make_dressed",
    "make_dressed_counterfactuals",
    "make_face",
    "make_restyles",
    "write_celeba",
    "write_dressed",
]

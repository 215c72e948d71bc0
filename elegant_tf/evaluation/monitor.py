"""The few numbers that tell, while a run trains, whether it learns."""

from __future__ import annotations

import numpy as np

from elegant_tf.config import Config
from elegant_tf.data.sources import open_source
from elegant_tf.editor import Editor
from elegant_tf.evaluation.edits import edit_all, sample_edits
from elegant_tf.evaluation.reconstruction import evaluate_reconstruction
from elegant_tf.evaluation.scorecard import mean_score, scorecard
from elegant_tf.evaluation.triples import Triples, has_triples, load_triples
from elegant_tf.model import Elegant

COUNT = 16  # edits of a kind


class Monitor:
    """Held-out edits of a run, tried again and again.

    Args:
        config: the run's options.

    Raises:
        UserError: the data has no test split to evaluate on, or it cannot be read.
    """

    def __init__(self, config: Config) -> None:
        self._image_size = config.image_size
        if has_triples(config):
            self._edits = load_triples(config, None, COUNT)
        else:
            place = (config.data, config.data_dir, config.attributes, config.image_size)
            source = open_source(*place, split="test", labels_file=config.labels_file)
            self._edits = sample_edits(source, COUNT)

    def measure(self, generator: Elegant) -> dict[str, float]:
        """`reconstruction_psnr` in decibels; with right answers `realised` and `leak`, else `moved`, both of 255.

        `moved` is the mean `|edited - input|`: 0 is a generator that changes nothing.
        """
        editor = Editor(generator, self._image_size)
        edited = edit_all(editor, self._edits)
        numbers = {"reconstruction_psnr": evaluate_reconstruction(editor, self._edits.inputs).psnr}
        if isinstance(self._edits, Triples):
            mean = mean_score(scorecard(self._edits, edited))
            return {"realised": mean.realised, "leak": mean.leak, **numbers}
        moved = np.abs(edited.astype(np.int16) - self._edits.inputs).mean(dtype=np.float64)
        return {"moved": float(moved), **numbers}

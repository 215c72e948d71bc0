"""A few numbers that show, while a run trains, whether it learns."""

from __future__ import annotations

import numpy as np

from elegant_tf.bounds import wrong_value
from elegant_tf.config import Config
from elegant_tf.editor import Editor
from elegant_tf.evaluation.counterfactuals import Counterfactuals, has_counterfactuals, load_counterfactuals
from elegant_tf.evaluation.edits import Edits, edit_all, sample_edits
from elegant_tf.evaluation.held_out import ReadableSource
from elegant_tf.evaluation.metrics.reconstruction import reconstruct
from elegant_tf.evaluation.metrics.scores import mean_score, scorecard
from elegant_tf.model.elegant import Elegant
from elegant_tf.sources import open_source

COUNT = 16  # edits per attribute and direction


class Monitor:
    """Evaluates a generator in training on the same held-out edits each time: `Trainer(…, evaluator=Monitor(config))`.

    Args:
        config: the run's configuration.

    Raises:
        UserError: the data has no test split, or it cannot be read, or `--keep_best` needs targets that it lacks.
    """

    def __init__(self, config: Config) -> None:
        self._image_size = config.model.image_size
        has_targets, by = has_counterfactuals(config), config.run.keep_best
        if not has_targets and by in ("realised", "leak"):
            right = "reconstruction_psnr or none, as the data has no counterfactual targets to measure it against"
            raise wrong_value("keep_best", by, right)
        if has_targets:
            self._edits: Edits = load_counterfactuals(config, None, COUNT)
        else:
            source = open_source(config.data, config.model.attributes, config.model.image_size, "test")
            self._edits = sample_edits(ReadableSource(source), COUNT)

    def __call__(self, generator: Elegant) -> dict[str, float]:
        """`reconstruction_psnr` in decibels; with counterfactual targets `realised` and `leak`, otherwise `moved`.

        `leak` is of 255, as is `moved`, the mean `|edited - input|`: 0 is a generator that changes nothing.
        """
        editor = Editor(generator, self._image_size)
        edited = edit_all(editor, self._edits)
        psnr = reconstruct(editor, self._edits.inputs).psnr
        if isinstance(self._edits, Counterfactuals):
            mean = mean_score(scorecard(self._edits, edited))
            return {"realised": mean.realised, "leak": mean.leak, "reconstruction_psnr": psnr}
        moved = np.abs(edited.astype(np.int16) - self._edits.inputs).mean(dtype=np.float64)
        return {"moved": float(moved), "reconstruction_psnr": psnr}

"""How well each way of giving an edit back to a larger photo matches its counterfactual target.

    python benchmarks/photos.py --count 8
    python benchmarks/photos.py --run runs/portraits --photos photos --landmarks align.json --leave_out worn.csv
    python benchmarks/photos.py --perfect 128 --photos photos --landmarks align.json --leave_out worn.csv

Without photos, people are drawn at the large size; the whole image is the frame. With them, photos are dressed.
"""

from __future__ import annotations

import argparse

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np

from elegant_tf.cli.options import files_of
from elegant_tf.data.similarity import Similarity
from elegant_tf.editor import Editor
from elegant_tf.evaluation.counterfactuals import kinds_of, make_pairs
from elegant_tf.evaluation.edits import DIRECTIONS
from elegant_tf.evaluation.metrics.scores import Sums
from elegant_tf.photos import BLENDS, give_back
from elegant_tf.synthetic import load_photos, make_dressed_counterfactuals
from elegant_tf.synthetic.dressing import WEARABLE
from elegant_tf.synthetic.photo_list import list_photos


def read_pairs(options: argparse.Namespace, attributes: tuple[str, ...]) -> tuple[list, np.ndarray, np.ndarray]:
    """Counterfactuals, and the columns of their attributes and directions."""
    if not options.photos:
        pairs = make_pairs(0, attributes, options.count)
        return pairs, *kinds_of(pairs, attributes)
    listed = list_photos(files_of(options.photos), attributes, options.landmarks, options.leave_out)
    photos = load_photos(listed.paths, listed.landmarks, options.size)
    pairs = list(make_dressed_counterfactuals(photos, 0, options.count, attributes))
    numbers = [(attributes.index(pair.attributes[0]), DIRECTIONS.index(pair.direction)) for pair in pairs]
    return pairs, *np.array(numbers).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="faces")
    parser.add_argument("--perfect", type=int, help="side of the frame of a model that makes no mistakes, for no run")
    parser.add_argument("--count", type=int, default=8, help="edits per attribute and direction")
    parser.add_argument("--size", type=int, default=512, help="side of the photos")
    parser.add_argument("--photos", nargs="+")
    parser.add_argument("--landmarks")
    parser.add_argument("--leave_out")
    options = parser.parse_args()
    editor = None if options.perfect else Editor.load(options.run)
    frame = options.perfect or editor.image_size
    pairs, attribute, direction = read_pairs(options, editor.attributes if editor else WEARABLE)

    def drawn(role: str, size: int) -> np.ndarray:
        return np.stack([getattr(pair, role).draw(size) for pair in pairs])

    photos, targets, faces = drawn("input", options.size), drawn("target", options.size), drawn("input", frame)
    if editor:
        coefficients = np.eye(len(editor.attributes))[attribute][:, None]
        exemplars = drawn("exemplar", frame)[:, None]
        edited, reconstructed = (editor.edit(faces, exemplars, factor * coefficients) for factor in (1, 0))
    else:
        edited, reconstructed = drawn("target", frame), faces
    scale = frame / options.size
    similarity = Similarity(scale, complex(1, 1) * (scale - 1) / 2)
    print(f"{'blend':10s}" + "".join(f"{name + ': realised, leak':>26s}" for name in DIRECTIONS))
    for blend in BLENDS:
        made = photos.copy()
        for row in zip(made, faces, edited, reconstructed, strict=True):
            give_back(*row, similarity, blend)
        sums = Sums.of(photos, targets, made)
        rows = [np.flatnonzero(direction == number) for number in range(len(DIRECTIONS))]
        cells = [f"{sums.realised(row):.3f}, {sums.leak(row):.2f}" for row in rows]
        print(f"{blend:10s}" + "".join(f"{cell:>26s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
